import type { Clock } from "../../clock/clock.ts";
import { formatEndpoints } from "../../registry/endpoint.ts";
import type { InstanceRecord } from "../../registry/port.ts";
import { MAX_EVICTIONS, MAX_LIST_BYTES } from "../report/build.ts";
import { cut, LONGEST } from "../report/cut.ts";
import type { EvictionEntry, ManagedRegistry, RegistrySet } from "../types.ts";
import type { Comebacks } from "./comebacks.ts";
import { type EvictionLog, isSame } from "./eviction-log.ts";
import { keyOf } from "./keys.ts";

/** Name and UID of a RegistrationPolicy. */
export interface PolicyIdentity {
  readonly name: string;
  readonly uid: string;
}

/** An entry that we took out of rotation, and that may be out of it still. */
export interface Quarantine {
  /** That took it out. */
  readonly policy: PolicyIdentity;
  readonly entry: EvictionEntry;
  /**
   * Local monotonic milliseconds at which the registry had been asked; `-Infinity` where an earlier leader asked,
   * `Infinity` while it is about to be.
   */
  readonly at: number;
  /** The registry acknowledged it. */
  readonly isCertain: boolean;
}

interface Held extends Quarantine {
  /** Local monotonic milliseconds since when we know of it. */
  readonly knownAt: number;
  /** Since when nobody is listed at the place, local monotonic milliseconds. */
  absentSince: number | undefined;
  /** A release was sent, and its answer is lost or not yet verified. */
  isReleaseAsked: boolean;
}

/** How a quarantine ended: by our release; found in rotation again; its place empty for too long. */
type End = "Released" | "Lifted" | "Left";

/** A newborn inherits the flag for so long after the entry left (Nacos: 60 s, looked at every 5 s), with a margin. */
const INHERITED_FOR_MS = 90_000;
/** A flag can outlast that, when it was written just as the entry left. */
const FORGET_AFTER_MS = 3_600_000;
/** No view shows yet what became of it. */
const ABOUT_TO_ASK = Number.POSITIVE_INFINITY;
/** What one entry takes of a report at most besides the texts that its registrant chose. */
const ENTRY_BYTES = 1_536;

export interface QuarantinesParts {
  readonly evictions: EvictionLog;
  readonly comebacks: Pick<Comebacks, "lifted">;
  readonly clock: Clock;
  /** Called when what a status or report shows has changed. */
  readonly changed: (policy: string) => void;
}

/**
 * Our own quarantines that may be in force: the only entries that are ever put back into rotation. Those of an earlier
 * leader come from the reports. Never more than a report can hold, so that the next leader knows all of them.
 */
export class Quarantines {
  readonly #parts: QuarantinesParts;
  /** By key of the record. */
  readonly #held = new Map<string, Held>();
  /** Service and address of each, as far as a report shows them -> key of the record. */
  readonly #byPlace = new Map<string, string>();
  /** UIDs of policies whose report was read in this leadership. */
  readonly #seeded = new Set<string>();

  constructor(parts: QuarantinesParts) {
    this.#parts = parts;
  }

  /** Another replica may have led meanwhile: what the reports say has to be read again. */
  beginTerm(): void {
    this.#seeded.clear();
  }

  isSeeded({ uid }: PolicyIdentity): boolean {
    return this.#seeded.has(uid);
  }

