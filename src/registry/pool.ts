/**
 * Gives equal values one copy in memory: names, addresses and metadata repeat over thousands of instances. When it is
 * full it forgets all: that costs later duplicates only, while keeping what no instance holds any more would be a leak.
 */
export class Pool<Value> {
  readonly #capacity: number;
  readonly #known = new Map<string, Value>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** @param make called when no value is known by this name */
  get(name: string, make: () => Value): Value {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    if (this.#known.size >= this.#capacity) this.#known.clear();
    const value = make();
    this.#known.set(name, value);
    return value;
  }
}
