import type { Clock } from "../../clock/clock.ts";
import type { ClusterReader } from "../../cluster/types.ts";
import type { ViewProblem } from "../../kube/types.ts";
import type { BlockReason } from "../../plan/types.ts";
import type { EvictionEntry, Finding, InstanceCounts, InstanceSummary, PolicySet, RegistrySet } from "../types.ts";
import type { EvictionLog } from "./eviction-log.ts";
import type { InstanceStates } from "./instance-states.ts";
import type { Planner } from "./planner.ts";

/** What a person is told of a reason that held evictions back; the others are the policy's own wish. */
const blockedBecause: Partial<Record<BlockReason, string>> = {
  Budget: "the policy's budget is used up for the moment (spec.registration.zombies.budget.evictionsPerSecond)",
  UnexplainedBudget:
    "the budget for deaths that nobody saw is used up for this minute (spec.registration.zombies.budget.unexplainedPercentPerMinute)",
  MinInstances: "services would have too few live instances left (spec.registration.zombies.minInstances)",
  RemovalNotPossible: "entries can not be removed by this registry's means; see the report",
};

/** What the instance controller knows per policy, for status and report. */
export class PolicySummary implements InstanceSummary {
  readonly #cluster: ClusterReader;
  readonly #policies: PolicySet;
  readonly #registries: RegistrySet;
  readonly #states: InstanceStates;
  readonly #evictions: EvictionLog;
  readonly #planner: Planner;
  readonly #clock: Clock;
  readonly #listeners = new Set<(policy: string) => void>();

  constructor(parts: {
    cluster: ClusterReader;
    policies: PolicySet;
    registries: RegistrySet;
    states: InstanceStates;
    evictions: EvictionLog;
    planner: Planner;
    clock: Clock;
  }) {
    this.#cluster = parts.cluster;
    this.#policies = parts.policies;
    this.#registries = parts.registries;
    this.#states = parts.states;
    this.#evictions = parts.evictions;
    this.#planner = parts.planner;
    this.#clock = parts.clock;
  }

  counts(policy: string): InstanceCounts {
    return this.#states.counts(policy);
  }

  findings(policy: string, limit: number): readonly Finding[] {
    return this.#states.findings(policy, limit);
  }

  evictions(policy: string): readonly EvictionEntry[] {
    return this.#evictions.entries(policy);
  }

  evicted(policy: string): { readonly total: number; readonly last: Date | undefined } {
    return this.#evictions.evicted(policy);
  }

  blocked(policy: string): ViewProblem | undefined {
    return this.#viewProblem(policy) ?? this.#selfPreservation(policy) ?? this.#heldBack(policy);
  }

  subscribe(listener: (policy: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** To be called when something that is shown of the policy has changed. */
  changed(policy: string): void {
    for (const listener of this.#listeners) listener(policy);
  }

  /** To be called after each sweep: what holds evictions back may have changed for every policy. */
  swept(): void {
    for (const { name } of this.#policies.values()) this.changed(name);
  }

  #viewProblem(policy: string): ViewProblem | undefined {
    const cluster = this.#cluster.freshness(this.#clock.monotonic());
    if (!cluster.fresh) {
      const { reason, message } = cluster.problem ?? { reason: "NotSynced", message: "not listed yet" };
      return {
        reason: "ClusterViewNotFresh",
        message: `the view of the cluster can not be relied on: ${reason}: ${message}`,
      };
    }
    for (const name of this.#policies.get(policy)?.registries.keys() ?? []) {
      const freshness = this.#registries.get(name)?.view.freshness();
      if (freshness === undefined || (freshness.synced && freshness.problem === undefined)) continue;
      const { reason, message } = freshness.problem ?? { reason: "NotSynced", message: "not read yet" };
      return {
        reason: "RegistryViewNotFresh",
        message: `the view of registry ${name} can not be relied on: ${reason}: ${message}`,
      };
    }
    return undefined;
  }

  #selfPreservation(policy: string): ViewProblem | undefined {
    for (const name of this.#policies.get(policy)?.registries.keys() ?? []) {
      const registry = this.#registries.get(name);
      const state = registry && this.#planner.selfPreservation(registry);
      if (state?.active === true) {
        return { reason: "SelfPreservation", message: `registry ${name}: ${state.reason}: ${state.message}` };
      }
    }
    return undefined;
  }

  #heldBack(policy: string): ViewProblem | undefined {
    const counts = new Map<string, number>();
    for (const reason of this.#states.blocked(policy)) counts.set(reason, (counts.get(reason) ?? 0) + 1);
    for (const [reason, because] of Object.entries(blockedBecause)) {
      const count = counts.get(reason);
      if (count !== undefined) return { reason, message: `${count} evictions wait: ${because}` };
    }
    return undefined;
  }
}
