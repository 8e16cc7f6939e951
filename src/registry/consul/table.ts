import { Pool } from "../pool.ts";
import type { Endpoint, InstanceRecord } from "../port.ts";
import type { Timeline } from "../timeline.ts";
import { decode, type Decoded, type IgnoredReason } from "./decode.ts";
import { EntryId } from "./entry-id.ts";
import { type Heartbeat, heartbeatOf } from "./life.ts";
import type { CatalogEntry } from "./model.ts";
import { type AgentRoute, type Keeper, keeperOf, managerOf, removalOf } from "./ownership.ts";
import { formatVersion, parseVersion, type RecordVersion } from "./version.ts";

/** What the table remembers beside the record. */
interface Row {
  readonly record: InstanceRecord;
  readonly version: RecordVersion;
  readonly keeper: Keeper;
  readonly node: string;
  /** Address and marks of the node: an entry can change with them though nobody wrote it. */
  readonly nodeState: string;
  /** What its checks said when it was last written, and since when they have said that its time ran out. */
  readonly heartbeat: Heartbeat | undefined;
  readonly expiredSince: number | undefined;
}

export interface TableOptions {
  /** Name of the Registry object. */
  readonly name: string;
  /** All services when empty. */
  readonly servicePrefixes: readonly string[];
  readonly timeline: Timeline;
  readonly era: number;
  /** The way to a node's agent as it is now. */
  readonly routeTo: (node: string) => AgentRoute;
}

/** Every entry of the catalog that is ours to look at: instances as records, the rest counted by reason. */
export class CatalogTable {
  readonly #options: TableOptions;
  readonly #texts = new Pool<string>(50_000);
  readonly #metadata = new Pool<Readonly<Record<string, string>>>(2_000);
  #rows = new Map<string, Row>();
  #totals: Readonly<Record<string, number>> = {};
  /** Entries that we deleted ourselves, and the index from which on a list is newer than that. */
  readonly #deleted = new Map<string, number>();
  #era: number;
  #lastNode: { readonly node: CatalogEntry["node"]; readonly state: string } | undefined;

  constructor(options: TableOptions) {
    this.#options = options;
    this.#era = options.era;
  }

  /** What was listed and is no instance, by reason. */
  get totals(): Readonly<Record<string, number>> {
    return this.#totals;
  }

  /** The data is another one from here on. What is known stays listed until it is replaced; no version of it recurs. */
  beginEra(era: number): void {
    this.#era = era;
    this.#rows = new Map();
    this.#deleted.clear();
  }

