import type { CatalogCheck, CatalogEntry } from "./model.ts";
import { keeperOf } from "./ownership.ts";

/** What the checks of an entry say of its registrant; undefined when none of them hears it. */
export interface Heartbeat {
  /** Differs when the registration or the state of a check that hears was written. */
  readonly source: string;
  /** Every such check has run out: the agent's own word, not a registrant that says of itself that it is not well. */
  readonly expired: boolean;
}

/** How an agent begins what it says of a check whose time has run out (Consul, `agent/checks/check.go`). */
const EXPIRED = "TTL expired";

/**
 * Only a check by TTL hears the registrant itself, and only while its agent lives. The others ask whoever answers at the
 * address, which may be somebody else by now; and what was written into the catalog once says the same for ever.
 */
export function heartbeatOf(entry: CatalogEntry): Heartbeat | undefined {
  const keeper = keeperOf(entry);
  const checks = entry.checks.filter(({ Type }) => Type === "ttl");
  if (keeper.kind !== "Agent" || !keeper.alive || checks.length === 0) return undefined;
  const states = checks.map(({ CheckID, ModifyIndex }) => [CheckID, ModifyIndex] as const);
  const { CreateIndex, ModifyIndex } = entry.service;
  return { source: JSON.stringify([CreateIndex, ModifyIndex, ...states]), expired: checks.every(hasExpired) };
}

function hasExpired({ Status, Output }: CatalogCheck): boolean {
  return Status === "critical" && Output.startsWith(EXPIRED);
}
