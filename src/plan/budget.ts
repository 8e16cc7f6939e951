import type { BudgetRules } from "./types.ts";

/** `left` is what the token bucket still holds; a refusal says when it is worth asking again. */
export type Grant =
  | { readonly granted: true }
  | { readonly granted: false; readonly blockedBy: "Budget" | "UnexplainedBudget"; readonly retryAfterMs: number };

const WINDOW_MS = 60_000;

interface Bucket {
  tokens: number;
  filledAt: number;
}

/**
 * What may still be removed: a token bucket for each policy and registry, and for each registry the unexplained
 * removals of the last minute. Times are local monotonic milliseconds.
 */
export class EvictionBudgets {
  readonly #buckets = new Map<string, Bucket>();
  /** Registry -> when its unexplained removals were granted, oldest first. */
  readonly #unexplained = new Map<string, number[]>();

  /**
   * Takes one removal out of the budget, or says why not. Nothing is taken when it is refused.
   * @param instances those of the registry that policies look after
   */
  take(request: {
    readonly policy: string;
    readonly registry: string;
    readonly rules: BudgetRules;
    readonly explained: boolean;
    readonly instances: number;
    readonly now: number;
  }): Grant {
    const { policy, registry, rules, explained, instances, now } = request;
    const recent = explained ? [] : this.#recent(registry, now);
    if (!explained) {
      const oldest = recent[recent.length - unexplainedPerMinute(rules, instances)];
      if (oldest !== undefined) {
        return { granted: false, blockedBy: "UnexplainedBudget", retryAfterMs: Math.ceil(oldest + WINDOW_MS - now) };
      }
    }
    const bucket = this.#fill(policy, registry, rules, now);
    if (bucket.tokens < 1) {
      const retryAfterMs = Math.ceil(((1 - bucket.tokens) / rules.evictionsPerSecond) * 1000);
      return { granted: false, blockedBy: "Budget", retryAfterMs };
    }
    bucket.tokens -= 1;
    if (!explained) recent.push(now);
    return { granted: true };
  }

  /** Removals that a policy could make at once in a registry. */
  left(policy: string, registry: string, rules: BudgetRules, now: number): number {
    return Math.floor(this.#fill(policy, registry, rules, now).tokens);
  }

  /** Forgets what belonged to a policy that is gone. */
  forgetPolicy(policy: string): void {
    for (const key of this.#buckets.keys()) if (key.startsWith(`${policy}\n`)) this.#buckets.delete(key);
  }

  #fill(policy: string, registry: string, rules: BudgetRules, now: number): Bucket {
    const key = `${policy}\n${registry}`;
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) this.#buckets.set(key, (bucket = { tokens: rules.burst, filledAt: now }));
    const refill = ((now - bucket.filledAt) / 1000) * rules.evictionsPerSecond;
    bucket.tokens = Math.min(rules.burst, bucket.tokens + refill);
    bucket.filledAt = now;
    return bucket;
  }

  #recent(registry: string, now: number): number[] {
    let recent = this.#unexplained.get(registry);
    if (recent === undefined) this.#unexplained.set(registry, (recent = []));
    while (recent[0] !== undefined && recent[0] <= now - WINDOW_MS) recent.shift();
    return recent;
  }
}

/** At least one, or a small registry would keep its zombies for ever. */
function unexplainedPerMinute(rules: BudgetRules, instances: number): number {
  return Math.max(1, Math.floor((instances * rules.unexplainedPercentPerMinute) / 100));
}
