/** So many distinct strings are remembered before all are forgotten; about 4 MiB at 80 bytes each. */
const CAPACITY = 50_000;

/** Gives equal strings one copy in memory: names, metadata and addresses repeat over thousands of instances. */
export class StringPool {
  readonly #known = new Map<string, string>();

  intern(text: string): string {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    // Forgetting costs later duplicates only; keeping what no instance holds any more would be a leak.
    if (this.#known.size >= CAPACITY) this.#known.clear();
    this.#known.set(text, text);
    return text;
  }
}
