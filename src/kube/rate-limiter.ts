import type { Clock } from "../clock/clock.ts";

/** Says how long a key must wait before it is tried again. */
export interface RateLimiter<K> {
  /** Counts one more failure of the key and returns its delay in milliseconds. */
  when(key: K): number;
  /** The key succeeded or is given up: its failures are forgotten, and nothing of it stays in memory. */
  forget(key: K): void;
  /** Failures since the key was last forgotten. */
  retries(key: K): number;
}

/** client-go's defaults: the first retry after 5 ms, then twice as long each time, up to 1,000 s. */
const baseDelayMs = 5;
const maxDelayMs = 1_000_000;

/** Doubles the delay of a key with each failure. Holds one number for each key that fails. */
export class ExponentialBackoff<K> implements RateLimiter<K> {
  readonly #failures = new Map<K, number>();
  readonly #baseMs: number;
  readonly #maxMs: number;

  constructor(baseMs = baseDelayMs, maxMs = maxDelayMs) {
    this.#baseMs = baseMs;
    this.#maxMs = maxMs;
  }

  when(key: K): number {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    return Math.min(this.#baseMs * 2 ** failures, this.#maxMs);
  }

  forget(key: K): void {
    this.#failures.delete(key);
  }

  retries(key: K): number {
    return this.#failures.get(key) ?? 0;
  }
}

interface BucketRate {
  readonly perSecond: number;
  /** Tokens a full bucket holds. */
  readonly burst: number;
}

/** Tokens that refill at a steady rate; it begins full. */
export class TokenBucket {
  readonly #clock: Clock;
  readonly #perMs: number;
  readonly #burst: number;
  /** Below zero when tokens of the future have been promised. */
  #tokens: number;
  #countedAt: number;

  constructor(clock: Clock, rate: BucketRate) {
    this.#clock = clock;
    this.#perMs = rate.perSecond / 1000;
    this.#burst = rate.burst;
    this.#tokens = rate.burst;
    this.#countedAt = clock.monotonic();
  }

  /** Takes a token, one of the future if need be, and returns the milliseconds until it is there. */
  reserve(): number {
    this.#refill();
    this.#tokens -= 1;
    return this.#tokens >= 0 ? 0 : -this.#tokens / this.#perMs;
  }

  /** Takes a token if there is one. */
  tryTake(): boolean {
    this.#refill();
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  #refill(): void {
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#countedAt) * this.#perMs);
    this.#countedAt = now;
  }
}

/** Each key by its own backoff, and all keys together by one bucket: the longer delay counts. */
class BackoffWithBucket<K> implements RateLimiter<K> {
  readonly #backoff: RateLimiter<K>;
  readonly #bucket: TokenBucket;

  constructor(backoff: RateLimiter<K>, bucket: TokenBucket) {
    this.#backoff = backoff;
    this.#bucket = bucket;
  }

  when(key: K): number {
    return Math.max(this.#backoff.when(key), this.#bucket.reserve());
  }

  forget(key: K): void {
    this.#backoff.forget(key);
  }

  retries(key: K): number {
    return this.#backoff.retries(key);
  }
}

/**
 * The limiter for retries that client-go uses by default.
 * @param overall limit for all keys together; client-go's is 10 a second, 100 at once; `Off` leaves it out
 */
export function defaultRateLimiter<K>(
  clock: Clock,
  overall: BucketRate | "Off" = { perSecond: 10, burst: 100 },
): RateLimiter<K> {
  const backoff = new ExponentialBackoff<K>();
  return overall === "Off" ? backoff : new BackoffWithBucket(backoff, new TokenBucket(clock, overall));
}
