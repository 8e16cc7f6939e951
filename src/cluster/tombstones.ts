import { MultiIndex } from "../multi-index.ts";
import type { Tombstone } from "./types.ts";

export interface TombstoneLimits {
  /** How many are remembered; the oldest go first. */
  readonly count: number;
  readonly ageMs: number;
}

interface Grave {
  readonly tombstone: Tombstone;
  /** Mutable: an address that its pod took up again is struck out. */
  readonly keys: Set<string>;
  readonly buriedAt: number;
}

/** The memory of pods that ended, by every key under which a registration of theirs could be listed. Bounded. */
export class Tombstones {
  readonly #limits: TombstoneLimits;
  /** In the order of burial. */
  readonly #graves = new Set<Grave>();
  readonly #byKey = new MultiIndex<Grave>();
  readonly #byUid = new MultiIndex<Grave>();

  constructor(limits: TombstoneLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#graves.size;
  }

  bury(tombstone: Tombstone, keys: Iterable<string>, now: number): void {
    const grave = { tombstone, keys: new Set(keys), buriedAt: now };
    if (grave.keys.size > 0) {
      this.#graves.add(grave);
      this.#byUid.add(tombstone.pod.uid, grave);
      for (const key of grave.keys) this.#byKey.add(key, grave);
    }
    this.#prune(now);
  }

  /** Newest death first. */
  at(key: string): Tombstone[] {
    const found = this.#byKey.get(key).map((grave) => grave.tombstone);
    return found.length > 1 ? found.reverse().sort((a, b) => b.seenAt - a.seenAt) : found;
  }

  /** Tombstones of one pod: it can have left several addresses. */
  of(uid: string): Tombstone[] {
    return this.#byUid.get(uid).map((grave) => grave.tombstone);
  }

  has(key: string): boolean {
    return this.#byKey.has(key);
  }

  /**
   * Forgets those of this pod's tombstones that `mistaken` picks.
   * @returns the keys they were found under
   */
  forget(uid: string, mistaken: (tombstone: Tombstone) => boolean): Set<string> {
    const keys = new Set<string>();
    for (const grave of this.#byUid.get(uid)) {
      if (!mistaken(grave.tombstone)) continue;
      this.#remove(grave);
      for (const key of grave.keys) keys.add(key);
    }
    return keys;
  }

  /** Strikes one key out of this pod's tombstones. */
  release(uid: string, key: string): void {
    for (const grave of this.#byUid.get(uid)) {
      if (!grave.keys.delete(key)) continue;
      this.#byKey.delete(key, grave);
      if (grave.keys.size === 0) this.#remove(grave);
    }
  }

  #prune(now: number): void {
    for (const oldest of this.#graves) {
      if (this.#graves.size <= this.#limits.count && now - oldest.buriedAt <= this.#limits.ageMs) return;
      this.#remove(oldest);
    }
  }

  #remove(grave: Grave): void {
    this.#graves.delete(grave);
    this.#byUid.delete(grave.tombstone.pod.uid, grave);
    for (const key of grave.keys) this.#byKey.delete(key, grave);
  }
}
