/** A key that is to be added later. */
interface Delayed<K, T> {
  readonly key: K;
  /** Monotonic milliseconds. */
  readyAt: number;
  /** Tells which of two keys that are ready at the same time came first. */
  readonly order: number;
  tag: T;
  /** Where in the heap it stands. */
  index: number;
}

/** Keys by the time they become ready, each at most once: a binary heap with an index by key. */
export class DelayHeap<K, T> {
  readonly #heap: Delayed<K, T>[] = [];
  readonly #byKey = new Map<K, Delayed<K, T>>();
  #order = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** When the first key becomes ready, undefined without keys. */
  get firstReadyAt(): number | undefined {
    return this.#heap[0]?.readyAt;
  }

  /**
   * Adds a key, or brings it forward: of two times the earlier stays.
   * @param merge what becomes of two tags
   */
  add(key: K, readyAt: number, tag: T, merge: (old: T, added: T) => T): void {
    const known = this.#byKey.get(key);
    if (known === undefined) {
      const added = { key, readyAt, order: this.#order++, tag, index: this.#heap.length };
      this.#byKey.set(key, added);
      this.#heap.push(added);
      this.#up(added);
      return;
    }
    known.tag = merge(known.tag, tag);
    if (readyAt < known.readyAt) {
      known.readyAt = readyAt;
      this.#up(known);
    }
  }

  /** Takes out the first key that is ready by `now`. */
  take(now: number): { readonly key: K; readonly tag: T } | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.readyAt > now) return undefined;
    this.#byKey.delete(first.key);
    const last = this.#heap.pop();
    if (last !== undefined && last !== first) {
      this.#place(last, 0);
      this.#down(last);
    }
    return first;
  }

  clear(): void {
    this.#heap.length = 0;
    this.#byKey.clear();
  }

  #place(entry: Delayed<K, T>, index: number): void {
    entry.index = index;
    this.#heap[index] = entry;
  }

  #up(entry: Delayed<K, T>): void {
    while (entry.index > 0) {
      const parent = this.#heap[(entry.index - 1) >> 1];
      if (parent === undefined || !before(entry, parent)) return;
      this.#swap(entry, parent);
    }
  }

  #down(entry: Delayed<K, T>): void {
    for (;;) {
      const left = this.#heap[2 * entry.index + 1];
      const right = this.#heap[2 * entry.index + 2];
      const child = right !== undefined && left !== undefined && before(right, left) ? right : left;
      if (child === undefined || !before(child, entry)) return;
      this.#swap(child, entry);
    }
  }

  #swap(a: Delayed<K, T>, b: Delayed<K, T>): void {
    const index = a.index;
    this.#place(a, b.index);
    this.#place(b, index);
  }
}

function before(a: Delayed<unknown, unknown>, b: Delayed<unknown, unknown>): boolean {
  return a.readyAt < b.readyAt || (a.readyAt === b.readyAt && a.order < b.order);
}
