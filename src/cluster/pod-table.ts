import type { Change } from "../kube/types.ts";
import { MultiIndex } from "../multi-index.ts";
import type { ClusterEvent } from "./changes.ts";
import { sameList, sameMap } from "./compare.ts";
import type { HiddenPods } from "./hidden-pods.ts";
import type { HostAddresses } from "./host-addresses.ts";
import { hostSpellings } from "./host-names.ts";
import { ListHistory } from "./list-history.ts";
import type { Nodes } from "./nodes.ts";
import { PodEntry, type Moment } from "./pod-entry.ts";
import { deathKeys, hostPorts, liveKeys, liveNames, nodePort, ownAddresses } from "./pod-keys.ts";
import { Tombstones, type TombstoneLimits } from "./tombstones.ts";
import { isConfirmed, type AddressView, type DeathReason, type LivePod, type PodRecord } from "./types.ts";

type PodEvent = Extract<ClusterEvent, { kind: "Pod" }>;

/** What is known of the cluster besides the pods. */
export interface PodSurroundings {
  readonly nodes: Nodes;
  readonly hosts: HostAddresses;
  readonly hidden: HiddenPods;
  /** DNS domain of the cluster. */
  readonly clusterDomain: string;
}

/** What was known of a pod before a change. */
interface Standing {
  readonly pod: PodRecord;
  readonly ended: DeathReason | undefined;
  readonly hidden: boolean;
  readonly unaccounted: boolean;
  readonly keys: readonly string[];
}

const nobody: AddressView = Object.freeze({ live: [], tombstones: [] });

/** Every pod that exists, indexed by where it can be reached while it lives, and tombstones of those that ended. */
export class PodTable {
  readonly history = new ListHistory();
  readonly #around: PodSurroundings;
  readonly #entries = new Map<string, PodEntry>();
  readonly #byNamespace = new MultiIndex<PodEntry>();
  /** Pods that have not ended, by liveKeys(). */
  readonly #live = new MultiIndex<PodEntry>();
  /** By deathKeys(). */
  readonly #tombstones: Tombstones;
  /** By name of the node: pods that are bound to it, ended ones included. */
  readonly #bound = new Map<string, number>();
  #liveCount = 0;

  constructor(around: PodSurroundings, limits: TombstoneLimits) {
    this.#around = around;
    this.#tombstones = new Tombstones(limits);
  }

