import type { Clock, Random } from "../clock/clock.ts";

/** client-go's reflector: 0.8 s, doubling, at most 30 s, forgotten after 2 minutes without a failure. */
const defaults = { firstMs: 800, maxMs: 30_000, resetAfterMs: 120_000 };

/** Longest wait that a server's Retry-After can impose. */
const maxRetryAfterMs = 120_000;

export interface BackoffOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly firstMs?: number;
  readonly maxMs?: number;
  readonly resetAfterMs?: number;
}

/** Exponential backoff with jitter: each wait is between once and twice the step, the step doubles, both are bounded. */
export class Backoff {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #firstMs: number;
  readonly #maxMs: number;
  readonly #resetAfterMs: number;
  #stepMs: number;
  #lastAt = -Infinity;

  constructor(options: BackoffOptions) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#firstMs = options.firstMs ?? defaults.firstMs;
    this.#maxMs = options.maxMs ?? defaults.maxMs;
    this.#resetAfterMs = options.resetAfterMs ?? defaults.resetAfterMs;
    this.#stepMs = this.#firstMs;
  }

  /**
   * How long to wait after this failure, in milliseconds.
   * @param retryAfterMs what the server asked for; never waited less, but at most two minutes
   */
  next(retryAfterMs = 0): number {
    const now = this.#clock.monotonic();
    if (now - this.#lastAt > this.#resetAfterMs) this.#stepMs = this.#firstMs;
    const waitMs = Math.min(this.#maxMs, this.#stepMs * (1 + this.#random()));
    this.#stepMs = Math.min(this.#maxMs, this.#stepMs * 2);
    const total = Math.max(waitMs, Math.min(retryAfterMs, maxRetryAfterMs));
    this.#lastAt = now + total;
    return total;
  }
}
