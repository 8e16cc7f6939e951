import { hash } from "node:crypto";

import { Pool } from "../pool.ts";
import type { Endpoint, InstanceRecord } from "../port.ts";
import type { Decoded, IgnoredReason, Layout } from "./layouts/layout.ts";
import { idOf, type LayoutSet } from "./layouts/layout-set.ts";
import type { Timeline } from "../timeline.ts";
import { formatVersion, parseVersion } from "./version.ts";

/** A key as etcd answers it. Numbers are decimal text, for they may be 64 bits wide. */
export interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly create_revision: string;
  readonly mod_revision: string;
  readonly lease: string;
}

/** What the table remembers beside the record, to tell whether the same process wrote again. */
interface Row {
  readonly record: InstanceRecord;
  readonly createRevision: number;
  /** Of the value. */
  readonly digest: string;
}

const YES = Object.freeze({ effective: "Yes" } as const);

/** Every key under the layouts' prefixes: instances as records, the rest counted by reason. */
export class KeyTable {
  readonly #name: string;
  readonly #layouts: LayoutSet;
  readonly #timeline: Timeline;
  readonly #rows = new Map<string, Row>();
  readonly #ignored = new Map<string, IgnoredReason>();
  readonly #totals = new Map<IgnoredReason, number>();
  /** Some 4 MiB and 1 MiB when full. */
  readonly #texts = new Pool<string>(50_000);
  readonly #metadata = new Pool<Readonly<Record<string, string>>>(2_000);
  /** Ids whose key may hold another write of the same revision by now; see {@link doubtAfter}. */
  readonly #doubted = new Set<string>();
  #ignoredChanges = 0;
  /** Part of every version that is given from here on. */
  #era: number;

  constructor(name: string, layouts: LayoutSet, timeline: Timeline, era: number) {
    this.#name = name;
    this.#layouts = layouts;
    this.#timeline = timeline;
    this.#era = era;
  }

  get era(): number {
    return this.#era;
  }

  /** The data is another one from here on. What is known stays listed until it is replaced; no version of it recurs. */
  beginEra(era: number): void {
    this.#era = era;
    this.#rows.clear();
    this.#doubted.clear();
  }

  /**
   * Whatever was written after this revision may be lost, and its revisions may be those of other writes. What is known
   * of such keys stays listed until they are met again, and then counts as written anew.
   * @param era of what is met from here on
   */
  doubtAfter(revision: number, era: number): void {
    for (const [id, { record }] of this.#rows) {
      if (parseVersion(record.version).modRevision > revision) this.#doubted.add(id);
    }
    if (this.isInDoubt) this.#era = era;
  }

  /** Something that is listed has not been met again since it was doubted. */
  get isInDoubt(): boolean {
    return this.#doubted.size > 0;
  }

  /** Whether the record is what its key holds, by all that is known now. */
  stands({ id, version }: InstanceRecord): boolean {
    const row = this.#rows.get(id);
    if (row === undefined) return parseVersion(version).era === this.#era;
    return row.record.version === version && !this.#doubted.has(id);
  }

  get totals(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#totals].filter(([, count]) => count > 0));
  }

  /** Rises with every change of {@link totals}. */
  get ignoredChanges(): number {
    return this.#ignoredChanges;
  }

