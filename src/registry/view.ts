import { MultiIndex } from "../multi-index.ts";
import type { InstanceRecord, RegistryFreshness, RegistryReader, RegistrySink } from "./port.ts";

/** What one call of the adapter changed. Holds only true differences; never empty unless `whole`. */
export interface ViewChange {
  readonly upserted: readonly Upsert[];
  /** The last records of ids that left. */
  readonly removed: readonly InstanceRecord[];
  /** The first snapshot: judging everything is better than one record at a time. */
  readonly whole: boolean;
}

export interface Upsert {
  readonly record: InstanceRecord;
  /** Undefined when the id is new. */
  readonly previous: InstanceRecord | undefined;
}

const NOTHING_YET: RegistryFreshness = Object.freeze({
  synced: false,
  caughtUpTo: Number.NEGATIVE_INFINITY,
  problem: undefined,
  mode: "Normal",
  serverVersion: "",
  clusterId: "",
});

/** One registry's instances in memory, indexed. An adapter fills it; verdicts read it. */
export class RegistryView implements RegistrySink, RegistryReader {
  readonly name: string;
  readonly #records = new Map<string, InstanceRecord>();
  readonly #byHost = new MultiIndex<string>();
  readonly #byService = new MultiIndex<string>();
  readonly #changeListeners = new Set<(change: ViewChange) => void>();
  readonly #stateListeners = new Set<() => void>();
  #freshness = NOTHING_YET;
  #ignored: Readonly<Record<string, number>> = {};
  #hasSnapshot = false;

  /** @param name of the Registry object */
  constructor(name: string) {
    this.name = name;
  }

  snapshot(records: readonly InstanceRecord[]): void {
    const upserted: Upsert[] = [];
    const listed = new Set<string>();
    for (const record of records) {
      listed.add(record.id);
      const change = this.#upsert(record);
      if (change !== undefined) upserted.push(change);
    }
    const removed: InstanceRecord[] = [];
    for (const record of this.#records.values()) {
      if (listed.has(record.id)) continue;
      this.#remove(record);
      removed.push(record);
    }
    const whole = !this.#hasSnapshot;
    this.#hasSnapshot = true;
    this.#notify({ upserted, removed, whole });
  }

  change(upserts: readonly InstanceRecord[], removedIds: readonly string[]): void {
    const upserted = upserts.map((record) => this.#upsert(record)).filter((change) => change !== undefined);
    const removed: InstanceRecord[] = [];
    for (const id of removedIds) {
      const record = this.#records.get(id);
      if (record === undefined) continue;
      this.#remove(record);
      removed.push(record);
    }
    this.#notify({ upserted, removed, whole: false });
  }

  freshness(): RegistryFreshness;
  freshness(state: RegistryFreshness): void;
  freshness(state?: RegistryFreshness): RegistryFreshness {
    if (state === undefined) return this.#freshness;
    const before = this.#freshness;
    this.#freshness = state;
    // caughtUpTo moves all the time and tells nobody anything: whoever needs it asks.
    const isNews =
      before.synced !== state.synced ||
      before.problem?.reason !== state.problem?.reason ||
      before.problem?.message !== state.problem?.message ||
      before.mode !== state.mode ||
      before.serverVersion !== state.serverVersion ||
      before.clusterId !== state.clusterId ||
      before.defect !== state.defect ||
      Number.isFinite(before.caughtUpTo) !== Number.isFinite(state.caughtUpTo);
    if (isNews) this.#notifyState();
    return state;
  }

  ignored(totals: Readonly<Record<string, number>>): void {
    this.#ignored = totals;
    this.#notifyState();
  }

  /** What was listed and is no instance, by reason. */
  get ignoredTotals(): Readonly<Record<string, number>> {
    return this.#ignored;
  }

  /** @returns what ends the subscription */
  subscribe(listener: (change: ViewChange) => void): () => void {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  /** Called when freshness (but for the advance of `caughtUpTo`) or the ignored totals changed. */
  subscribeState(listener: () => void): () => void {
    this.#stateListeners.add(listener);
    return () => this.#stateListeners.delete(listener);
  }

  get(id: string): InstanceRecord | undefined {
    return this.#records.get(id);
  }

  byHost(host: string): readonly InstanceRecord[] {
    return this.#resolve(this.#byHost.get(host));
  }

  byService(service: string): readonly InstanceRecord[] {
    return this.#resolve(this.#byService.get(service));
  }

  services(): Iterable<string> {
    return this.#byService.keys();
  }

  values(): Iterable<InstanceRecord> {
    return this.#records.values();
  }

  get size(): number {
    return this.#records.size;
  }

  #resolve(ids: readonly string[]): readonly InstanceRecord[] {
    const records: InstanceRecord[] = [];
    for (const id of ids) {
      const record = this.#records.get(id);
      if (record !== undefined) records.push(record);
    }
    return records;
  }

  /** @returns undefined when nothing differs */
  #upsert(incoming: InstanceRecord): Upsert | undefined {
    const previous = this.#records.get(incoming.id);
    const record = previous === undefined ? incoming : withKnownBounds(incoming, previous);
    if (record === previous) return undefined;
    if (previous !== undefined) this.#unindex(previous);
    this.#records.set(record.id, record);
    this.#byService.add(record.service, record.id);
    for (const { host } of record.endpoints) this.#byHost.add(host, record.id);
    return { record, previous };
  }

