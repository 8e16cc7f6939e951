/**
 * Values by key, many to many: objects, or ids. A key with a single value costs one map slot and no array: in a cluster
 * nearly every address belongs to one pod, and in a registry to one instance.
 */
export class MultiIndex<V extends object | string> {
  readonly #slots = new Map<string, V | Set<V>>();

  add(key: string, value: V): void {
    const slot = this.#slots.get(key);
    if (slot === undefined) this.#slots.set(key, value);
    else if (slot instanceof Set) slot.add(value);
    else if (slot !== value) this.#slots.set(key, new Set([slot, value]));
  }

  delete(key: string, value: V): void {
    const slot = this.#slots.get(key);
    if (slot === value) this.#slots.delete(key);
    if (!(slot instanceof Set) || !slot.delete(value) || slot.size > 1) return;
    for (const last of slot) this.#slots.set(key, last);
  }

  has(key: string): boolean {
    return this.#slots.has(key);
  }

  /** A copy, in the order in which the values were added. */
  get(key: string): V[] {
    const slot = this.#slots.get(key);
    if (slot === undefined) return [];
    return slot instanceof Set ? [...slot] : [slot];
  }

  /** Every key that has a value. */
  keys(): Iterable<string> {
    return this.#slots.keys();
  }
}
