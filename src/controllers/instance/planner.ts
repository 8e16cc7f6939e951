import type { Clock } from "../../clock/clock.ts";
import type { ClusterView } from "../../cluster/cluster-view.ts";
import type { EvictionBudgets } from "../../plan/budget.ts";
import { plan } from "../../plan/filter.ts";
import { selfPreservation, type SelfPreservation } from "../../plan/self-preservation.ts";
import type { Decision, PlanRules } from "../../plan/types.ts";
import type { ManagedRegistry, PolicySet, RegistrySet } from "../types.ts";
import type { InstanceStates } from "./instance-states.ts";
import type { Judged } from "./judge.ts";
import { keyOf } from "./keys.ts";
import type { Quarantines } from "./quarantines.ts";

/** Gives the pure plan what it needs to know of the present state. */
export class Planner {
  readonly #cluster: Pick<ClusterView, "listHistory" | "nodeCounts">;
  readonly #states: InstanceStates;
  readonly #budgets: EvictionBudgets;
  readonly #auditBudgets: EvictionBudgets;
  readonly #policies: PolicySet;
  readonly #registries: RegistrySet;
  readonly #clock: Clock;
  readonly #quarantines: Pick<Quarantines, "hasRoom">;
  readonly #dryRun: boolean;

  constructor(parts: {
    cluster: Pick<ClusterView, "listHistory" | "nodeCounts">;
    states: InstanceStates;
    budgets: EvictionBudgets;
    /** What decisions of mode Audit draw on, so that they take nothing from those that are carried out. */
    auditBudgets: EvictionBudgets;
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
    this.#auditBudgets = parts.auditBudgets;
    this.#policies = parts.policies;
    this.#registries = parts.registries;
    this.#clock = parts.clock;
    this.#quarantines = parts.quarantines;
    this.#dryRun = parts.dryRun;
  }

  /** @param audited the same was taken up to the write before, under mode Audit */
  decide({ judgement, policy }: Judged, registry: ManagedRegistry, audited: boolean): Decision {
    const { record } = judgement;
    const canQuarantine = registry.adapter.capabilities.quarantine;
    const rules: PlanRules =
      this.#dryRun && policy.plan.mode === "Enforce" ? { ...policy.plan, mode: "Audit" } : policy.plan;
    return plan(judgement, {
      rules,
      deleting:
        !this.#policies.isInForce(policy.name, policy.uid) || !this.#registries.isInForce(registry.name, registry.uid),
      canQuarantine,
      quarantineHasRoom: canQuarantine && this.#quarantines.hasRoom(policy, record),
      liveInService: this.#states.othersLive(keyOf(record.registry, record.id), record),
      instances: this.#states.lookedAfter(registry.name, registry.view.size),
      selfPreservation: this.selfPreservation(registry),
      budgets: rules.mode === "Audit" ? this.#auditBudgets : this.#budgets,
      audited,
      now: this.#clock.monotonic(),
    });
  }

  /** Whether unexplained evictions in a registry are stopped now, and why. */
  selfPreservation(registry: ManagedRegistry): SelfPreservation {
    return selfPreservation({
      // Where others share the registry, or policies select a part of it, all of ours can be a small part of everything.
      instances: this.#states.lookedAfter(registry.name, registry.view.size),
      unexplained: this.#states.unexplained(registry.name),
      lists: this.#cluster.listHistory.map(({ podCount, witnessedDeaths }) => ({ pods: podCount, witnessedDeaths })),
      nodes: this.#cluster.nodeCounts,
    });
  }
}
