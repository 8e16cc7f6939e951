/** When a registry counts as too slow to be believed (`Registry.spec.breaker`). */
export interface BreakerRules {
  /** Milliseconds above which an answer is slow. */
  readonly slowAfterMs: number;
  /** So many calls in a row without an answer in time mean Fallback. */
  readonly timeouts: number;
}

/**
 * Judges a registry by its answers. In Fallback the last good view is kept and nothing is evicted, since nothing proves
 * that it is current; the first answer ends it. It stops no call: the calls that go on are what notices the recovery.
 */
export class Breaker {
  readonly #rules: BreakerRules;
  #timeouts = 0;

  constructor(rules: BreakerRules) {
    this.#rules = rules;
  }

  get mode(): "Normal" | "Fallback" {
    return this.#timeouts >= this.#rules.timeouts ? "Fallback" : "Normal";
  }

  /** @returns how the answer counts */
  answered(afterMs: number): "OK" | "Slow" {
    this.#timeouts = 0;
    return afterMs > this.#rules.slowAfterMs ? "Slow" : "OK";
  }

  timedOut(): void {
    this.#timeouts++;
  }
}
