import type { Change } from "../kube/types.ts";
import { sameList, sameMap } from "./compare.ts";
import type { HostAddresses } from "./host-addresses.ts";
import { NodeEntry } from "./node-entry.ts";
import { PodNetwork } from "./pod-network.ts";
import type { NodeRecord } from "./project-node.ts";
import type { NodeState } from "./types.ts";

/** How long a removed node is remembered, milliseconds: as long as tombstones are kept. */
const rememberMs = 24 * 3_600_000;
/** How many removed nodes are remembered. */
const rememberCount = 10_000;

interface RemovedNode {
  readonly entry: NodeEntry;
  readonly at: number;
  /** Up to when what it reported is complete. */
  readonly reportedUntil: number;
}

/** The nodes: readiness, networks, and how far what their kubelets reported can be relied on. */
export class Nodes {
  readonly #byName = new Map<string, NodeEntry>();
  /** Oldest removal first. A node that comes back under its name is forgotten here. */
  readonly #removed = new Map<string, RemovedNode>();
  readonly #network = new PodNetwork<NodeEntry>();
  readonly #removedNetwork = new PodNetwork<NodeEntry>();
  readonly #hosts: HostAddresses;
  #ready = 0;
  /** Nodes, removed ones included, that are out of touch and for which nobody vouches. */
  readonly #outOfTouch = new Set<NodeEntry>();
  /** The last moment at which a node came back into touch, or was vouched for, or was seen for the first time. */
  #lastOutOfTouch = -Infinity;

  /** @param hosts told of every node's addresses */
  constructor(hosts: HostAddresses) {
    this.#hosts = hosts;
  }

  get(name: string): NodeState | undefined {
    return this.#byName.get(name);
  }

  values(): IterableIterator<NodeState> {
    return this.#byName.values();
  }

  get counts(): { readonly total: number; readonly ready: number } {
    return { total: this.#byName.size, ready: this.#ready };
  }

  inPodNetwork(ip: string): boolean {
    return this.#network.holders(ip).length > 0;
  }

  /**
   * @param now when the change is handled
   * @param horizon the node view held everything committed before this moment when the change came
   * @param mayBeInUse whether pods may be bound to a node of this name already
   * @returns false when nothing changed that is kept
   */
  apply(change: Change<NodeRecord>, now: number, horizon: number, mayBeInUse: (name: string) => boolean): boolean {
    const record = change.object;
    const entry = this.#byName.get(record.name);
    this.#prune(now);
    if (change.type === "Deleted") {
      // An older object's end, after a new one took its name, ends nothing.
      if (entry?.record.uid !== record.uid) return false;
      this.#remove(entry, now, horizon);
      return true;
    }
    if (entry === undefined) {
      // Who runs pods under this name was there before its object was, and left while nobody looked.
      const isNew = change.type === "Added" && !mayBeInUse(record.name);
      this.#add(record, isNew ? change.createdAfter : -Infinity, now);
      return true;
    }
    const before = entry.record;
    this.#hosts.add(record.name, record.addresses);
    this.#hosts.remove(before.name, before.addresses, now);
    this.#uncount(entry);
    entry.update(record, now, horizon);
    this.#count(entry);
    this.#trackTouch(entry);
    return !sameMeaning(before, record);
  }

  /**
   * Every address that a pod on this node had before the returned moment is in the view, if `horizon` is a moment
   * before which everything committed is in it. `Infinity` when an administrator vouches that nothing runs there.
   */
  reportedUntil(name: string, horizon: number): number {
    const entry = this.#byName.get(name);
    if (entry === undefined) return this.#removed.get(name)?.reportedUntil ?? -Infinity;
    return entry.outOfService && !entry.ready ? Infinity : entry.reportedUntil(horizon);
  }

  /** The node has been Ready for so long that its kubelet has reported everything, and learned what was removed. */
  isSettled(name: string, horizon: number): boolean {
    return this.#byName.get(name)?.isSettled(horizon) ?? false;
  }

  /** See ClusterReader.unreachableUntil. A node that was removed while out of touch still is, for a day. */
  unreachableUntil(ip: string, now: number): number {
    this.#prune(now);
    const holders = [...this.#network.holders(ip), ...this.#removedNetwork.holders(ip)];
    if (holders.length > 0) return Math.max(...holders.map((entry) => entry.unreachableUntil));
    return this.#outOfTouch.size > 0 ? Infinity : this.#lastOutOfTouch;
  }

  #add(record: NodeRecord, createdAfter: number, now: number): void {
    const removed = this.#removed.get(record.name);
    // No pod can have been bound to a node before the node existed.
    const past = createdAfter === -Infinity ? "Unknown" : "New";
    const entry = new NodeEntry(
      record,
      now,
      removed?.reportedUntil ?? createdAfter,
      removed === undefined ? past : "Returned",
    );
    if (removed !== undefined) this.#forget(removed);
    this.#byName.set(record.name, entry);
    this.#hosts.add(record.name, record.addresses);
    this.#count(entry);
    this.#trackTouch(entry);
  }

  #remove(entry: NodeEntry, now: number, horizon: number): void {
    this.#byName.delete(entry.name);
    this.#hosts.remove(entry.name, entry.addresses, now);
    this.#uncount(entry);
    const removed = { entry, at: now, reportedUntil: entry.reportedUntil(horizon) };
    this.#removed.set(entry.name, removed);
    this.#removedNetwork.add(entry.podCIDRs, entry);
    entry.leave(now);
    this.#trackTouch(entry);
  }

  #prune(now: number): void {
    for (const removed of this.#removed.values()) {
      if (this.#removed.size <= rememberCount && now - removed.at <= rememberMs) return;
      this.#forget(removed);
    }
  }

  #forget({ entry }: RemovedNode): void {
    this.#removed.delete(entry.name);
    this.#removedNetwork.remove(entry.podCIDRs, entry);
    this.#outOfTouch.delete(entry);
  }

  #trackTouch(entry: NodeEntry): void {
    if (entry.unreachableUntil === Infinity) {
      this.#outOfTouch.add(entry);
      return;
    }
    this.#outOfTouch.delete(entry);
    this.#lastOutOfTouch = Math.max(this.#lastOutOfTouch, entry.unreachableUntil);
  }

  #count(entry: NodeEntry): void {
    if (entry.ready) this.#ready++;
    this.#network.add(entry.podCIDRs, entry);
  }

  #uncount(entry: NodeEntry): void {
    if (entry.ready) this.#ready--;
    this.#network.remove(entry.podCIDRs, entry);
  }
}

function sameMeaning(a: NodeRecord, b: NodeRecord): boolean {
  return (
    a.ready === b.ready &&
    a.outOfService === b.outOfService &&
    a.system === b.system &&
    sameMap(a.labels, b.labels) &&
    sameList(a.addresses, b.addresses) &&
    sameList(a.podCIDRs, b.podCIDRs)
  );
}
