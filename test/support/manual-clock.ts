import type { Clock, Timer } from "../../src/clock/clock.ts";

interface Pending {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/**
 * A clock that stands still until a test moves it. Due timers run in order of time, then of creation. Before and after
 * each timer everything that was waiting for a promise gets its turn, however long its chain.
 */
export class ManualClock implements Clock {
  #now: number;
  #order = 0;
  #wallOffset = 0;
  readonly #pending = new Set<Pending>();

  constructor(start = 1_000_000) {
    this.#now = start;
  }

  monotonic(): number {
    return this.#now;
  }

  wall(): Date {
    return new Date(Date.UTC(2026, 0, 1) + this.#now + this.#wallOffset);
  }

  setTimer(run: () => void, delayMs: number): Timer {
    const pending = { at: this.#now + Math.max(0, delayMs), order: this.#order++, run };
    this.#pending.add(pending);
    return { cancel: () => this.#pending.delete(pending) };
  }

  async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        timer.cancel();
        reject(signal?.reason as Error);
      };
      const timer = this.setTimer(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, delayMs);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Moves time forward, running what falls due on the way. 0 only lets everything settle. */
  async advance(byMs: number): Promise<void> {
    const end = this.#now + byMs;
    await settle();
    for (let next = this.#firstDue(end); next !== undefined; next = this.#firstDue(end)) {
      this.#pending.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
      await settle();
    }
    this.#now = end;
  }

  /** Time passes and no timer runs, as for a process that is stopped (SIGSTOP, a VM pause): run them with advance(0). */
  leap(byMs: number): void {
    this.#now += byMs;
  }

  /** Somebody sets the wall clock; monotonic time goes on as before. */
  stepWall(byMs: number): void {
    this.#wallOffset += byMs;
  }

  /** How many timers wait. */
  get pending(): number {
    return this.#pending.size;
  }

  #firstDue(end: number): Pending | undefined {
    let first: Pending | undefined;
    for (const pending of this.#pending) {
      if (pending.at > end) continue;
      if (first === undefined || pending.at < first.at || (pending.at === first.at && pending.order < first.order))
        first = pending;
    }
    return first;
  }
}

/** Resolves when no promise is left that could go on without time or I/O. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
