import type { EvictionResult } from "../../eviction/evictor.ts";
import type { EvictionEntry } from "../types.ts";

/** The report shows at most this many (crds/registrationreports.yaml). */
const MAX_ENTRIES = 100;

/** Results of an eviction after which the entry was not seen again so far. */
const evicted: ReadonlySet<string> = new Set<EvictionResult["outcome"]>(["Evicted", "NotVerified"]);

interface Totals {
  total: number;
  last: Date;
}

interface Entries {
  readonly policyUid: string;
  /** Newest last. */
  readonly list: EvictionEntry[];
}

/** What this process evicted, per policy: totals, and the most recent with what restores them. */
export class EvictionLog {
  /**
   * By name, for as long as the process lives: a status adds the difference to what it says (policy/tally.ts), so this
   * must never go down. Two numbers for each name ever seen.
   */
  readonly #totals = new Map<string, Totals>();
  /** By name of the policy. */
  readonly #entries = new Map<string, Entries>();

  add(policy: { readonly name: string; readonly uid: string }, entry: EvictionEntry): void {
    const { name, uid } = policy;
    const total = (this.#totals.get(name)?.total ?? 0) + 1;
    this.#totals.set(name, { total, last: entry.time });
    this.#push(this.#listOf({ name, uid }), entry);
  }

  /** Puts a later word on an eviction in the place of the earlier one; it counts no more than it did. */
  amend(policy: { readonly name: string; readonly uid: string }, entry: EvictionEntry): void {
    const list = this.#listOf(policy);
    const index = list.findIndex((known) => isSame(known, entry));
    if (index >= 0) list.splice(index, 1);
    this.#push(list, entry);
  }

  /**
   * What was evicted is there again: it is not absent for good, whatever a later read said. Only the newest eviction of the
   * entry; an earlier one has its own end.
   */
  cameBack(policy: { readonly name: string; readonly uid: string }, registry: string, id: string): void {
    const list = this.#listOf(policy);
    const index = list.findLastIndex((known) => known.registry === registry && known.id === id);
    const entry = list[index];
    if (entry === undefined || !evicted.has(entry.result)) return;
    list[index] = { ...entry, result: "Resurrected" };
  }

  /** Newest first; those of an earlier policy of the name are not this one's. */
  entries(policy: { readonly name: string; readonly uid: string }): readonly EvictionEntry[] {
    const entries = this.#entries.get(policy.name);
    return entries?.policyUid === policy.uid ? entries.list.toReversed() : [];
  }

  evicted(policy: string): { readonly total: number; readonly last: Date | undefined } {
    const { total = 0, last } = this.#totals.get(policy) ?? {};
    return { total, last };
  }

  /** The policy is gone: its entries are nobody's any more. */
  forget(policy: string): void {
    this.#entries.delete(policy);
  }

  #listOf({ name, uid }: { readonly name: string; readonly uid: string }): EvictionEntry[] {
    let entries = this.#entries.get(name);
    if (entries?.policyUid !== uid) this.#entries.set(name, (entries = { policyUid: uid, list: [] }));
    return entries.list;
  }

  #push(list: EvictionEntry[], entry: EvictionEntry): void {
    list.push(entry);
    if (list.length > MAX_ENTRIES) list.shift();
  }
}

/** Two words on one eviction. */
export function isSame(a: EvictionEntry, b: EvictionEntry): boolean {
  return a.traceId === b.traceId && a.registry === b.registry && a.id === b.id;
}
