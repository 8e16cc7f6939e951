import type { CatalogCheck, CatalogEntry } from "./model.ts";
import { keeperOf } from "./ownership.ts";

/** What the checks of an entry say of its registrant; undefined when nobody keeps them up to date. */
export interface Heartbeat {
  /** Differs when a check was written or changed its state. */
  readonly source: string;
  /** Every check that could hear it says critical. */
  readonly missed: boolean;
}

/** Checks by which an operator takes a service out; they hear nobody. */
const MAINTENANCE = "_service_maintenance:";

/**
 * A check hears the registrant only where somebody runs it: a living agent on its own node, or consul-esm for external
 * nodes that it probes. A check that was written into the catalog once says the same for ever.
 */
export function heartbeatOf(entry: CatalogEntry): Heartbeat | undefined {
  const keeper = keeperOf(entry);
  const isHeard = keeper.kind === "Agent" ? keeper.alive : entry.node.Meta?.["external-probe"] === "true";
  const checks = entry.checks.filter(hears);
  if (!isHeard || checks.length === 0) return undefined;
  const states = checks.map(({ CheckID, ModifyIndex }) => [CheckID, ModifyIndex] as const);
  return {
    source: JSON.stringify([entry.service.ModifyIndex, ...states]),
    missed: checks.every(({ Status }) => Status === "critical"),
  };
}

function hears({ CheckID, Type }: CatalogCheck): boolean {
  return !CheckID.startsWith(MAINTENANCE) && Type !== "alias";
}
