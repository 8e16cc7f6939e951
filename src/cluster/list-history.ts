/** How many lists are remembered. */
const remembered = 16;

/** What one complete list of pods said against what was known before it. Pods that ended are not counted. */
export interface ListComparison {
  /** Local monotonic milliseconds. */
  readonly at: number;
  /** Pods after this list. */
  readonly podCount: number;
  /** Pods after the list before; 0 for the first. */
  readonly previousCount: number;
  /** Pods that were seen to end between the two lists. */
  readonly witnessedDeaths: number;
  /** Pods that this list no longer held and that nobody saw end. */
  readonly missing: number;
}

/** Compares each complete list of pods with the one before, for self-preservation. */
export class ListHistory {
  readonly #lists: ListComparison[] = [];
  #witnessed = 0;

  /** A pod was seen to end. */
  witness(): void {
    this.#witnessed++;
  }

  record(list: Pick<ListComparison, "at" | "podCount" | "missing">): void {
    this.#lists.push({
      ...list,
      previousCount: this.#lists.at(-1)?.podCount ?? 0,
      witnessedDeaths: this.#witnessed,
    });
    this.#witnessed = 0;
    if (this.#lists.length > remembered) this.#lists.shift();
  }

  /** Oldest first. */
  get lists(): readonly ListComparison[] {
    return this.#lists;
  }
}
