/**
 * Lets many callers share one dear read. A caller never gets a read that began before it asked: those who ask while
 * one is under way share the next one.
 */
export class NextBatch<T> {
  readonly #read: () => Promise<T>;
  #current: Promise<unknown> = Promise.resolve();
  /** Shared by all who asked and whose read has not begun yet. */
  #next: Promise<T> | undefined;

  /** @param read begins when it is called */
  constructor(read: () => Promise<T>) {
    this.#read = read;
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
    await this.#current.catch(() => undefined);
    const running = this.#read();
    this.#current = running;
    this.#next = undefined;
    return await running;
  }
}
