import type { Clock } from "../clock/clock.ts";

/** No rest is longer, milliseconds: while one read of a last look waits, what another has said gets old. */
const LONGEST_REST_MS = 500;

/** How long to leave the server alone after each read. */
export interface Rest {
  readonly clock: Clock;
  /** In lengths of the read: with 1 reads take half of the time at most. */
  readonly share: number;
}

/**
 * Lets many callers share one dear read. A caller never gets a read that began before it asked: those who ask while
 * one is under way share the next one.
 */
export class NextBatch<T> {
  readonly #read: () => Promise<T>;
  readonly #rest: Rest | undefined;
  /** The read under way, or the rest after it. */
  #current: Promise<unknown> = Promise.resolve();
  /** Shared by all who asked and whose read has not begun yet. */
  #next: Promise<T> | undefined;

  /** @param read begins when it is called */
  constructor(read: () => Promise<T>, rest?: Rest) {
    this.#read = read;
    this.#rest = rest;
  }

  /** @throws the signal's reason when it aborts first (the shared read goes on for the others), or what the read throws */
  async join(signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const shared = (this.#next ??= this.#start());
    const { promise: left, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([shared, left]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  async #start(): Promise<T> {
    await this.#current;
    const running = this.#read();
    this.#current = this.#over(running);
    this.#next = undefined;
    return await running;
  }

  /** Never rejects: a read that failed has cost the server as much. */
  async #over(running: Promise<unknown>): Promise<void> {
    const startedAt = this.#rest?.clock.monotonic() ?? 0;
    await running.catch(() => undefined);
    if (this.#rest === undefined) return;
    const { clock, share } = this.#rest;
    const rest = Math.min(LONGEST_REST_MS, (clock.monotonic() - startedAt) * share);
    if (rest > 0) await clock.sleep(rest);
  }
}
