import type { Removal } from "../port.ts";
import type { CatalogEntry } from "./model.ts";

/**
 * Who keeps an entry in the catalog.
 * - `Catalog`: nobody; it was written there directly and stays until somebody deletes it.
 * - `Agent`: the agent of its node, which puts back what is deleted from the catalog, for as long as it lives.
 */
export type Keeper = { readonly kind: "Catalog" } | { readonly kind: "Agent"; readonly alive: boolean };

/** By this check the servers say whether the agent of a node is a living member of the cluster. */
const SERF_HEALTH = "serfHealth";

/** Whether an agent keeps the entry, by its node's checks. */
export function keeperOf({ nodeChecks }: Pick<CatalogEntry, "nodeChecks">): Keeper {
  const serf = nodeChecks.find(({ CheckID }) => CheckID === SERF_HEALTH);
  return serf === undefined ? { kind: "Catalog" } : { kind: "Agent", alive: serf.Status === "passing" };
}

/**
 * The controller in charge of the entry, by the marks it leaves; undefined when there is none. Such a controller writes
 * its entries again from what it knows: whoever removes one fights with it.
 * - consul-k8s' endpoints controller marks its services by `managed-by` and its nodes by `synthetic-node`;
 * - katalog-sync marks services by `external-sync-source`;
 * - consul-k8s' catalog sync, Nomad and others mark services or their nodes by `external-source`.
 */
export function managerOf({ node, service }: Pick<CatalogEntry, "node" | "service">): string | undefined {
  for (const mark of ["managed-by", "external-sync-source"]) {
    const manager = service.Meta?.[mark];
    if (manager !== undefined && manager !== "") return manager;
  }
  const source = service.Meta?.["external-source"] ?? node.Meta?.["external-source"];
  if (source === "kubernetes") return "consul-k8s sync-catalog";
  if (source !== undefined && source !== "") return source;
  return node.Meta?.["synthetic-node"] === "true" ? "consul-k8s" : undefined;
}

/** Where an agent's API is. */
export interface AgentAddress {
  readonly url: string;
  /** Name expected in its certificate; undefined: as for the endpoints. */
  readonly serverName?: string | undefined;
  /** Found in the catalog, and not named by the Registry. */
  readonly isDerived: boolean;
}

/** What is known of the way to a node's agent. */
export type AgentRoute =
  | { readonly kind: "Open"; readonly address: AgentAddress }
  /** Nobody said how it can be reached. */
  | { readonly kind: "Unknown" }
  /** It was tried a moment ago, and the agent did not answer. */
  | { readonly kind: "Broken"; readonly why: string };

const YES: Removal = Object.freeze({ effective: "Yes" });

/** Whether a deregistration can last. */
export function removalOf(keeper: Keeper, node: string, route: AgentRoute): Removal {
  // What a dead agent kept is deleted from the catalog; should it come back, it puts its entries back, and we see it.
  if (keeper.kind === "Catalog" || !keeper.alive || route.kind === "Open") return YES;
  if (route.kind === "Broken") {
    return {
      effective: "No",
      reason: "AgentUnreachable",
      message: `the living agent of node ${node} keeps the entry and can not be reached: ${route.why}`,
    };
  }
  return {
    effective: "No",
    reason: "AgentOwned",
    message:
      `the living agent of node ${node} keeps the entry and would put it back: set spec.consul.agentPort, ` +
      "or name that agent in spec.endpoints",
  };
}
