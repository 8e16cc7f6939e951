import { hash } from "node:crypto";

import { Pool } from "../pool.ts";
import type { InstanceRecord } from "../port.ts";
import { decode, type Decoded, type IgnoredReason, removalOf } from "./decode.ts";
import type { NacosInstance } from "./model.ts";
import type { NacosScope } from "./options.ts";
import { formatId } from "./record-id.ts";
import { kindOf, type Writers } from "./writers.ts";

interface Row {
  readonly record: InstanceRecord;
  readonly instance: NacosInstance;
  readonly writers: Writers;
  /** Counts what had left when this one came: the same under the same id is another one. */
  readonly generation: number;
  /** Since when the server has called its heartbeat missed, without a break. */
  readonly unhealthySince: number | undefined;
}

/** An instance with who registered it. */
export interface Listed {
  readonly instance: NacosInstance;
  readonly writers: Writers;
  /** Local monotonic milliseconds: an earlier change of its writers would have been seen. */
  readonly writersKnownAt: number;
}

/** Local monotonic milliseconds. */
export interface ListTimes {
  /** When the list was begun. */
  readonly startedAt: number;
  /** Everything in the list existed by now. */
  readonly now: number;
  /** Everything written before this moment was in the list before; -Infinity when there was none. */
  readonly listedBefore: number;
}

export interface TableOptions {
  /** Name of the Registry object. */
  readonly name: string;
  readonly scope: NacosScope;
}

let lastEra = 0;

/** Versions of one era are never taken for those of another: neither after a loss, nor by another adapter. */
function nextEra(): number {
  lastEra++;
  return lastEra;
}

/** Every instance that is ours to look at, as records; the rest counted by reason. */
export class InstanceTable {
  readonly #options: TableOptions;
  readonly #texts = new Pool<string>(50_000);
  readonly #metadata = new Pool<Readonly<Record<string, string>>>(2_000);
  #rows = new Map<string, Row>();
  #totals: Readonly<Record<string, number>> = {};
  /** Records that we removed ourselves, and when: a list that was begun before may still show them. */
  readonly #removed = new Map<string, number>();
  #departures = 0;
  #era = nextEra();

  constructor(options: TableOptions) {
    this.#options = options;
  }

  get totals(): Readonly<Record<string, number>> {
    return this.#totals;
  }

  get size(): number {
    return this.#rows.size;
  }

  /** What is known is not continued by what is listed from now on. */
  beginEra(): void {
    this.#era = nextEra();
    this.#rows = new Map();
    this.#removed.clear();
  }

