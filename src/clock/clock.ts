/**
 * Time as the operator sees it. Logic never calls `Date.now()`: it is handed a Clock, so that a test can stop, step
 * and race it.
 */
export interface Clock {
  /** Milliseconds from an arbitrary origin; never goes back, not moved by NTP or a VM resume. All waits use this. */
  monotonic(): number;
  /** Wall time, only for what a person reads: status, Events, logs. Never compared with another machine's clock. */
  wall(): Date;
  /** Runs `callback` once after `delayMs`. The timer never keeps the process alive on its own. */
  setTimer(callback: () => void, delayMs: number): Timer;
  /**
   * Resolves after `delayMs`; with 0 after everything else that waits (I/O included) had its turn.
   * @throws the signal's reason when it aborts first
   */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** A pending {@link Clock.setTimer}. */
export interface Timer {
  /** Forgets the callback; does nothing when it has run. */
  cancel(): void;
}

/** A number in [0, 1), as `Math.random` gives. Passed in wherever there is jitter or a random order. */
export type Random = () => number;
