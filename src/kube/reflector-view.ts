import { isDeepStrictEqual } from "node:util";

import type { BarrierLog } from "./barrier.ts";
import { compareRevisions } from "./resource-version.ts";
import type { Change, ObjectIdentity } from "./types.ts";
import type { RawObject } from "./watch.ts";

export interface ViewOptions<T extends ObjectIdentity> {
  /** Undefined for an object that is of no interest. May throw. */
  readonly project: (raw: unknown) => T | undefined;
  /** See ReflectorOptions.projectionVersion. */
  readonly projectionVersion?: (() => number) | undefined;
  readonly barriers: BarrierLog;
  /**
   * A selector hides objects that exist: then an object that appears may be old, and one that is reported as deleted may
   * only have left the selection.
   */
  readonly selective: boolean;
}

/** The objects of a list that is being read, by UID. */
export class ListInProgress<T extends ObjectIdentity> {
  readonly projected = new Map<string, T>();
  readonly unprojected = new Map<string, ObjectIdentity>();
  /** What was held, in the same revision, of objects that came out otherwise now; by UID. */
  readonly replaced = new Map<string, T>();
  /** Version of the projection when the list began: its objects are projected by this one or a later. */
  readonly projectionVersion: number;
  /** Objects received, those of no interest included. */
  received = 0;

  constructor(projectionVersion: number) {
    this.projectionVersion = projectionVersion;
  }
}

interface JournalEntry<T> {
  readonly namespace: string;
  readonly name: string;
  readonly before: T | undefined;
}

/**
 * What a reflector knows, and the differences that an event or a complete list makes to it. Pure: it reads no clock and
 * does no I/O.
 *
 * Lists and events may overlap in any way. Three rules keep them apart: an event counts only when its revision is above
 * that of the last complete list; an object of a list counts only when what we hold under its name is not newer; and what
 * was seen deleted at a revision above the list's stays deleted.
 *
 * What the projection makes of an object can change while the object does not: then the next list projects every object
 * anew, and tells of those that came out otherwise. An event is projected as the projection is by then. A list that was
 * under way may still tell of a newer revision as it came out before; the list after it puts that right.
 *
 * Differences are made under a journal, so that those which the sink did not accept can be taken back with
 * {@link rollback} and come again with the next event or list.
 */
export class ReflectorView<T extends ObjectIdentity> {
  readonly #project: (raw: unknown) => T | undefined;
  readonly #projectionVersion: () => number;
  readonly #barriers: BarrierLog;
  readonly #selective: boolean;
  /** Nested, so that no key string is made for each object. */
  readonly #byNamespace = new Map<string, Map<string, T>>();
  #size = 0;
  /** UIDs that could not be projected, with their revision. */
  #unprojected = new Map<string, string>();
  #journal: JournalEntry<T>[] = [];
  /** Revision of the last complete list. */
  #listRevision: string | undefined;
  /** Everything held was projected by this version or a later one. */
  #projectedBy = -Infinity;
  /** UIDs that went away while a list was being read, with the revision. */
  #goneWhileListing: Map<string, string> | undefined;
  #failedProjections = 0;
  /** Some object was of no interest once, so absence from the view does not prove that an object did not exist. */
  #incomplete = false;

  constructor(options: ViewOptions<T>) {
    this.#project = options.project;
    this.#projectionVersion = options.projectionVersion ?? (() => 0);
    this.#barriers = options.barriers;
    this.#selective = options.selective;
  }

  get size(): number {
    return this.#size;
  }

  /** Objects that exist and could not be projected: while there are any, the view is not whole. */
  get unprojected(): number {
    return this.#unprojected.size;
  }

  /** How often the projection threw since the last call. */
  takeFailedProjections(): number {
    const count = this.#failedProjections;
    this.#failedProjections = 0;
    return count;
  }

