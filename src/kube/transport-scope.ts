import type { Clock, Timer } from "../clock/clock.ts";
import { KubeError } from "./http-errors.ts";

/**
 * What bounds one call: a deadline that can be moved, and the caller's signal. `using` frees both.
 */
export class CallScope implements Disposable {
  readonly #clock: Clock;
  readonly #what: string;
  readonly #outer: AbortSignal | undefined;
  readonly #controller = new AbortController();
  readonly #onOuterAbort = (): void => this.#controller.abort(this.#outer?.reason);
  #timer: Timer | undefined;

  /** @throws the signal's reason when it is aborted already */
  constructor(clock: Clock, what: string, outer: AbortSignal | undefined) {
    outer?.throwIfAborted();
    this.#clock = clock;
    this.#what = what;
    this.#outer = outer;
    outer?.addEventListener("abort", this.#onOuterAbort, { once: true });
  }

  /** Aborts at the deadline or with the caller's signal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Replaces the deadline: in `afterMs` the call fails with this error. */
  deadline(afterMs: number, code: string, message: string): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.setTimer(() => {
      this.#controller.abort(new KubeError(code, message));
    }, afterMs);
  }

  /** Takes the deadline away. */
  noDeadline(): void {
    this.#timer?.cancel();
  }

  /** Waits for `work`, but not beyond the deadline. What comes of the work later is ignored. */
  async race<R>(work: Promise<R>): Promise<R> {
    const aborted = Promise.withResolvers<never>();
    const onAbort = (): void => {
      aborted.reject(this.signal.reason as Error);
    };
    if (this.signal.aborted) onAbort();
    else this.signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([work, aborted.promise]);
    } catch (error) {
      throw this.translate(error);
    } finally {
      this.signal.removeEventListener("abort", onAbort);
    }
  }

  /** The error to throw for one that came up inside: the reason of an abort, a KubeError as it is, else ConnectionLost. */
  translate(error: unknown): unknown {
    if (this.signal.aborted) return this.signal.reason;
    if (error instanceof KubeError) return error;
    return new KubeError("ConnectionLost", `${this.#what} broke: ${describe(error)}`);
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
    this.#outer?.removeEventListener("abort", this.#onOuterAbort);
    // Frees a connection whose answer was not read to its end; does nothing when it was.
    this.#controller.abort();
  }
}

/** A network error by its code where it has one; the text of others is kept short. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return "unknown error";
  const code = (error as NodeJS.ErrnoException).code;
  return code === undefined ? error.message.slice(0, 200) : `${error.message.slice(0, 200)} (${code})`;
}
