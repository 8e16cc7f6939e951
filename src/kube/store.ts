import type { Change, ObjectIdentity, Sink } from "./types.ts";

/** Computes the keys under which an object is found in one index. */
export type IndexFunction<T> = (object: T) => readonly string[];

export interface StoreOptions<T extends ObjectIdentity> {
  /** Index name to index function. A function must give the same keys for the same object. */
  readonly indexes?: Readonly<Record<string, IndexFunction<T>>>;
}

/** Told of changes after the store has taken them in. */
export type StoreSubscriber<T extends ObjectIdentity> = (
  changes: readonly Change<T>[],
  cause: "List" | "Watch",
) => void;

/**
 * Objects of one kind by name, by UID and by any number of indexes; fed by a reflector. Objects are frozen, so that no
 * reader can change what the others see. Applying a change twice does no harm.
 */
export class Store<T extends ObjectIdentity> implements Sink<T> {
  readonly #byKey = new Map<string, T>();
  readonly #byUid = new Map<string, T>();
  readonly #indexes = new Map<string, { readonly keysOf: IndexFunction<T>; readonly objects: Map<string, Set<T>> }>();
  readonly #subscribers = new Set<StoreSubscriber<T>>();

  constructor(options: StoreOptions<T> = {}) {
    for (const [name, keysOf] of Object.entries(options.indexes ?? {}))
      this.#indexes.set(name, { keysOf, objects: new Map() });
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** @param namespace the empty string for cluster-scoped kinds */
  get(namespace: string, name: string): T | undefined {
    return this.#byKey.get(`${namespace}/${name}`);
  }

  getByUid(uid: string): T | undefined {
    return this.#byUid.get(uid);
  }

  /** All objects, in no order. */
  values(): IteratorObject<T> {
    return this.#byKey.values();
  }

  /**
   * The objects that an index holds under a key.
   * @throws RangeError for an index that was not declared
   */
  byIndex(index: string, key: string): readonly T[] {
    const found = this.#indexes.get(index);
    if (found === undefined) throw new RangeError(`the store has no index ${index}`);
    return [...(found.objects.get(key) ?? [])];
  }

  /** @returns what ends the subscription */
  subscribe(subscriber: StoreSubscriber<T>): () => void {
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  }

  /** Takes the changes in, then tells every subscriber. @throws what subscribers threw, after all were told */
  apply(changes: readonly Change<T>[], cause: "List" | "Watch"): void {
    for (const change of changes) {
      if (change.type === "Deleted") this.#remove(change.object);
      else this.#put(change.object);
    }
    const errors: unknown[] = [];
    for (const subscriber of this.#subscribers) {
      try {
        subscriber(changes, cause);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, "subscribers of a store failed");
  }

  #put(object: T): void {
    deepFreeze(object);
    // First of all, since an index function may throw.
    const indexed = [...this.#indexes.values()].map(({ keysOf, objects }) => ({ objects, keys: keysOf(object) }));
    const key = `${object.namespace}/${object.name}`;
    const before = this.#byKey.get(key);
    if (before !== undefined) this.#unlink(before);
    this.#byKey.set(key, object);
    this.#byUid.set(object.uid, object);
    for (const { objects, keys } of indexed) {
      for (const indexKey of keys) {
        const set = objects.get(indexKey);
        if (set === undefined) objects.set(indexKey, new Set([object]));
        else set.add(object);
      }
    }
  }

  /** Removes the object of this UID; another one that took its name stays. */
  #remove(object: T): void {
    const known = this.#byUid.get(object.uid);
    if (known === undefined) return;
    this.#unlink(known);
    this.#byKey.delete(`${known.namespace}/${known.name}`);
  }

  #unlink(object: T): void {
    this.#byUid.delete(object.uid);
    for (const { keysOf, objects } of this.#indexes.values()) {
      for (const indexKey of keysOf(object)) {
        const set = objects.get(indexKey);
        set?.delete(object);
        if (set?.size === 0) objects.delete(indexKey);
      }
    }
  }
}

function deepFreeze(value: unknown): void {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const inner of Object.values(value)) deepFreeze(inner);
}
