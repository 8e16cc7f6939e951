import type { Clock, Timer } from "../../../src/clock/clock.ts";

interface Event {
  readonly at: number;
  readonly order: number;
  run: (() => void) | undefined;
}

/** A clock that jumps from one planned event to the next; everything runs in the caller's stack. */
export class VirtualTime implements Clock {
  #now: number;
  #order = 0;
  /** Binary heap, earliest first. */
  readonly #heap: Event[] = [];

  constructor(start = 1_000_000) {
    this.#now = start;
  }

  monotonic(): number {
    return this.#now;
  }

  wall(): Date {
    return new Date(this.#now);
  }

  setTimer(callback: () => void, delayMs: number): Timer {
    const event: Event = { at: this.#now + Math.max(0, delayMs), order: this.#order++, run: callback };
    this.#push(event);
    return { cancel: () => void (event.run = undefined) };
  }

  /** Shorter to write where nothing is ever cancelled. */
  after(delayMs: number, callback: () => void): void {
    this.setTimer(callback, delayMs);
  }

  sleep(): Promise<void> {
    return Promise.reject(new TypeError("nothing waits for promises in virtual time"));
  }

  /** Runs all that falls due until `end`. */
  runUntil(end: number): void {
    for (let next = this.#heap[0]; next !== undefined && next.at <= end; next = this.#heap[0]) {
      this.#pop();
      this.#now = Math.max(this.#now, next.at);
      next.run?.();
    }
    this.#now = end;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, this.#at(parent))) break;
      heap[at] = this.#at(parent);
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && isBefore(this.#at(child + 1), this.#at(child))) child++;
      if (!isBefore(this.#at(child), last)) break;
      heap[at] = this.#at(child);
      at = child;
    }
    heap[at] = last;
  }

  #at(index: number): Event {
    const event = this.#heap[index];
    if (event === undefined) throw new RangeError(`the heap has no place ${index}`);
    return event;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