  /** Takes back every difference since the last {@link commit}. */
  rollback(): void {
    for (const { namespace, name, before } of this.#journal.reverse()) this.#put(namespace, name, before);
    this.#journal = [];
  }

  /** The sink has accepted every difference. */
  commit(): void {
    this.#journal = [];
  }

  /** Appends the differences that one event makes. */
  event(type: "ADDED" | "MODIFIED" | "DELETED", incoming: RawObject, changes: Change<T>[]): void {
    const { uid, namespace, name, resourceVersion } = incoming;
    if (this.#listRevision !== undefined && compareRevisions(resourceVersion, this.#listRevision) <= 0) return;
    const known = this.#get(namespace, name);
    // A deletion may carry the revision of the object's last change.
    const order = known === undefined ? 1 : compareRevisions(resourceVersion, known.resourceVersion);
    if (order < 0 || (order === 0 && type !== "DELETED")) return;
    if (type === "DELETED") this.#delete(incoming, known, changes);
    else this.#upsert(type, incoming, known, changes);
    if (known !== undefined && known.uid !== uid) this.#goneWhileListing?.set(known.uid, resourceVersion);
  }

  beginList(): ListInProgress<T> {
    this.#goneWhileListing = new Map();
    return new ListInProgress(this.#projectionVersion());
  }

  /**
   * Takes the objects of one page in. What is known in the same revision is projected again only where the projection
   * has changed since, or failed.
   */
  addPage(list: ListInProgress<T>, items: readonly RawObject[]): void {
    list.received += items.length;
    const projectionStands = this.#projectedBy === this.#projectionVersion();
    for (const item of items) {
      const known = this.#get(item.namespace, item.name);
      const isSame = known?.uid === item.uid && known.resourceVersion === item.resourceVersion;
      if (isSame && projectionStands && !this.#unprojected.has(item.uid)) {
        list.projected.set(item.uid, known);
        continue;
      }
      const object = this.#tryProject(item);
      if (isSame && isDeepStrictEqual(object, known)) {
        list.projected.set(item.uid, known);
        continue;
      }
      if (isSame) list.replaced.set(item.uid, known);
      if (object === undefined) this.#incomplete = true;
      else if (object !== null) list.projected.set(item.uid, object);
      else {
        const { uid, namespace, name, resourceVersion } = item;
        list.unprojected.set(uid, { uid, namespace, name, resourceVersion });
      }
    }
  }

  /** True when objects that we hold are missing from the list: a watch that lags a little may still explain why. */
  hasMissing(list: ListInProgress<T>, revision: string): boolean {
    for (const objects of this.#byNamespace.values())
      for (const known of objects.values()) if (this.#isMissing(known, list, revision)) return true;
    return false;
  }

  /** The differences that a complete list of this revision makes. */
  finishList(list: ListInProgress<T>, revision: string): Change<T>[] {
    const changes: Change<T>[] = [];
    for (const [namespace, objects] of this.#byNamespace) {
      for (const known of objects.values()) {
        if (!this.#isMissing(known, list, revision)) continue;
        this.#set(namespace, known.name, undefined);
        changes.push({ type: "Deleted", object: known, final: false });
      }
    }
    const createdAfter = this.#refutesLastList(list, revision) ? -Infinity : this.#notBeforeLastList();
    for (const [uid, object] of list.projected) {
      if (this.#isOutdated(object, list, revision)) continue;
      const known = this.#get(object.namespace, object.name);
      if (known === undefined)
        changes.push({ type: "Added", object, createdAfter: this.#isNewSinceLastList(uid) ? createdAfter : -Infinity });
      else changes.push({ type: "Modified", object, previous: known });
      this.#set(object.namespace, object.name, object);
    }
    this.#mergeUnprojected(list, revision);
    this.#goneWhileListing = undefined;
    return changes;
  }

  /** The differences of {@link finishList} were accepted: from now on older events say nothing new. */
  listAccepted(list: ListInProgress<T>, revision: string): void {
    this.#listRevision = revision;
    this.#projectedBy = list.projectionVersion;
    this.commit();
  }

  /** The list failed on the way or its differences were refused. */
  abandonList(): void {
    this.#goneWhileListing = undefined;
  }

  #upsert(type: "ADDED" | "MODIFIED", incoming: RawObject, known: T | undefined, changes: Change<T>[]): void {
    const { uid, namespace, name } = incoming;
    const provable = this.#isProvable(uid);
    const object = this.#tryProject(incoming);
    if (object === null) this.#unprojected.set(uid, incoming.resourceVersion);
    else this.#unprojected.delete(uid);
    const replaced = known !== undefined && known.uid !== uid;
    if (known !== undefined && (replaced || object === undefined)) {
      this.#set(namespace, name, undefined);
      changes.push({ type: "Deleted", object: known, final: false });
    }
    if (object === undefined) this.#incomplete = true;
    if (object === undefined || object === null) return;
    this.#set(namespace, name, object);
    if (known !== undefined && !replaced) changes.push({ type: "Modified", object, previous: known });
    else
      changes.push({
        type: "Added",
        object,
        // Only this event carries the revision of the creation. Before any other there was one, or a list lacked it.
        createdAfter: provable && type === "ADDED" ? this.#barriers.provenBefore(incoming.resourceVersion) : -Infinity,
      });
  }

  #delete(incoming: RawObject, known: T | undefined, changes: Change<T>[]): void {
    this.#goneWhileListing?.set(incoming.uid, incoming.resourceVersion);
    this.#unprojected.delete(incoming.uid);
    if (known === undefined) return;
    this.#set(incoming.namespace, incoming.name, undefined);
    // The last object of another UID under the name is not what this event carries.
    const last = known.uid === incoming.uid ? this.#tryProject(incoming) : undefined;
    if (last === undefined || last === null) changes.push({ type: "Deleted", object: known, final: false });
    else changes.push({ type: "Deleted", object: last, final: !this.#selective });
  }

  /** When everything was created that was not in the last list, if that was complete. */
  #notBeforeLastList(): number {
    return this.#listRevision === undefined ? -Infinity : this.#barriers.provenAt(this.#listRevision);
  }

  /**
   * An object that was not in the last list though it has not changed since: whatever answered that list left things
   * out, so that absence from it proves nothing.
   */
  #refutesLastList(list: ListInProgress<T>, revision: string): boolean {
    const last = this.#listRevision;
    if (last === undefined) return false;
    for (const object of list.projected.values()) {
      if (this.#get(object.namespace, object.name) !== undefined || this.#isOutdated(object, list, revision)) continue;
      if (compareRevisions(object.resourceVersion, last) <= 0) return true;
    }
    return false;
  }

  #isProvable(uid: string): boolean {
    return !this.#selective && !this.#incomplete && !this.#unprojected.has(uid);
  }

  /** For an object that a list shows and the view does not hold. */
  #isNewSinceLastList(uid: string): boolean {
    return this.#isProvable(uid) && this.#goneWhileListing?.has(uid) !== true;
  }

  #isMissing(known: T, list: ListInProgress<T>, revision: string): boolean {
    if (list.projected.has(known.uid) || list.unprojected.has(known.uid)) return false;
    return compareRevisions(known.resourceVersion, revision) <= 0;
  }

  /** Events of the time since the list's revision say something newer of a listed object, or say the same. */
  #isOutdated(listed: ObjectIdentity, list: ListInProgress<T>, revision: string): boolean {
    const goneAt = this.#goneWhileListing?.get(listed.uid);
    if (goneAt !== undefined && compareRevisions(goneAt, revision) > 0) return true;
    const known = this.#get(listed.namespace, listed.name);
    if (known === undefined) return false;
    // Still the very same that the list projected anew: no event has told of it since.
    if (list.replaced.get(listed.uid) === known) return false;
    // Another UID here is newer than the list, or it would have been missing.
    return known.uid !== listed.uid || compareRevisions(listed.resourceVersion, known.resourceVersion) <= 0;
  }

  #mergeUnprojected(list: ListInProgress<T>, revision: string): void {
    const merged = new Map<string, string>();
    for (const [uid, listed] of list.unprojected)
      if (!this.#isOutdated(listed, list, revision)) merged.set(uid, listed.resourceVersion);
    for (const [uid, at] of this.#unprojected) if (compareRevisions(at, revision) > 0) merged.set(uid, at);
    this.#unprojected = merged;
  }

  /** Null when the projection threw. */
  #tryProject(incoming: RawObject): T | undefined | null {
    try {
      return this.#project(incoming.raw);
    } catch {
      this.#failedProjections += 1;
      return null;
    }
  }

  #get(namespace: string, name: string): T | undefined {
    return this.#byNamespace.get(namespace)?.get(name);
  }

  #set(namespace: string, name: string, object: T | undefined): void {
    this.#journal.push({ namespace, name, before: this.#get(namespace, name) });
    this.#put(namespace, name, object);
  }

  #put(namespace: string, name: string, object: T | undefined): void {
    let objects = this.#byNamespace.get(namespace);
    const before = objects?.size ?? 0;
    if (object !== undefined) {
      if (objects === undefined) this.#byNamespace.set(namespace, (objects = new Map<string, T>()));
      objects.set(name, object);
    } else if (objects?.delete(name) === true && objects.size === 0) this.#byNamespace.delete(namespace);
    this.#size += (objects?.size ?? 0) - before;
  }
}