  *records(): Iterable<InstanceRecord> {
    for (const { record } of this.#rows.values()) yield record;
  }

  /** The name a service is listed under; undefined when it is not listed. */
  serviceOf(id: string): string | undefined {
    return this.#rows.get(id)?.record.service;
  }

  /**
   * Since when the checks have said, without a break, that the registrant's time ran out; undefined when they do not, or
   * say it for another source.
   */
  expiredSince(id: string, source: string): number | undefined {
    const row = this.#rows.get(id);
    return row?.heartbeat?.source === source ? row.expiredSince : undefined;
  }

  /** Whether a version is one of the data as it is now. */
  stands({ version }: InstanceRecord): boolean {
    return parseVersion(version).era === this.#era;
  }

  /**
   * Takes in a complete list in place of what is known.
   * @param complete index up to which every write is in the list
   * @param now local monotonic milliseconds: everything in the list existed by now
   * @returns what differs, by id; undefined for what left
   */
  replace(
    entries: Iterable<CatalogEntry>,
    complete: number,
    now: number,
  ): ReadonlyMap<string, InstanceRecord | undefined> {
    const changed = new Map<string, InstanceRecord | undefined>();
    const rows = new Map<string, Row>();
    this.#lastNode = undefined;
    const totals = new Map<IgnoredReason, number>();
    for (const entry of entries) {
      if (!this.#isOfInterest(entry.service.Service)) continue;
      const id = new EntryId(entry.node.Node, entry.service.ID).toString();
      const known = this.#rows.get(id);
      // Most entries are as they were, and must not cost more than it takes to see that.
      if (known !== undefined && this.#isUnchanged(known, entry)) {
        rows.set(id, known);
        continue;
      }
      const decoded = decode(entry);
      if (typeof decoded === "string") {
        totals.set(decoded, (totals.get(decoded) ?? 0) + 1);
        continue;
      }
      // A list that was read before our own deletion still shows it.
      if (
        known === undefined &&
        (this.#deleted.get(id) ?? 0) > entry.service.ModifyIndex &&
        this.#isOlder(id, complete)
      )
        continue;
      const row = this.#rowOf(id, entry, decoded, known, now);
      rows.set(id, row);
      if (row.record !== known?.record) changed.set(id, row.record);
    }
    for (const id of this.#rows.keys()) if (!rows.has(id)) changed.set(id, undefined);
    for (const id of [...this.#deleted.keys()]) if (!this.#isOlder(id, complete)) this.#deleted.delete(id);
    this.#rows = rows;
    this.#totals = Object.fromEntries(totals);
    return changed;
  }

  /** Decodes without taking in; undefined when it is not an instance. */
  peek(entry: CatalogEntry, now: number): InstanceRecord | undefined {
    const decoded = decode(entry);
    if (typeof decoded === "string" || !this.#isOfInterest(entry.service.Service)) return undefined;
    const id = new EntryId(entry.node.Node, entry.service.ID).toString();
    return this.#rowOf(id, entry, decoded, this.#rows.get(id), now).record;
  }

  /**
   * We deleted this version of it.
   * @param index of the deletion, or a smaller one known to be above all that was read before
   * @returns whether it was listed
   */
  deletedByUs(id: string, version: string, index: number): boolean {
    const row = this.#rows.get(id);
    if (row?.record.version !== version) return false;
    this.#rows.delete(id);
    this.#deleted.set(id, index);
    return true;
  }

  /** The way to the agent of a node has changed. @returns the records that differ, by id */
  reroute(node: string): ReadonlyMap<string, InstanceRecord> {
    const changed = new Map<string, InstanceRecord>();
    for (const [id, row] of this.#rows) {
      if (row.node !== node) continue;
      const removal = removalOf(row.keeper, node, this.#options.routeTo(node));
      if (JSON.stringify(removal) === JSON.stringify(row.record.removal)) continue;
      const record = Object.freeze({ ...row.record, removal: Object.freeze(removal) });
      this.#rows.set(id, { ...row, record });
      changed.set(id, record);
    }
    return changed;
  }

  /** Whether a list that is complete up to this index may lack our deletion. */
  #isOlder(id: string, complete: number): boolean {
    return complete < (this.#deleted.get(id) ?? 0);
  }

  #isOfInterest(service: string): boolean {
    const { servicePrefixes } = this.#options;
    return servicePrefixes.length === 0 || servicePrefixes.some((prefix) => service.startsWith(prefix));
  }

  #isUnchanged({ version, nodeState }: Row, entry: CatalogEntry): boolean {
    const { node, service, checks } = entry;
    return (
      (node.PeerName ?? "") === "" &&
      version.created === service.CreateIndex &&
      version.modified === service.ModifyIndex &&
      version.checks.length === checks.length &&
      checks.every(({ CheckID, ModifyIndex }, i) => {
        const known = version.checks[i];
        return known?.[0] === CheckID && known[1] === ModifyIndex;
      }) &&
      nodeState === this.#nodeStateOf(entry)
    );
  }

  /** What an entry owes to its node. Worked out once for all that are listed of one node. */
  #nodeStateOf(entry: CatalogEntry): string {
    const { node } = entry;
    if (this.#lastNode?.node === node) return this.#lastNode.state;
    const marks = [node.Meta?.["external-source"], node.Meta?.["synthetic-node"]];
    const state = JSON.stringify([node.Address, marks, keeperOf(entry), this.#options.routeTo(node.Node)]);
    this.#lastNode = { node, state };
    return state;
  }

  #rowOf(id: string, entry: CatalogEntry, decoded: Decoded, known: Row | undefined, now: number): Row {
    const version = versionOf(entry, this.#era);
    const keeper = keeperOf(entry);
    const node = entry.node.Node;
    const managedBy = managerOf(entry);
    const removal = removalOf(keeper, node, this.#options.routeTo(node));
    const nodeState = this.#nodeStateOf(entry);
    const heartbeat = heartbeatOf(entry);
    const text = formatVersion(version);
    if (known?.record.version === text && known.nodeState === nodeState) return known;
    const record: InstanceRecord = Object.freeze({
      registry: this.#options.name,
      id,
      service: this.#text(decoded.service),
      instance: decoded.instance,
      endpoints: Object.freeze(decoded.endpoints.map((endpoint) => this.#pooledEndpoint(endpoint))),
      format: keeper.kind,
      metadata: this.#pooledMetadata(decoded.metadata),
      version: text,
      ...this.#boundsOf(entry, version, known, now),
      // The catalog tells neither an agent's TTL nor when it reaps.
      ttlMs: 0,
      isHeard: heartbeat !== undefined,
      managedBy,
      quarantined: false,
      removal: Object.freeze(removal),
    });
    const goesOn = heartbeat !== undefined && known?.heartbeat?.source === heartbeat.source;
    const expiredSince = heartbeat?.expired === true ? ((goesOn ? known.expiredSince : undefined) ?? now) : undefined;
    return { record, version, keeper, node, nodeState, heartbeat, expiredSince };
  }

  /**
   * A check that turns critical is the registry's own word, and says that nobody answers: it is no sign of life and no
   * new writer. Any other write may be somebody else's. That nothing was written proves nothing: the same registered once
   * more leaves no trace, which Capabilities.exactGuard tells the caller.
   */
  #boundsOf(
    { checks }: CatalogEntry,
    version: RecordVersion,
    known: Row | undefined,
    now: number,
  ): Pick<InstanceRecord, "seenAt" | "writtenAfter" | "touchedAfter"> {
    const { timeline } = this.#options;
    const critical = new Set(checks.filter(({ Status }) => Status === "critical").map(({ CheckID }) => CheckID));
    const knownChecks = new Map(known?.version.checks);
    const written = version.checks
      .filter(([id, modified]) => !critical.has(id) && knownChecks.get(id) !== modified)
      .map(([, modified]) => modified);
    if (known?.version.created !== version.created || known.version.modified !== version.modified) {
      return {
        seenAt: now,
        writtenAfter: timeline.before(version.modified),
        touchedAfter: timeline.before(Math.max(version.modified, ...written)),
      };
    }
    const { seenAt, writtenAfter, touchedAfter } = known.record;
    if (written.length === 0) return { seenAt, writtenAfter, touchedAfter };
    return {
      seenAt: now,
      writtenAfter,
      touchedAfter: Math.max(touchedAfter, timeline.before(Math.max(...written))),
    };
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
}

/** The version of an entry as it was read. */
export function versionOf({ service, checks }: CatalogEntry, era: number): RecordVersion {
  return {
    era,
    created: service.CreateIndex,
    modified: service.ModifyIndex,
    checks: checks.map(({ CheckID, ModifyIndex }) => [CheckID, ModifyIndex] as const),
  };
}