  *records(): Iterable<InstanceRecord> {
    for (const { record } of this.#rows.values()) yield record;
  }

  /** Whether taking in the entry would change nothing. */
  holds(entry: KeyValue): boolean {
    const id = idOf(entry.key);
    const row = this.#rows.get(id);
    if (row !== undefined) return !this.#doubted.has(id) && isWriteOf(row, entry);
    const reason = this.#ignored.get(id);
    if (reason === undefined) return false;
    const reading = this.#layouts.read(entry);
    return "ignored" in reading && reading.ignored === reason;
  }

  /** Ids of everything known, instances and others. */
  *ids(): Iterable<string> {
    yield* this.#rows.keys();
    yield* this.#ignored.keys();
  }

  /**
   * Takes in what a key holds now.
   * @param now local monotonic milliseconds: the key is known to hold this by now
   * @returns the record when it is an instance and differs from what was known; the id when an instance became none
   */
  put(entry: KeyValue, now: number): { readonly upserted?: InstanceRecord; readonly removed?: string } {
    const reading = this.#layouts.read(entry);
    const { id } = reading;
    if ("ignored" in reading) {
      const wasInstance = this.#forget(id);
      this.#ignore(id, reading.ignored);
      return wasInstance ? { removed: id } : {};
    }
    this.#ignore(id, undefined);
    const known = this.#certain(id);
    const row = this.#rowOf(entry, id, reading.layout, reading.decoded, known, now);
    if (row === known) return {};
    this.#doubted.delete(id);
    this.#rows.set(id, row);
    return { upserted: row.record };
  }

  /** @returns whether an instance left */
  removeId(id: string): boolean {
    this.#ignore(id, undefined);
    return this.#forget(id);
  }

  /** Decodes without taking in; undefined when it is not an instance. */
  peek(entry: KeyValue, now: number): InstanceRecord | undefined {
    const reading = this.#layouts.read(entry);
    if ("ignored" in reading) return undefined;
    const { id, layout, decoded } = reading;
    return this.#rowOf(entry, id, layout, decoded, this.#certain(id), now).record;
  }

  /**
   * The lease's true length has become known.
   * @returns the record with it, or undefined when nothing changes
   */
  learnTtl(id: string, lease: string, ttlMs: number): InstanceRecord | undefined {
    const row = this.#rows.get(id);
    if (row === undefined || leaseOf(row) !== lease || row.record.ttlMs === ttlMs) return undefined;
    const record = Object.freeze({ ...row.record, ttlMs });
    this.#rows.set(id, { ...row, record });
    return record;
  }

  /** What is known of the key beyond doubt. */
  #certain(id: string): Row | undefined {
    return this.#doubted.has(id) ? undefined : this.#rows.get(id);
  }

  #forget(id: string): boolean {
    this.#doubted.delete(id);
    return this.#rows.delete(id);
  }

  #rowOf(entry: KeyValue, id: string, layout: Layout, decoded: Decoded, known: Row | undefined, now: number): Row {
    if (known !== undefined && isWriteOf(known, entry)) return known;
    const createRevision = Number(entry.create_revision);
    const { lease } = entry;
    const digest = hash("sha256", entry.value, "base64url");
    // A lease belongs to one process. The key never left, hangs on the same lease and says the same: it wrote again.
    const isSameWriter =
      known?.createRevision === createRevision && lease !== "0" && leaseOf(known) === lease && known.digest === digest;
    const touchedAfter = this.#timeline.before(Number(entry.mod_revision));
    const record: InstanceRecord = Object.freeze({
      registry: this.#name,
      id,
      service: this.#text(decoded.service),
      instance: decoded.instance,
      endpoints: Object.freeze(decoded.endpoints.map((endpoint) => this.#pooledEndpoint(endpoint))),
      format: layout.name,
      metadata: this.#pooledMetadata(decoded.metadata),
      version: formatVersion({ era: this.#era, modRevision: Number(entry.mod_revision), lease }),
      seenAt: isSameWriter ? known.record.seenAt : now,
      writtenAfter: isSameWriter ? known.record.writtenAfter : touchedAfter,
      touchedAfter,
      ttlMs: ttlOf(lease, layout, known),
      managedBy: undefined,
      quarantined: false,
      removal: YES,
    });
    return { record, createRevision, digest };
  }

  #text(text: string): string {
    return this.#texts.get(text, () => text);
  }

  #pooledEndpoint(endpoint: Endpoint): Endpoint {
    return Object.freeze({ ...endpoint, host: this.#text(endpoint.host) });
  }

  #pooledMetadata(metadata: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
    const entries = Object.entries(metadata);
    return this.#metadata.get(JSON.stringify(entries), () =>
      Object.freeze(Object.fromEntries(entries.map(([name, value]) => [this.#text(name), this.#text(value)]))),
    );
  }

  #ignore(id: string, reason: IgnoredReason | undefined): void {
    const before = this.#ignored.get(id);
    if (before === reason) return;
    this.#ignoredChanges++;
    if (before !== undefined) this.#totals.set(before, (this.#totals.get(before) ?? 0) - 1);
    if (reason === undefined) this.#ignored.delete(id);
    else {
      this.#ignored.set(id, reason);
      this.#totals.set(reason, (this.#totals.get(reason) ?? 0) + 1);
    }
  }
}

function isWriteOf({ record }: Row, { mod_revision, lease }: KeyValue): boolean {
  const version = parseVersion(record.version);
  return version.modRevision === Number(mod_revision) && version.lease === lease;
}

function leaseOf({ record }: Row): string {
  return parseVersion(record.version).lease;
}

/** The framework's usual TTL until the lease itself was asked; the answer stays true for as long as the lease does. */
function ttlOf(lease: string, layout: Layout, known: Row | undefined): number {
  if (lease === "0") return 0;
  return known !== undefined && leaseOf(known) === lease ? known.record.ttlMs : layout.ttlMs;
}
