import { reportMs } from "./node-entry.ts";
import type { Nodes } from "./nodes.ts";
import type { PodRecord } from "./types.ts";

/** How long a pod that was missed on a node out of touch can matter, milliseconds: as long as tombstones are kept. */
const rememberMs = 24 * 3_600_000;
/** A result is kept this long, milliseconds; with the same pods and nodes an older one is only more careful. */
const reuseMs = 50;

interface Missed {
  readonly createdAfter: number;
  /** When the last of them was missed. */
  readonly at: number;
  /** The longest time that a kubelet grants one of them. */
  readonly graceMs: number;
}

interface NodePods {
  /** UID -> createdAfter of the pods without an address. */
  readonly pods: Map<string, number>;
  /** Minimum over `pods`; undefined when it must be looked for again. */
  earliest: number | undefined;
  /** Pods that left without a word of what became of them. */
  missed: Missed | undefined;
}

/**
 * Pods that may run behind an address nobody has been told yet. What decides for a pod is the later of its creation
 * and the moment up to which its node's reports are complete; the latter is one for all pods of a node, so one
 * minimum a node is enough. Thousands of pending pods cost one map entry each, and a look-up visits only nodes.
 */
export class HiddenPods {
  readonly #nodes: Nodes;
  readonly #byNode = new Map<string, NodePods>();
  #cached: { readonly at: number; readonly since: number } | undefined;

  constructor(nodes: Nodes) {
    this.#nodes = nodes;
  }

  add(node: string, uid: string, createdAfter: number): void {
    const entry = this.#entry(node);
    entry.pods.set(uid, createdAfter);
    if (entry.earliest !== undefined) entry.earliest = Math.min(entry.earliest, createdAfter);
    this.#cached = undefined;
  }

  /** The pod's address is known by now, or it is proven dead. */
  delete(node: string, uid: string): void {
    const entry = this.#byNode.get(node);
    const createdAfter = entry?.pods.get(uid);
    if (entry === undefined || createdAfter === undefined) return;
    entry.pods.delete(uid);
    if (createdAfter === entry.earliest) entry.earliest = undefined;
    if (entry.pods.size === 0 && entry.missed === undefined) this.#byNode.delete(node);
    this.#cached = undefined;
  }

  /** A pod without an address left, or was given up, unconfirmed: it counts until its node is sure to have ended it. */
  miss({ node, graceMs }: PodRecord, createdAfter: number, now: number): void {
    const entry = this.#entry(node);
    entry.missed = {
      createdAfter: Math.min(createdAfter, entry.missed?.createdAfter ?? Infinity),
      at: now,
      graceMs: Math.max(graceMs, entry.missed?.graceMs ?? 0),
    };
    this.#cached = undefined;
  }

  /** To be called when a node changed. */
  nodeChanged(): void {
    this.#cached = undefined;
  }

  /**
   * See ClusterReader.hiddenSince.
   * @param horizon pods and nodes hold everything committed before this moment; not after `now`
   */
  since(now: number, horizon: number): number {
    if (this.#cached !== undefined && now - this.#cached.at < reuseMs) return this.#cached.since;
    let since = Infinity;
    for (const [node, entry] of this.#byNode) {
      if (entry.missed !== undefined && this.#isOver(node, entry.missed, now, horizon)) {
        entry.missed = undefined;
        if (entry.pods.size === 0) this.#byNode.delete(node);
      }
      const createdAfter = Math.min(earliestOf(entry), entry.missed?.createdAfter ?? Infinity);
      since = Math.min(since, Math.max(createdAfter, this.#nodes.reportedUntil(node, horizon)));
    }
    this.#cached = { at: now, since };
    return since;
  }

  #entry(node: string): NodePods {
    let entry = this.#byNode.get(node);
    if (entry === undefined) {
      entry = { pods: new Map(), earliest: Infinity, missed: undefined };
      this.#byNode.set(node, entry);
    }
    return entry;
  }

  /**
   * A kubelet in touch learns what was removed and ends it within its grace period; an administrator can vouch for one
   * out of touch.
   */
  #isOver(node: string, { at, graceMs }: Missed, now: number, horizon: number): boolean {
    if (now - at > rememberMs || this.#nodes.reportedUntil(node, horizon) === Infinity) return true;
    return horizon - at >= reportMs + graceMs && this.#nodes.isSettled(node, horizon);
  }
}

function earliestOf(entry: NodePods): number {
  if (entry.earliest === undefined) {
    entry.earliest = Infinity;
    for (const createdAfter of entry.pods.values()) entry.earliest = Math.min(entry.earliest, createdAfter);
  }
  return entry.earliest;
}
