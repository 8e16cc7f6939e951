import type { Clock } from "../clock/clock.ts";

/** Keys that were seen a short while ago. Of too many the oldest are forgotten first. */
export class RecentKeys {
  readonly #clock: Clock;
  readonly #forMs: number;
  readonly #limit: number;
  /** Key -> monotonic time at which it is forgotten; in the order of these times, since all last equally long. */
  readonly #forgetAt = new Map<string, number>();

  constructor(clock: Clock, forMs: number, limit: number) {
    this.#clock = clock;
    this.#forMs = forMs;
    this.#limit = limit;
  }

  get size(): number {
    return this.#forgetAt.size;
  }

  has(key: string): boolean {
    return (this.#forgetAt.get(key) ?? -Infinity) > this.#clock.monotonic();
  }

  add(key: string): void {
    const now = this.#clock.monotonic();
    this.#forgetAt.delete(key);
    this.#forgetAt.set(key, now + this.#forMs);
    for (const [oldest, forgetAt] of this.#forgetAt) {
      if (forgetAt > now && this.#forgetAt.size <= this.#limit) return;
      this.#forgetAt.delete(oldest);
    }
  }

  delete(key: string): void {
    this.#forgetAt.delete(key);
  }
}
