/** Barriers kept; at one every two seconds more than two hours. Older writes get no lower bound. */
const CAPACITY = 4_096;

/**
 * Ties revisions to local time. A barrier is a linearizable request that began at a known moment and was answered with
 * a revision: whatever was committed before that moment has that revision or a smaller one. So a write with a larger
 * revision was committed after that moment.
 */
export class Timeline {
  /** Both columns ascend. */
  #times: number[] = [];
  #revisions: number[] = [];

  /** @param startedAt local monotonic milliseconds at which the request began */
  add(startedAt: number, revision: number): void {
    const last = this.#revisions.at(-1);
    // Calls overlap: what is not newer in both columns tells nothing new.
    if (last !== undefined && (revision < last || startedAt <= (this.#times.at(-1) ?? startedAt))) return;
    this.#times.push(startedAt);
    this.#revisions.push(revision);
    if (this.#times.length > CAPACITY) {
      this.#times = this.#times.slice(CAPACITY / 2);
      this.#revisions = this.#revisions.slice(CAPACITY / 2);
    }
  }

  /** The latest moment at which `revision` is proven not to have been committed yet; `-Infinity` when none is known. */
  before(revision: number): number {
    // Asked mostly for the newest revisions: from the end it takes one step.
    for (let i = this.#revisions.length - 1; i >= 0; i--) {
      if ((this.#revisions[i] ?? revision) < revision) return this.#times[i] ?? Number.NEGATIVE_INFINITY;
    }
    return Number.NEGATIVE_INFINITY;
  }

  /** The data is another one now: revisions of before mean nothing. */
  clear(): void {
    this.#times = [];
    this.#revisions = [];
  }
}