  /**
   * @param seen when these changes came
   * @returns what can change a verdict, in order
   */
  apply(changes: readonly Change<PodRecord>[], cause: "List" | "Watch", seen: Moment): PodEvent[] {
    const events: PodEvent[] = [];
    let missing = 0;
    for (const change of changes) {
      const entry = this.#entries.get(change.object.uid);
      let event: PodEvent | undefined;
      if (change.type === "Deleted") {
        if (entry !== undefined) event = this.#remove(entry, change.object, change.final, seen);
        if (event?.reason === "NotWitnessed") missing++;
      } else if (entry === undefined) {
        event = this.#add(change.object, change.type === "Added" ? change.createdAfter : -Infinity, seen);
      } else {
        event = this.#update(entry, change.object, seen);
      }
      if (event !== undefined) events.push(event);
    }
    if (cause === "List") this.history.record({ at: seen.now, podCount: this.#liveCount, missing });
    return events;
  }

  /** Undefined when no such pod lives. */
  get(uid: string): LivePod | undefined {
    const entry = this.#entries.get(uid);
    return entry?.ended === undefined ? entry : undefined;
  }

  /** Pods that have not ended. */
  *live(): Generator<LivePod> {
    for (const entry of this.#entries.values()) if (entry.ended === undefined) yield entry;
  }

  /** Pods of this namespace that have not ended. */
  liveIn(namespace: string): readonly LivePod[] {
    return this.#byNamespace.get(namespace).filter((entry) => entry.ended === undefined);
  }

  get liveCount(): number {
    return this.#liveCount;
  }

  get tombstoneCount(): number {
    return this.#tombstones.size;
  }

  /** By the pod's own address, or by DNS name. */
  at(key: string): AddressView {
    const live = this.#live.get(key);
    const tombstones = this.#tombstones.at(key);
    return live.length + tombstones.length === 0 ? nobody : { live, tombstones };
  }

  /** Pods that declare `port` on the node with this address. */
  atNode(address: string, port: number): AddressView {
    const live = this.#around.hosts.nodesAt(address).flatMap((node) => this.#live.get(nodePort(node, port)));
    return { live, tombstones: this.#tombstones.at(nodePort(address, port)) };
  }

  /** Whether pods are bound to a node of this name; also when no list of pods has come yet that could tell. */
  mayBeInUse(node: string): boolean {
    return this.history.lists.length === 0 || (this.#bound.get(node) ?? 0) > 0;
  }

  /** True when a pod is or was known by exactly this address or name. */
  knows(key: string): boolean {
    return this.#live.has(key) || this.#tombstones.has(key);
  }

  #add(pod: PodRecord, createdAfter: number, seen: Moment): PodEvent {
    // A list that lacked a living pod was wrong; its return proves nothing about when it was created.
    const known = this.#tombstones.of(pod.uid).map((tombstone) => tombstone.createdAfter);
    const keys = this.#tombstones.forget(pod.uid, ({ reason }) => reason !== "AddressReleased");
    for (const address of ownAddresses(pod)) this.#tombstones.release(pod.uid, address);
    const entry = new PodEntry(pod, Math.min(createdAfter, ...known), seen);
    this.#entries.set(pod.uid, entry);
    this.#byNamespace.add(pod.namespace, entry);
    this.#bind(pod.node, 1);
    this.#around.hosts.add(pod.node, pod.hostAddresses);
    this.#trackHidden(entry, undefined, seen);
    this.#reindex(entry, []);
    if (entry.ended !== undefined) {
      this.#bury(entry, entry.ended, [pod], seen, keys);
      return this.#event(entry, "Ended", entry.ended, [pod], seen);
    }
    this.#liveCount++;
    return this.#event(entry, "Appeared", undefined, [pod], seen);
  }

  #update(entry: PodEntry, pod: PodRecord, seen: Moment): PodEvent | undefined {
    const before = standingOf(entry);
    entry.observe(pod, seen);
    const { ended } = entry;
    this.#bind(pod.node, 1);
    this.#bind(before.pod.node, -1);
    this.#around.hosts.add(pod.node, pod.hostAddresses);
    this.#around.hosts.remove(before.pod.node, before.pod.hostAddresses, seen.now);
    this.#trackHidden(entry, before, seen);
    this.#reindex(entry, before.keys);
    if (ended === undefined) this.#moveAddresses(entry, before.pod, seen);
    if (ended === before.ended) {
      return ended !== undefined || sameMeaning(before.pod, pod)
        ? undefined
        : this.#event(entry, "Changed", undefined, [before.pod, pod], seen);
    }
    if (ended === undefined) {
      this.#liveCount++;
      this.#tombstones.forget(pod.uid, ({ reason }) => isConfirmed(reason));
      for (const address of ownAddresses(pod)) this.#tombstones.release(pod.uid, address);
      return this.#event(entry, "Changed", undefined, [before.pod, pod], seen);
    }
    this.#bury(entry, ended, [before.pod, pod], seen);
    return this.#endOf(entry, before, ended, seen);
  }

  #remove(entry: PodEntry, last: PodRecord, final: boolean, seen: Moment): PodEvent | undefined {
    const before = standingOf(entry);
    if (final) entry.observe(last, seen);
    const reason = entry.deathOnRemoval(final);
    this.#entries.delete(last.uid);
    this.#byNamespace.delete(before.pod.namespace, entry);
    this.#bind(before.pod.node, -1);
    this.#around.hosts.remove(before.pod.node, before.pod.hostAddresses, seen.now);
    for (const key of before.keys) this.#live.delete(key, entry);
    if (before.hidden) {
      this.#around.hidden.delete(before.pod.node, last.uid);
      if (!isConfirmed(reason)) this.#around.hidden.miss(before.pod, entry.createdAfter, seen.now);
    }
    if (reason === before.ended) return undefined;
    this.#bury(entry, reason, [before.pod, entry.pod], seen);
    return this.#endOf(entry, before, reason, seen);
  }

  /** The event of a death, once for each pod: a death already told that is only known better now is no news. */
  #endOf(entry: PodEntry, before: Standing, reason: DeathReason, seen: Moment): PodEvent | undefined {
    if (before.ended !== undefined) return undefined;
    this.#liveCount--;
    if (reason !== "NotWitnessed") this.history.witness();
    return this.#event(entry, "Ended", reason, [before.pod, entry.pod], seen);
  }

  /** @param known further keys under which it could be found */
  #bury(
    entry: PodEntry,
    reason: DeathReason,
    states: readonly PodRecord[],
    seen: Moment,
    known: Iterable<string> = [],
  ): void {
    const { pod, createdAfter } = entry;
    // What was never bound to a node never ran, and registered nothing.
    if (pod.node === "") return;
    const keys = this.#tombstones.forget(pod.uid, (tombstone) => isConfirmed(tombstone.reason));
    for (const key of known) keys.add(key);
    for (const state of states) for (const key of deathKeys(state, this.#hostAddressesOf(state))) keys.add(key);
    const { now: seenAt, after: endedAfter } = entry.deathMoment(reason, seen);
    this.#tombstones.bury({ pod, createdAfter, reason, seenAt, endedAfter }, keys, seen.now);
  }

  /** Addresses that a living pod left get a tombstone; one that it took up again loses it. */
  #moveAddresses({ pod, createdAfter }: PodEntry, before: PodRecord, seen: Moment): void {
    const [left, held] = [ownAddresses(before), ownAddresses(pod)];
    if (sameList(left, held)) return;
    for (const address of held) this.#tombstones.release(pod.uid, address);
    const released = left.filter((address) => !held.includes(address));
    const { now: seenAt, after: endedAfter } = seen;
    const tombstone = { pod: before, createdAfter, reason: "AddressReleased", seenAt, endedAfter } as const;
    this.#tombstones.bury(tombstone, released, seenAt);
  }

  #bind(node: string, by: 1 | -1): void {
    const count = (this.#bound.get(node) ?? 0) + by;
    if (count > 0) this.#bound.set(node, count);
    else this.#bound.delete(node);
  }

  #reindex(entry: PodEntry, before: readonly string[]): void {
    const keys = entry.ended === undefined ? liveKeys(entry.pod) : [];
    if (sameList(before, keys)) return;
    for (const key of before) this.#live.delete(key, entry);
    for (const key of keys) this.#live.add(key, entry);
  }

