import type { Clock } from "../../clock/clock.ts";
import type { ClusterReader } from "../../cluster/types.ts";
import type { ViewProblem } from "../../kube/types.ts";
import type { BlockReason } from "../../plan/types.ts";
import { registryProblemOf } from "../../verdict/gather.ts";
import type {
  EvictionEntry,
  Finding,
  InstanceCounts,
  InstanceSummary,
  ManagedRegistry,
  PolicySet,
  RegistrySet,
} from "../types.ts";
import type { EvictionLog } from "./eviction-log.ts";
import type { HeldBack, InstanceStates } from "./instance-states.ts";
import type { Planner } from "./planner.ts";
import type { Quarantines } from "./quarantines.ts";

/** What a person is told of a reason that held evictions back, most important first; the others are the policy's wish. */
const blockedBecause: Partial<Record<BlockReason, string>> = {
  Budget: "the policy's budget is used up for the moment (spec.registration.zombies.budget.evictionsPerSecond)",
  UnexplainedBudget:
    "the budget for deaths that nobody saw is used up for this minute (spec.registration.zombies.budget.unexplainedPercentPerMinute)",
  QuarantineLimit:
    "as many entries are in quarantine as the report can hold, and what it does not hold could never be released for certain",
  MinInstances: "services would have too few live instances left (spec.registration.zombies.minInstances)",
  RemovalNotPossible: "entries can not be removed by this registry's means; see the report",
};

export interface SummaryParts {
  readonly cluster: Pick<ClusterReader, "freshness">;
  readonly policies: PolicySet;
  readonly registries: RegistrySet;
  readonly states: InstanceStates;
  readonly evictions: EvictionLog;
  readonly quarantines: Pick<Quarantines, "entries" | "count">;
  readonly planner: Pick<Planner, "selfPreservation">;
  readonly clock: Clock;
  /** A view of a registry older than this decides nothing, milliseconds. */
  readonly freshForMs: number;
}

/** What the instance controller knows per policy, for status and report. */
export class PolicySummary implements InstanceSummary {
  readonly #parts: SummaryParts;
  readonly #listeners = new Set<(policy: string) => void>();

  constructor(parts: SummaryParts) {
    this.#parts = parts;
  }

  counts(policy: string): InstanceCounts {
    return this.#parts.states.counts(policy);
  }

  findings(policy: string, limit: number): readonly Finding[] {
    return this.#parts.states.findings(policy, limit);
  }

  evictions(policy: string): readonly EvictionEntry[] {
    const { policies, evictions } = this.#parts;
    const inForce = policies.get(policy);
    return inForce === undefined ? [] : evictions.entries(inForce);
  }

  quarantines(policy: string): readonly EvictionEntry[] | undefined {
    const { policies, quarantines } = this.#parts;
    const inForce = policies.get(policy);
    return inForce && quarantines.entries(inForce);
  }

  quarantined(policy: string): number {
    return this.#parts.quarantines.count(policy);
  }

  evicted(policy: string): { readonly total: number; readonly last: Date | undefined } {
    return this.#parts.evictions.evicted(policy);
  }

  shortestTtlMs(policy: string): number | undefined {
    return this.#parts.states.shortestTtlMs(policy);
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

  /** To be called after each sweep: counts, and what holds evictions back, may have changed for every policy. */
  swept(): void {
    for (const { name } of this.#parts.policies.values()) this.changed(name);
  }

  #viewProblem(policy: string): ViewProblem | undefined {
    const { cluster, clock, freshForMs } = this.#parts;
    const now = clock.monotonic();
    const { fresh, problem = notListed } = cluster.freshness(now);
    if (!fresh) {
      return {
        reason: "ClusterViewNotFresh",
        message: `the view of the cluster can not be relied on: ${problem.reason}: ${problem.message}`,
      };
    }
    for (const { name, view } of this.#registriesOf(policy)) {
      const found = registryProblemOf(view.freshness(), now, freshForMs);
      if (found === undefined) continue;
      return {
        reason: "RegistryViewNotFresh",
        message: `the view of registry ${name} can not be relied on: ${found.reason}: ${found.message}`,
      };
    }
    return undefined;
  }

  #selfPreservation(policy: string): ViewProblem | undefined {
    for (const registry of this.#registriesOf(policy)) {
      const state = this.#parts.planner.selfPreservation(registry);
      if (!state.active) continue;
      return { reason: "SelfPreservation", message: `registry ${registry.name}: ${state.reason}: ${state.message}` };
    }
    return undefined;
  }

  #heldBack(policy: string): ViewProblem | undefined {
    const byReason = Map.groupBy(this.#parts.states.blocked(policy), ({ by }) => by);
    for (const [reason, because] of Object.entries(blockedBecause)) {
      const waiting = byReason.get(reason);
      if (waiting === undefined) continue;
      const count = waiting.length;
      const obstacles = reason === "RemovalNotPossible" ? obstaclesTo(waiting) : "";
      const wait = count === 1 ? "1 eviction waits" : `${count} evictions wait`;
      return { reason, message: `${wait}: ${because}${obstacles}` };
    }
    return undefined;
  }

  *#registriesOf(policy: string): Generator<ManagedRegistry> {
    const { policies, registries } = this.#parts;
    for (const name of policies.get(policy)?.registries.keys() ?? []) {
      const registry = registries.get(name);
      if (registry !== undefined) yield registry;
    }
  }
}

/** What the registries say of why a delete would not last, with one example of each; the same for the same entries. */
function obstaclesTo(waiting: readonly HeldBack[]): string {
  const removals = waiting.map(({ removal }) => removal).filter((removal) => removal.effective !== "Yes");
  const parts = [...Map.groupBy(removals, ({ reason }) => reason)].map(([reason, all]) => {
    const [example = ""] = all.map(({ message }) => message).toSorted();
    return `${reason} (${String(all.length)}): ${example}`;
  });
  return parts.length === 0 ? "" : `. ${parts.toSorted().join(". ")}`;
}

const notListed: ViewProblem = { reason: "NotSynced", message: "it is not listed yet" };
