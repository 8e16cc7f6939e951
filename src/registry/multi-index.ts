/** Several ids under one key. A key with a single id, the common case, costs no set of its own. */
export class MultiIndex {
  readonly #ids = new Map<string, string | Set<string>>();

  add(key: string, id: string): void {
    const present = this.#ids.get(key);
    if (present === undefined) this.#ids.set(key, id);
    else if (typeof present !== "string") present.add(id);
    else if (present !== id) this.#ids.set(key, new Set([present, id]));
  }

  remove(key: string, id: string): void {
    const present = this.#ids.get(key);
    if (present === id) this.#ids.delete(key);
    if (present === undefined || typeof present === "string") return;
    present.delete(id);
    if (present.size === 0) this.#ids.delete(key);
  }

  get(key: string): Iterable<string> {
    const present = this.#ids.get(key);
    if (present === undefined) return [];
    return typeof present === "string" ? [present] : present;
  }

  keys(): Iterable<string> {
    return this.#ids.keys();
  }
}