  *records(): Iterable<InstanceRecord> {
    for (const { record } of this.#rows.values()) yield record;
  }

  /** Whether a version is one of the data as it is now. */
  stands({ version }: InstanceRecord): boolean {
    return version.startsWith(`${String(this.#era)}.`);
  }

  isOfInterest({ group, service }: Pick<NacosInstance, "group" | "service">): boolean {
    const { groups, servicePrefixes } = this.#options.scope;
    if (groups.length > 0 && !groups.includes(group)) return false;
    return servicePrefixes.length === 0 || servicePrefixes.some((prefix) => service.startsWith(prefix));
  }

  /** How many of the instances are known already. */
  countKnown(instances: readonly NacosInstance[]): number {
    return instances.filter((instance) => this.#rows.has(this.#idOf(instance))).length;
  }

  /** Since when its heartbeat has been called missed, without a break, while the same client kept it listed. */
  unhealthySince(id: string, writers: Writers): number | undefined {
    const row = this.#rows.get(id);
    return row !== undefined && isSame(row.writers, writers) ? row.unhealthySince : undefined;
  }

  /**
   * Takes in a complete list in place of what is known.
   * @returns what differs, by id; undefined for what left
   */
  replace(
    listed: Iterable<Listed>,
    { startedAt, now, listedBefore }: ListTimes,
  ): ReadonlyMap<string, InstanceRecord | undefined> {
    const changed = new Map<string, InstanceRecord | undefined>();
    const rows = new Map<string, Row>();
    const totals = new Map<IgnoredReason, number>();
    for (const item of listed) {
      const decoded = decode(item.instance);
      if (typeof decoded === "string") {
        totals.set(decoded, (totals.get(decoded) ?? 0) + 1);
        continue;
      }
      const id = this.#idOf(item.instance);
      const known = this.#rows.get(id);
      if (known === undefined && (this.#removed.get(id) ?? Number.NEGATIVE_INFINITY) > startedAt) continue;
      // What was not listed was not written; of who wrote what was, the list says nothing.
      const before = known === undefined ? listedBefore : Math.min(listedBefore, item.writersKnownAt);
      const row = this.#rowOf(id, item, decoded, known, now, before);
      rows.set(id, row);
      if (row.record !== known?.record) changed.set(id, row.record);
    }
    for (const id of this.#rows.keys()) {
      if (rows.has(id)) continue;
      changed.set(id, undefined);
      this.#departures++;
    }
    for (const [id, at] of this.#removed) if (at <= startedAt) this.#removed.delete(id);
    this.#rows = rows;
    this.#totals = Object.fromEntries(totals);
    return changed;
  }

  /** The record of what was read just now, without taking it in; undefined when it is not one. */
  peek(instance: NacosInstance, writers: Writers, now: number): InstanceRecord | undefined {
    const decoded = decode(instance);
    if (typeof decoded === "string" || !this.isOfInterest(instance)) return undefined;
    const id = this.#idOf(instance);
    const listed = { instance, writers, writersKnownAt: Number.NEGATIVE_INFINITY };
    return this.#rowOf(id, listed, decoded, this.#rows.get(id), now, Number.NEGATIVE_INFINITY).record;
  }

  /** We removed this version of it. @returns whether it was listed */
  removedByUs({ id, version }: InstanceRecord, now: number): boolean {
    const row = this.#rows.get(id);
    if (row?.record.version !== version) return false;
    this.#rows.delete(id);
    this.#removed.set(id, now);
    this.#departures++;
    return true;
  }

  #idOf(instance: NacosInstance): string {
    return formatId({ namespace: this.#options.scope.namespace, ...instance });
  }

  #rowOf(
    id: string,
    { instance, writers }: Listed,
    decoded: Decoded,
    known: Row | undefined,
    now: number,
    before: number,
  ): Row {
    const generation = known?.generation ?? this.#departures;
    const kind = kindOf(writers);
    const version = [this.#era, generation, digestOf(instance, writers)].join(".");
    const bounds = boundsOf(instance, writers, version, known, now, before);
    const isMissed = kind === "HTTP" && !instance.healthy;
    const goesOn = known !== undefined && isSame(known.writers, writers);
    const unhealthySince = isMissed ? ((goesOn ? known.unhealthySince : undefined) ?? now) : undefined;
    const isKnown =
      known?.record.version === version &&
      known.record.touchedAfter === bounds.touchedAfter &&
      known.record.ttlMs === ttlOf(instance, kind);
    const record = isKnown ? known.record : this.#recordOf(id, instance, decoded, { version, kind, bounds });
    return { record, instance, writers, generation, unhealthySince };
  }

  #recordOf(
    id: string,
    instance: NacosInstance,
    { service, instance: name, endpoint, metadata }: Decoded,
    {
      version,
      kind,
      bounds,
    }: { readonly version: string; readonly kind: ReturnType<typeof kindOf>; readonly bounds: Bounds },
  ): InstanceRecord {
    return Object.freeze({
      registry: this.#options.name,
      id,
      service: this.#text(service),
      instance: name,
      endpoints: Object.freeze([endpoint]),
      format: kind,
      metadata: this.#pooledMetadata(metadata),
      version,
      ...bounds,
      ttlMs: ttlOf(instance, kind),
      managedBy: undefined,
      quarantined: !instance.enabled,
      removal: removalOf(kind),
    });
  }

  #text(text: string): string {
    return this.#texts.get(text, () => text);
  }

  #pooledMetadata(metadata: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
    const entries = Object.entries(metadata);
    return this.#metadata.get(JSON.stringify(entries), () =>
      Object.freeze(Object.fromEntries(entries.map(([name, value]) => [this.#text(name), this.#text(value)]))),
    );
  }
}

type Bounds = Pick<InstanceRecord, "seenAt" | "writtenAfter" | "touchedAfter">;

/**
 * A server that calls a heartbeat missed is no sign of life; one that takes it back is. Weight and `enabled` are written by
 * persons and by us, not by who registered. On one and the same gRPC connection only the process that opened it writes.
 */
function boundsOf(
  instance: NacosInstance,
  writers: Writers,
  version: string,
  known: Row | undefined,
  now: number,
  before: number,
): Bounds {
  if (known === undefined) return { seenAt: now, writtenAfter: before, touchedAfter: before };
  const { seenAt, writtenAfter, touchedAfter } = known.record;
  const touched = { seenAt, writtenAfter, touchedAfter: Math.max(touchedAfter, before) };
  if (known.record.version === version) {
    return instance.healthy && !known.instance.healthy ? touched : { seenAt, writtenAfter, touchedAfter };
  }
  if (isSame(known.writers, writers)) {
    if (registeredOf(known.instance) === registeredOf(instance)) return { seenAt, writtenAfter, touchedAfter };
    if (kindOf(writers) === "GRPC") return touched;
  }
  return { seenAt: now, writtenAfter: before, touchedAfter: before };
}

/** What the registrant alone writes. */
function registeredOf({ ephemeral, metadata }: NacosInstance): string {
  return JSON.stringify([ephemeral, metadata]);
}

function digestOf(instance: NacosInstance, { ids, stamp }: Writers): string {
  const { weight, enabled } = instance;
  return hash("sha256", JSON.stringify([weight, enabled, registeredOf(instance), ids, stamp ?? 0]), "base64url");
}

function isSame(one: Writers, other: Writers): boolean {
  return one.stamp === other.stamp && JSON.stringify(one.ids) === JSON.stringify(other.ids);
}

/** Only what beats is forgotten: a connection is there or not, and what is persistent stays. */
function ttlOf({ deleteTimeout }: NacosInstance, kind: ReturnType<typeof kindOf>): number {
  return kind === "HTTP" ? deleteTimeout : 0;
}