  #remove(record: InstanceRecord): void {
    this.#records.delete(record.id);
    this.#unindex(record);
  }

  #unindex(record: InstanceRecord): void {
    this.#byService.delete(record.service, record.id);
    for (const { host } of record.endpoints) this.#byHost.delete(host, record.id);
  }

  #notify(change: ViewChange): void {
    if (change.upserted.length === 0 && change.removed.length === 0 && !change.whole) return;
    for (const listener of this.#changeListeners) listener(change);
  }

  #notifyState(): void {
    for (const listener of this.#stateListeners) listener();
  }
}

/**
 * What is known of a write does not get less certain because the record was read again: of two bounds on the same
 * version the tighter one holds.
 * @returns `previous` itself when nothing differs
 */
function withKnownBounds(incoming: InstanceRecord, previous: InstanceRecord): InstanceRecord {
  if (incoming === previous || incoming.version !== previous.version) return incoming;
  const bounds = {
    seenAt: Math.min(incoming.seenAt, previous.seenAt),
    writtenAfter: Math.max(incoming.writtenAfter, previous.writtenAfter),
    touchedAfter: Math.max(incoming.touchedAfter, previous.touchedAfter),
  };
  if (hasBounds(previous, bounds) && hasSameContent(incoming, previous)) return previous;
  return hasBounds(incoming, bounds) ? incoming : Object.freeze({ ...incoming, ...bounds });
}

type Bounds = Pick<InstanceRecord, "seenAt" | "writtenAfter" | "touchedAfter">;

function hasBounds(record: InstanceRecord, bounds: Bounds): boolean {
  return (
    record.seenAt === bounds.seenAt &&
    record.writtenAfter === bounds.writtenAfter &&
    record.touchedAfter === bounds.touchedAfter
  );
}

/** Compares all but the bounds, of two records with one id and version. */
function hasSameContent(a: InstanceRecord, b: InstanceRecord): boolean {
  return (
    a.service === b.service &&
    a.instance === b.instance &&
    a.format === b.format &&
    a.ttlMs === b.ttlMs &&
    a.isHeard === b.isHeard &&
    a.managedBy === b.managedBy &&
    a.quarantined === b.quarantined &&
    JSON.stringify([a.removal, a.endpoints, a.metadata]) === JSON.stringify([b.removal, b.endpoints, b.metadata])
  );
}
