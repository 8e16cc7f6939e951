/** One key that waits for a worker, linked into the lane of its priority. */
export interface LaneEntry<K> {
  readonly key: K;
  /** Both undefined while the entry is in no lane. */
  previous: LaneEntry<K> | undefined;
  next: LaneEntry<K> | undefined;
}

/** First in, first out; an entry can leave from the middle. Everything takes constant time and leaves nothing behind. */
export class Lane<E extends LaneEntry<unknown>> {
  #first: LaneEntry<unknown> | undefined;
  #last: LaneEntry<unknown> | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(entry: E): void {
    entry.previous = this.#last;
    entry.next = undefined;
    if (this.#last === undefined) this.#first = entry;
    else this.#last.next = entry;
    this.#last = entry;
    this.#length += 1;
  }

  shift(): E | undefined {
    const first = this.#first as E | undefined;
    if (first !== undefined) this.remove(first);
    return first;
  }

  /** @param entry one that is in this lane */
  remove(entry: E): void {
    if (entry.previous === undefined) this.#first = entry.next;
    else entry.previous.next = entry.next;
    if (entry.next === undefined) this.#last = entry.previous;
    else entry.next.previous = entry.previous;
    entry.previous = undefined;
    entry.next = undefined;
    this.#length -= 1;
  }
}