  #trackHidden(entry: PodEntry, before: Standing | undefined, seen: Moment): void {
    const { pod, createdAfter, hidden } = entry;
    if (hidden && before?.hidden !== true) this.#around.hidden.add(pod.node, pod.uid, createdAfter);
    if (!hidden && before?.hidden === true) this.#around.hidden.delete(pod.node, pod.uid);
    // Failed without a word about its containers: the kubelet will start none, but may have to end some.
    const givenUp = entry.unaccounted && !hidden;
    if (givenUp && (before === undefined || before.hidden || !before.unaccounted)) {
      this.#around.hidden.miss(pod, createdAfter, seen.now);
    }
  }

  /** Addresses at which the node ports of this pod are reached. */
  #hostAddressesOf(pod: PodRecord): readonly string[] {
    const node = this.#around.nodes.get(pod.node);
    return node === undefined ? pod.hostAddresses : [...new Set([...pod.hostAddresses, ...node.addresses])];
  }

  #event(
    entry: PodEntry,
    change: PodEvent["change"],
    reason: DeathReason | undefined,
    states: readonly PodRecord[],
    seen: Moment,
  ): PodEvent {
    const addresses = new Set<string>();
    for (const state of states) {
      for (const address of ownAddresses(state)) addresses.add(address);
      if (hostPorts(state).length > 0) for (const address of this.#hostAddressesOf(state)) addresses.add(address);
    }
    const { pod } = entry;
    return {
      kind: "Pod",
      change,
      reason,
      uid: pod.uid,
      pod,
      addresses: [...addresses],
      hosts: hostSpellings(liveNames(pod), addresses, pod.namespace, this.#around.clusterDomain),
      seenAt: seen.now,
    };
  }
}

function standingOf(entry: PodEntry): Standing {
  const { pod, ended, hidden, unaccounted } = entry;
  return { pod, ended, hidden, unaccounted, keys: ended === undefined ? liveKeys(pod) : [] };
}

/** No verdict, service name or report can tell the two states apart. */
function sameMeaning(a: PodRecord, b: PodRecord): boolean {
  return (
    a.deleting === b.deleting &&
    a.ready === b.ready &&
    a.phase === b.phase &&
    a.node === b.node &&
    a.ports === b.ports &&
    sameList(a.addresses, b.addresses) &&
    sameList(a.hostAddresses, b.hostAddresses) &&
    sameMap(a.labels, b.labels) &&
    sameMap(a.annotations, b.annotations)
  );
}
