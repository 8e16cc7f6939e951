import type { Clock } from "../clock/clock.ts";

/** A bell for one waiter: rung once or often, it wakes the present or the next wait. */
export class Trigger {
  readonly #clock: Clock;
  #rung = false;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  fire(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /**
   * Resolves when fired, or after `maxMs`.
   * @throws the signal's reason when it aborts first
   */
  async wait(maxMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#rung) {
      const woken = Promise.withResolvers<undefined>();
      const onAbort = (): void => woken.reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      this.#wake = () => woken.resolve(undefined);
      const timer = maxMs === Infinity ? undefined : this.#clock.setTimer(this.#wake, maxMs);
      try {
        await woken.promise;
      } finally {
        timer?.cancel();
        this.#wake = undefined;
        signal.removeEventListener("abort", onAbort);
      }
    }
    this.#rung = false;
  }
}
