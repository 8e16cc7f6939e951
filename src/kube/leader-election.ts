import { randomUUID } from "node:crypto";
import { hostname } from "node:os";

/** Guards writes that must not be made by two replicas. */
export interface LeaderFence {
  /**
   * True only while no other replica can lead, judged at this very call by the clock: also after a pause of the process
   * that was longer than the lease, before any timer has run. Ask immediately before each destructive call, and give
   * that call a deadline shorter than lease duration minus renew deadline (5 s by default).
   */
  isValid(): boolean;
}

/** Whether this replica leads. */
export interface Election extends LeaderFence {
  /** True from the acquisition until the loss, or until the work of the term has ended after a stop. */
  isLeader(): boolean;
  /**
   * Local monotonic milliseconds until which leadership holds if nothing more is heard from the API server: the moment
   * the last successful renewal BEGAN plus the renew deadline. `-Infinity` when not leading.
   */
  validUntil(): number;
  /**
   * Takes part until the signal aborts: campaigns, leads, and after a loss campaigns again. After the abort the work of
   * the term is given its time, then the lease is released.
   * @throws what a callback throws
   */
  run(signal: AbortSignal): Promise<void>;
}

/** What happens at the turns of an election. */
export interface ElectionCallbacks {
  /** This replica leads from now on. The signal aborts when the work of this term must end. */
  onStarted(signal: AbortSignal): void;
  /**
   * The term is over. The next campaign, or the release of the lease, waits until the promise resolves: resolve it when
   * no work of the term is under way any more.
   */
  onStopped(): void | Promise<void>;
  /** Another identity leads, or this one. */
  onNewLeader?(identity: string): void;
}

/** An identity that no other process has had or will have: `<host>_<uuid>`, as client-go makes them. */
export function electionIdentity(): string {
  return `${hostname()}_${randomUUID()}`;
}

/** For a single replica (`--leader-elect=false`): leads at once and until the end. */
export class NoElection implements Election {
  readonly #callbacks: ElectionCallbacks;
  #leading = false;

  constructor(callbacks: ElectionCallbacks) {
    this.#callbacks = callbacks;
  }

  isLeader(): boolean {
    return this.#leading;
  }

  isValid(): boolean {
    return this.#leading;
  }

  validUntil(): number {
    return this.#leading ? Infinity : -Infinity;
  }

  async run(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    this.#leading = true;
    try {
      this.#callbacks.onStarted(signal);
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      await this.#callbacks.onStopped();
    } finally {
      this.#leading = false;
    }
  }
}
