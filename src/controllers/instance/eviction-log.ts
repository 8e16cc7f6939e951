import type { EvictionEntry } from "../types.ts";

/** The report shows at most this many (crds/registrationreports.yaml). */
const MAX_ENTRIES = 100;

interface PolicyLog {
  total: number;
  last: Date | undefined;
  /** Newest last. */
  readonly entries: EvictionEntry[];
}

/** What this process evicted, per policy: totals, and the most recent with what restores them. */
export class EvictionLog {
  readonly #policies = new Map<string, PolicyLog>();

  add(policy: string, entry: EvictionEntry): void {
    let log = this.#policies.get(policy);
    if (log === undefined) this.#policies.set(policy, (log = { total: 0, last: undefined, entries: [] }));
    log.total += 1;
    log.last = entry.time;
    log.entries.push(entry);
    if (log.entries.length > MAX_ENTRIES) log.entries.shift();
  }

  /** Newest first. */
  entries(policy: string): readonly EvictionEntry[] {
    return this.#policies.get(policy)?.entries.toReversed() ?? [];
  }

  evicted(policy: string): { readonly total: number; readonly last: Date | undefined } {
    const log = this.#policies.get(policy);
    return { total: log?.total ?? 0, last: log?.last };
  }
}
