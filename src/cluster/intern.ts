/** Values kept per generation: label sets, names and node names of a large cluster fit several times over. */
const defaultGeneration = 50_000;

/**
 * One copy of equal values, so that 50,000 pods do not hold 50,000 copies of their node's name. What nobody asked for
 * during a whole generation is forgotten by the pool (never by those who hold it), which bounds its size.
 */
export class InternPool<V> {
  readonly #generation: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();

  /** @param generation how many distinct values are added before the unused ones are dropped */
  constructor(generation = defaultGeneration) {
    this.#generation = generation;
  }

  /** The value kept under `key`, made on the first call. */
  get(key: string, make: () => V): V {
    let value = this.#young.get(key);
    if (value !== undefined) return value;
    value = this.#old.get(key) ?? make();
    if (this.#young.size >= this.#generation) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, value);
    return value;
  }
}
