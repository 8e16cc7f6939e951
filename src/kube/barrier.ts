import { compareRevisions } from "./resource-version.ts";

/** A quorum read: everything committed before `startedAt` has a revision of at most `revision`. */
interface Barrier {
  /** Local monotonic milliseconds, taken before the request was sent. */
  readonly startedAt: number;
  readonly revision: string;
}

/** Ten minutes of barriers, one every two seconds: twice the time between two lists. */
const capacity = 300;

/**
 * Remembers which revision a quorum read returned and when it began. Of two barriers the one that began later with a
 * revision no higher says more, so only those are kept: both fields rise from entry to entry.
 */
export class BarrierLog {
  readonly #entries: Barrier[] = [];

  record(startedAt: number, revision: string): void {
    const at = this.#countUpTo(revision);
    const before = this.#entries[at - 1];
    if (before !== undefined && before.startedAt >= startedAt) return;
    // What has the same or a higher revision and began no later says less now.
    let from = at;
    if (before?.revision === revision) from -= 1;
    let to = at;
    while ((this.#entries[to]?.startedAt ?? Infinity) <= startedAt) to += 1;
    this.#entries.splice(from, to - from, { startedAt, revision });
    if (this.#entries.length > capacity) this.#entries.shift();
  }

  /**
   * A moment before which nothing of a higher revision had been committed: what has a revision above `revision` was
   * committed after it. `-Infinity` when no barrier proves any.
   */
  provenAt(revision: string): number {
    return this.#entries[this.#countUpTo(revision) - 1]?.startedAt ?? -Infinity;
  }

  /** As {@link provenAt}, for what has exactly this revision or a higher one. */
  provenBefore(revision: string): number {
    let at = this.#countUpTo(revision);
    if (this.#entries[at - 1]?.revision === revision) at -= 1;
    return this.#entries[at - 1]?.startedAt ?? -Infinity;
  }

  /** How many entries have a revision of at most this one. */
  #countUpTo(revision: string): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareRevisions(this.#entries[middle]?.revision ?? "", revision) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
