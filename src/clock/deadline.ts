import { HygeiaError } from "../errors.ts";
import type { Clock, Timer } from "./clock.ts";

/** A signal that aborts when the time is up, or with another signal. `using` frees it. */
export class Deadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #timer: Timer;
  readonly #outer: AbortSignal | undefined;
  readonly #onOuterAbort = (): void => this.#controller.abort(this.#outer?.reason);

  /**
   * The signal's reason is a HygeiaError `DeadlineExceeded`, or the other signal's.
   * @param what takes the time, for the message
   */
  constructor(clock: Clock, afterMs: number, what: string, outer?: AbortSignal) {
    this.#outer = outer;
    this.#timer = clock.setTimer(() => {
      this.#controller.abort(new HygeiaError("DeadlineExceeded", `${what} took longer than ${afterMs} ms`));
    }, afterMs);
    if (outer?.aborted === true) this.#onOuterAbort();
    else outer?.addEventListener("abort", this.#onOuterAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    this.#timer.cancel();
    this.#outer?.removeEventListener("abort", this.#onOuterAbort);
  }
}