  /** Takes in what the policy's report says. */
  seed(policy: PolicyIdentity, stored: readonly EvictionEntry[]): void {
    const own = this.#parts.evictions.entries(policy);
    for (const held of this.#of(policy)) {
      const told = stored.find((entry) => isSame(entry, held.entry));
      if (told !== undefined && told.result !== "Quarantined") this.#end(held, told);
    }
    for (const entry of stored) {
      const isOver = own.some((known) => isSame(known, entry) && known.result !== "Quarantined");
      const key = keyOf(entry.registry, entry.id);
      if (entry.result !== "Quarantined" || isOver || this.#held.has(key)) continue;
      this.#hold(key, { policy, entry, at: Number.NEGATIVE_INFINITY, isCertain: true });
    }
    this.#seeded.add(policy.uid);
    this.#parts.changed(policy.name);
  }

  /** Whether the record, too, can be taken out of rotation and be known to the next leader for certain. */
  hasRoom(policy: PolicyIdentity, record: InstanceRecord): boolean {
    if (!this.#seeded.has(policy.uid)) return false;
    let count = 1;
    let bytes = bytesOf(record);
    for (const held of this.#of(policy)) {
      if (this.#isExpendable(held)) continue;
      count++;
      bytes += sizeOf(held);
    }
    return count <= MAX_EVICTIONS && bytes <= MAX_LIST_BYTES;
  }

  /**
   * The registry is about to be asked to take the entry out of rotation. From now on the report names it: should this
   * process end right after the registry's answer, the next leader knows whose it is.
   */
  begin(policy: PolicyIdentity, entry: EvictionEntry): void {
    this.add(policy, entry, ABOUT_TO_ASK, false);
  }

  /** It was not asked after all. */
  abandon(entry: EvictionEntry): void {
    const held = this.#held.get(keyOf(entry.registry, entry.id));
    if (held?.at !== ABOUT_TO_ASK || !isSame(held.entry, entry)) return;
    this.#drop(held);
    this.#parts.changed(held.policy.name);
  }

  /** The registry was asked to take the entry out of rotation. */
  add(policy: PolicyIdentity, entry: EvictionEntry, at: number, isCertain: boolean): void {
    const key = keyOf(entry.registry, entry.id);
    const before = this.#held.get(key);
    // What was never acknowledged is no end to tell of: it goes on with the next attempt.
    if (before?.isCertain === true && !isSame(before.entry, entry)) this.#endAs(before, "Ended");
    this.#hold(key, { policy, entry, at, isCertain });
    this.#makeRoom(policy);
    this.#parts.changed(policy.name);
  }

  /**
   * Our quarantine that the record is under: its own, or that of an entry at the same place whose flag it inherits.
   * Undefined when it is in rotation, or when somebody else took it out.
   */
  find({ view, name }: ManagedRegistry, record: InstanceRecord): Quarantine | undefined {
    if (!record.quarantined) return undefined;
    const own = this.#held.get(keyOf(name, record.id));
    if (own !== undefined) return own.at === ABOUT_TO_ASK ? undefined : own;
    const before = this.#held.get(this.#byPlace.get(placeOfRecord(record)) ?? "");
    if (before === undefined) return undefined;
    // One that is listed beside it may be a person's affair, unless it came after the flag was set.
    return view.get(before.entry.id) === undefined || record.seenAt > before.knownAt ? before : undefined;
  }

  /** Whether the view may still show the record as it was before we took it out of rotation. */
  mayLag({ view, name }: ManagedRegistry, record: InstanceRecord): boolean {
    const held = this.#held.get(keyOf(name, record.id));
    return held !== undefined && !record.quarantined && view.freshness().caughtUpTo <= held.at;
  }

  isHeld(quarantine: Quarantine): boolean {
    return this.#held.get(keyOf(quarantine.entry.registry, quarantine.entry.id)) === quarantine;
  }

  /** Takes in what is listed under the key now, or at the same place. */
  look(registry: ManagedRegistry, id: string): void {
    const record = registry.view.get(id);
    const place = record && this.#byPlace.get(placeOfRecord(record));
    const held = this.#held.get(keyOf(registry.name, id)) ?? this.#held.get(place ?? "");
    if (held !== undefined) this.#lookAt(held, registry);
  }

  /** Takes in what is listed at the place of each. */
  lookAtAll(registries: RegistrySet): void {
    for (const held of [...this.#held.values()]) {
      const registry = registries.get(held.entry.registry);
      if (registry === undefined) this.#isAbsent(held);
      else this.#lookAt(held, registry);
    }
  }

  /** A release was sent: when the entry is found in rotation, it was by us. */
  releaseAsked(quarantine: Quarantine): void {
    const held = this.#held.get(keyOf(quarantine.entry.registry, quarantine.entry.id));
    if (held === quarantine) held.isReleaseAsked = true;
  }

  /** @returns how the policy's report shows it from now on */
  released(quarantine: Quarantine): EvictionEntry {
    const entry = { ...quarantine.entry, result: "Released", time: this.#parts.clock.wall() };
    this.#end(quarantine, entry);
    return entry;
  }

  /** Newest first; undefined while it is not known what earlier leaders left. */
  entries(policy: PolicyIdentity): readonly EvictionEntry[] | undefined {
    return this.isSeeded(policy) ? [...this.#of(policy)].map(({ entry }) => entry).reverse() : undefined;
  }

  /** @param policy its name */
  count(policy: string): number {
    return Iterator.from(this.#held.values()).reduce((sum, held) => sum + (held.policy.name === policy ? 1 : 0), 0);
  }

  /**
   * Nobody is in charge of those of policies that are in force no more; should one be again, its report tells.
   * @param inForce UIDs
   */
  keepOnly(inForce: ReadonlySet<string>): void {
    for (const held of [...this.#held.values()]) if (!inForce.has(held.policy.uid)) this.#drop(held);
    for (const uid of this.#seeded) if (!inForce.has(uid)) this.#seeded.delete(uid);
  }

  *#of({ name, uid }: PolicyIdentity): Generator<Held> {
    for (const held of [...this.#held.values()]) {
      if (held.policy.name === name && held.policy.uid === uid) yield held;
    }
  }

  #lookAt(held: Held, { view, name, uid }: ManagedRegistry): void {
    const { synced, problem, caughtUpTo } = view.freshness();
    // What was listed before we asked tells nothing of what became of it.
    if (!synced || problem !== undefined || caughtUpTo <= held.at) return;
    const { entry } = held;
    const there = view.get(entry.id) ?? view.byService(entry.service).find((record) => isAt(record, entry));
    if (there === undefined) {
      this.#isAbsent(held);
      return;
    }
    held.absentSince = undefined;
    if (there.quarantined) return;
    this.#endBy(held, held.isReleaseAsked ? "Released" : "Lifted");
    if (!held.isReleaseAsked && held.isCertain) this.#parts.comebacks.lifted(keyOf(name, there.id), uid);
  }

  #isAbsent(held: Held): void {
    const now = this.#parts.clock.monotonic();
    held.absentSince ??= now;
    if (now - held.absentSince >= FORGET_AFTER_MS) this.#endBy(held, "Left");
  }

  #endBy(held: Held, end: End): void {
    if (end === "Released") this.released(held);
    // What was never acknowledged, and is not to be seen, was never done.
    else if (end === "Lifted" && !held.isCertain) this.#drop(held);
    else this.#endAs(held, "Ended");
  }

  #endAs(held: Quarantine, result: string): void {
    this.#end(held, { ...held.entry, result, time: this.#parts.clock.wall() });
  }

  #end(held: Quarantine, entry: EvictionEntry): void {
    this.#drop(held);
    this.#parts.evictions.amend(held.policy, entry);
    this.#parts.changed(held.policy.name);
  }

  #hold(key: string, quarantine: Quarantine): void {
    this.#held.delete(key);
    const knownAt = Number.isFinite(quarantine.at) ? quarantine.at : this.#parts.clock.monotonic();
    this.#held.set(key, { ...quarantine, knownAt, absentSince: undefined, isReleaseAsked: false });
    this.#byPlace.set(placeOf(quarantine.entry), key);
  }

  #drop({ entry }: Quarantine): void {
    const key = keyOf(entry.registry, entry.id);
    this.#held.delete(key);
    const place = placeOf(entry);
    if (this.#byPlace.get(place) === key) this.#byPlace.delete(place);
  }

  /** The place has been empty for so long that a newborn does not inherit the flag, as far as is known. */
  #isExpendable({ absentSince }: Held): boolean {
    return absentSince !== undefined && this.#parts.clock.monotonic() - absentSince >= INHERITED_FOR_MS;
  }

  #makeRoom(policy: PolicyIdentity): void {
    const held = [...this.#of(policy)];
    const expendable = held.filter((one) => this.#isExpendable(one));
    expendable.sort((a, b) => (a.absentSince ?? 0) - (b.absentSince ?? 0));
    let bytes = held.reduce((sum, one) => sum + sizeOf(one), 0);
    for (let count = held.length; count > MAX_EVICTIONS || bytes > MAX_LIST_BYTES; count--) {
      const oldest = expendable.shift();
      if (oldest === undefined) return;
      bytes -= sizeOf(oldest);
      this.#endBy(oldest, "Left");
    }
  }
}

function isAt(record: InstanceRecord, entry: EvictionEntry): boolean {
  return placeOfRecord(record) === placeOf(entry);
}

function placeOfRecord({ registry, service, endpoints }: InstanceRecord): string {
  return placeOf({ registry, service, address: formatEndpoints(endpoints) });
}

/** As far as a report shows it: what an earlier leader wrote there is all that is known. */
function placeOf({ registry, service, address }: Pick<EvictionEntry, "registry" | "service" | "address">): string {
  return JSON.stringify([registry, cut(service, LONGEST.service), cut(address, LONGEST.address)]);
}

function sizeOf({ entry: { service, instance, id, address } }: Quarantine): number {
  return ENTRY_BYTES + Buffer.byteLength(JSON.stringify([service, instance, id, address]));
}

/** What the record's quarantine would take of a report. */
function bytesOf({ service, instance, id, endpoints }: InstanceRecord): number {
  return ENTRY_BYTES + Buffer.byteLength(JSON.stringify([service, instance, id, formatEndpoints(endpoints)]));
}
