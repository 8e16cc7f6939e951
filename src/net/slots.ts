interface Waiter {
  readonly enter: () => void;
}

/** Lets only so many do their work at the same time. The others wait in line, and leave it when their signal aborts. */
export class Slots {
  #free: number;
  readonly #line = new Set<Waiter>();

  constructor(count: number) {
    this.#free = count;
  }

  /** @throws the signal's reason when it aborts before the turn has come, and what the work throws */
  async run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#enter(signal);
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  async #enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    const turn = Promise.withResolvers<undefined>();
    const waiter = { enter: () => turn.resolve(undefined) };
    const onAbort = (): void => {
      this.#line.delete(waiter);
      // Too late for one whose turn has come: it has the slot.
      turn.reject(signal.reason);
    };
    this.#line.add(waiter);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await turn.promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** The slot goes to the first in line, past whoever comes meanwhile. */
  #leave(): void {
    const [next] = this.#line;
    if (next === undefined) {
      this.#free += 1;
      return;
    }
    this.#line.delete(next);
    next.enter();
  }
}
