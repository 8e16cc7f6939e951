import type { Clock } from "../../clock/clock.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { gatherFacts } from "./facts.ts";
import type { Registries, RegistryEntry } from "./registry-set.ts";
import { registryProblem, registryReadiness } from "./status.ts";

/** Keeps the gauges of all registries; a Registry that is gone leaves no series behind. @returns what ends it */
export function collectRegistryGauges(
  registries: Registries,
  metrics: Pick<Metrics, "registry" | "collect" | "forget">,
  clock: Clock,
  freshForMs: number,
): () => void {
  let shown = new Set<string>();
  return metrics.collect(() => {
    const names = new Set<string>();
    // A reason that does not occur any more leaves no series behind.
    metrics.registry.ignoredEntries.reset();
    metrics.registry.problem.reset();
    for (const entry of registries.entries()) {
      names.add(entry.object.name);
      set(entry, metrics, clock, freshForMs);
    }
    for (const name of shown) if (!names.has(name)) void metrics.forget("registry", name);
    shown = names;
  });
}

function set(entry: RegistryEntry, metrics: Pick<Metrics, "registry">, clock: Clock, freshForMs: number): void {
  const registry = entry.object.name;
  const facts = gatherFacts(entry, clock, freshForMs);
  const { caughtUpTo, mode } = facts.freshness;
  metrics.registry.fresh.set({ registry }, registryReadiness(facts).status === "True" ? 1 : 0);
  const reason = registryProblem(facts);
  if (reason !== undefined) metrics.registry.problem.set({ registry, reason }, 1);
  metrics.registry.viewAge.set({ registry }, Math.max(0, facts.now - caughtUpTo) / 1000);
  for (const each of ["Normal", "Fallback"]) metrics.registry.mode.set({ registry, mode: each }, each === mode ? 1 : 0);
  const view = entry.runner?.view;
  metrics.registry.instances.set({ registry }, view?.size ?? 0);
  for (const [reason, count] of Object.entries(view?.ignoredTotals ?? {})) {
    metrics.registry.ignoredEntries.set({ registry, reason }, count);
  }
}
