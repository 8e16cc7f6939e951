import type { Clock } from "../../clock/clock.ts";
import type { ClusterView } from "../../cluster/cluster-view.ts";
import type { EvictionBudgets } from "../../plan/budget.ts";
import { plan } from "../../plan/filter.ts";
import { selfPreservation, type SelfPreservation } from "../../plan/self-preservation.ts";
import type { Decision } from "../../plan/types.ts";
import type { ManagedRegistry, PolicySet, RegistrySet } from "../types.ts";
import type { InstanceStates } from "./instance-states.ts";
import type { Judged } from "./judge.ts";
import type { Quarantines } from "./quarantines.ts";

/** Gives the pure plan what it needs to know of the present state. */
export class Planner {
  readonly #cluster: Pick<ClusterView, "listHistory" | "nodeCounts">;
  readonly #states: InstanceStates;
  readonly #budgets: EvictionBudgets;
  readonly #policies: PolicySet;
  readonly #registries: RegistrySet;
  readonly #clock: Clock;
  readonly #quarantines: Pick<Quarantines, "hasRoom">;
  readonly #dryRun: boolean;

  constructor(parts: {
    cluster: Pick<ClusterView, "listHistory" | "nodeCounts">;
    states: InstanceStates;
    budgets: EvictionBudgets;
    policies: PolicySet;
    registries: RegistrySet;
    clock: Clock;
    quarantines: Pick<Quarantines, "hasRoom">;
    /** Treat every policy as mode Audit. */
    dryRun: boolean;
  }) {
    this.#cluster = parts.cluster;
    this.#states = parts.states;
    this.#budgets = parts.budgets;
    this.#policies = parts.policies;
    this.#registries = parts.registries;
    this.#clock = parts.clock;
    this.#quarantines = parts.quarantines;
    this.#dryRun = parts.dryRun;
  }

  decide({ judgement, policy }: Judged, registry: ManagedRegistry): Decision {
    const { record } = judgement;
    const canQuarantine = registry.adapter.capabilities.quarantine;
    return plan(judgement, {
      rules: this.#dryRun && policy.plan.mode === "Enforce" ? { ...policy.plan, mode: "Audit" } : policy.plan,
      deleting:
        !this.#policies.isInForce(policy.name, policy.uid) || !this.#registries.isInForce(registry.name, registry.uid),
      canQuarantine,
      quarantineHasRoom: canQuarantine && this.#quarantines.hasRoom(policy, record),
      liveInService: this.#states.liveInService(record.registry, record.service),
      instances: registry.view.size,
      selfPreservation: this.selfPreservation(registry),
      budgets: this.#budgets,
      now: this.#clock.monotonic(),
    });
  }

  /** Whether unexplained evictions in a registry are stopped now, and why. */
  selfPreservation(registry: ManagedRegistry): SelfPreservation {
    return selfPreservation({
      instances: registry.view.size,
      unexplained: this.#states.unexplained(registry.name),
      lists: this.#cluster.listHistory.map(({ podCount, witnessedDeaths }) => ({ pods: podCount, witnessedDeaths })),
      nodes: this.#cluster.nodeCounts,
    });
  }
}
