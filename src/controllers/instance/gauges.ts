import type { Clock } from "../../clock/clock.ts";
import type { EvictionBudgets } from "../../plan/budget.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { PolicySet, RegistrySet } from "../types.ts";
import type { InstanceStates } from "./instance-states.ts";
import type { Planner } from "./planner.ts";
import type { Quarantines } from "./quarantines.ts";

/** Keeps the gauges of instances, budgets and self-preservation while this replica leads. @returns what ends it */
export function collectInstanceGauges(parts: {
  readonly metrics: Pick<Metrics, "instances" | "evictions" | "releases" | "collect">;
  readonly states: InstanceStates;
  readonly budgets: EvictionBudgets;
  readonly planner: Planner;
  readonly quarantines: Pick<Quarantines, "count">;
  readonly policies: PolicySet;
  readonly registries: RegistrySet;
  readonly clock: Clock;
}): () => void {
  const { metrics, states, budgets, planner, quarantines, policies, registries, clock } = parts;
  const { byVerdict } = metrics.instances;
  const { budgetLeft, selfPreservation } = metrics.evictions;
  const gauges = [byVerdict, budgetLeft, selfPreservation, metrics.releases.quarantines];
  const stop = metrics.collect(() => {
    for (const gauge of gauges) gauge.reset();
    for (const { policy, registry, counts } of states.allCounts()) {
      for (const [verdict, count] of Object.entries(counts)) byVerdict.set({ policy, registry, verdict }, count);
    }
    for (const registry of registries.values()) {
      selfPreservation.set({ registry: registry.name }, planner.selfPreservation(registry).active ? 1 : 0);
    }
    const now = clock.monotonic();
    for (const { name: policy, plan, registries: named } of policies.values()) {
      const inQuarantine = quarantines.count(policy);
      // A policy about pods only has none but those of the time when it named registries.
      if (named.size > 0 || inQuarantine > 0) metrics.releases.quarantines.set({ policy }, inQuarantine);
      for (const registry of named.keys()) {
        budgetLeft.set({ policy, registry }, budgets.left(policy, registry, plan.budget, now));
      }
    }
  });
  return () => {
    stop();
    // Another replica leads now, and its figures count.
    for (const gauge of gauges) gauge.reset();
  };
}
