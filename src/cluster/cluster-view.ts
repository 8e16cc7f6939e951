import type { Clock } from "../clock/clock.ts";
import type { Change, ObjectIdentity, Sink } from "../kube/types.ts";
import type { ClusterEvent, ClusterListener } from "./changes.ts";
import { combineFreshness, type ViewSources } from "./freshness.ts";
import { HiddenPods } from "./hidden-pods.ts";
import { HostAddresses } from "./host-addresses.ts";
import { parseHost } from "./host-names.ts";
import type { ListComparison } from "./list-history.ts";
import { Namespaces } from "./namespaces.ts";
import { Nodes } from "./nodes.ts";
import type { Moment } from "./pod-entry.ts";
import { PodTable } from "./pod-table.ts";
import type { NamespaceRecord } from "./project-namespace.ts";
import type { NodeRecord } from "./project-node.ts";
import type { SliceRecord } from "./project-slice.ts";
import { Slices } from "./slices.ts";
import type { TombstoneLimits } from "./tombstones.ts";
import type {
  AddressLookup,
  AddressView,
  ClusterFreshness,
  ClusterReader,
  LivePod,
  NodeState,
  PodRecord,
  SliceWitness,
} from "./types.ts";

export interface ClusterViewOptions {
  readonly clock: Clock;
  readonly sources: ViewSources;
  /** Age from which a view decides nothing, milliseconds. */
  readonly freshForMs?: number;
  /** DNS domain of the cluster. */
  readonly clusterDomain?: string;
  readonly tombstones?: TombstoneLimits;
}

/** A day of deaths, and about 60 MB of them: half an hour of 100 deaths a second. */
const defaultTombstones: TombstoneLimits = { count: 100_000, ageMs: 24 * 3_600_000 };

/**
 * What Kubernetes says of the cluster. Fed by reflectors through its sinks, read by look-ups that never wait. Every
 * change that can alter a verdict is told to subscribers, after the view holds it.
 */
export class ClusterView implements ClusterReader {
  /** Where the reflectors deliver. */
  readonly sinks: {
    readonly pods: Sink<PodRecord>;
    readonly nodes: Sink<NodeRecord>;
    readonly slices: Sink<SliceRecord>;
    readonly namespaces: Sink<NamespaceRecord>;
  };
  readonly #clock: Clock;
  readonly #sources: ViewSources;
  readonly #freshForMs: number;
  readonly #clusterDomain: string;
  readonly #hosts = new HostAddresses();
  readonly #nodes = new Nodes(this.#hosts);
  readonly #hidden = new HiddenPods(this.#nodes);
  readonly #slices = new Slices();
  readonly #namespaces = new Namespaces();
  readonly #pods: PodTable;
  readonly #listeners = new Set<ClusterListener>();

  constructor(options: ClusterViewOptions) {
    this.#clock = options.clock;
    this.#sources = options.sources;
    this.#freshForMs = options.freshForMs ?? 15_000;
    this.#clusterDomain = options.clusterDomain ?? "cluster.local";
    this.#pods = new PodTable(
      { nodes: this.#nodes, hosts: this.#hosts, hidden: this.#hidden, clusterDomain: this.#clusterDomain },
      options.tombstones ?? defaultTombstones,
    );
    this.sinks = {
      pods: { apply: (changes, cause) => this.#tell(this.#pods.apply(changes, cause, this.#podMoment())) },
      nodes: { apply: (changes) => this.#tell(this.#applyNodes(changes)) },
      slices: { apply: (changes) => changes.forEach((change) => this.#slices.apply(change)) },
      namespaces: { apply: (changes) => this.#tell(this.#applyNamespaces(changes)) },
    };
  }

  /** @returns takes the subscription back */
  subscribe(listener: ClusterListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  freshness(now: number): ClusterFreshness {
    return combineFreshness(this.#sources, this.#namespaces.problem, now, this.#freshForMs);
  }

  lookup(ip: string, port: number): AddressLookup {
    const own = this.#pods.at(ip);
    // The address of a node that left may be a pod's by now; while it is, the pod decides.
    const nodeAddress = this.#hosts.isCurrent(ip) || (this.#hosts.isFormer(ip) && own.live.length === 0);
    if (!nodeAddress) return { live: own.live, tombstones: own.tombstones, nodeAddress };
    const declared = this.#pods.atNode(ip, port);
    const live = own.live.length === 0 ? declared.live : [...new Set([...own.live, ...declared.live])];
    return { live, tombstones: declared.tombstones, nodeAddress };
  }

  lookupHost(host: string): AddressView | undefined {
    const query = parseHost(host, this.#clusterDomain);
    if (query === undefined) return undefined;
    if (query.name !== undefined && (query.ip === undefined || this.#pods.knows(query.name))) {
      return query.qualified || this.#pods.knows(query.name) ? this.#pods.at(query.name) : undefined;
    }
    const { live, tombstones } = this.#pods.at(query.ip ?? "");
    // Whoever lives at the address is protected; only a pod of the namespace in the name can have died under it.
    return { live, tombstones: tombstones.filter(({ pod }) => pod.namespace === query.namespace) };
  }

  hiddenSince(now: number): number {
    return this.#hidden.since(now, this.#horizon(now));
  }

  witnesses(ip: string): readonly SliceWitness[] {
    return this.#slices.at(ip);
  }

  node(name: string): NodeState | undefined {
    return this.#nodes.get(name);
  }

  inPodNetwork(ip: string): boolean {
    return this.#nodes.inPodNetwork(ip);
  }

  unreachableUntil(ip: string): number {
    return this.#nodes.unreachableUntil(ip, this.#clock.monotonic());
  }

  get completeLists(): number {
    return this.#sources.pods().completeLists;
  }

  /** Undefined when no pod of this UID lives. */
  pod(uid: string): LivePod | undefined {
    return this.#pods.get(uid);
  }

  /** Every pod that has not ended. */
  pods(): Iterable<LivePod> {
    return this.#pods.live();
  }

  /** Pods of one namespace that have not ended. */
  podsIn(namespace: string): readonly LivePod[] {
    return this.#pods.liveIn(namespace);
  }

  nodes(): Iterable<NodeState> {
    return this.#nodes.values();
  }

  get nodeCounts(): { readonly total: number; readonly ready: number } {
    return this.#nodes.counts;
  }

  /** Without entries when the namespace is not known. */
  namespaceLabels(name: string): Readonly<Record<string, string>> {
    return this.#namespaces.labels(name);
  }

  namespaceNames(): Iterable<string> {
    return this.#namespaces.names();
  }

  /** UID of the namespace kube-system; undefined until it was seen. */
  get clusterUid(): string | undefined {
    return this.#namespaces.clusterUid;
  }

  /** What the latest complete lists of pods said against what was known, oldest first. */
  get listHistory(): readonly ListComparison[] {
    return this.#pods.history.lists;
  }

  /** Pods that have not ended, and tombstones, for metrics. */
  get counts(): { readonly pods: number; readonly tombstones: number } {
    return { pods: this.#pods.liveCount, tombstones: this.#pods.tombstoneCount };
  }

  #applyNodes(changes: readonly Change<NodeRecord>[]): ClusterEvent[] {
    const now = this.#clock.monotonic();
    const horizon = this.#horizon(now);
    this.#hidden.nodeChanged();
    const mayBeInUse = (name: string): boolean => this.#pods.mayBeInUse(name);
    const changed = changes.filter((change) => this.#nodes.apply(change, now, horizon, mayBeInUse));
    return namesOf(changed).map((name) => ({ kind: "Node", name, seenAt: now }));
  }

  #applyNamespaces(changes: readonly Change<NamespaceRecord>[]): ClusterEvent[] {
    const now = this.#clock.monotonic();
    const changed = changes.filter((change) => this.#namespaces.apply(change));
    return namesOf(changed).map((name) => ({ kind: "Namespace", name, seenAt: now }));
  }

  /** A reflector moves `caughtUpTo` after it has delivered, so what it delivers was committed after it. */
  #podMoment(): Moment {
    const now = this.#clock.monotonic();
    return { now, after: Math.min(now, this.#sources.pods().caughtUpTo) };
  }

  /** Pods and nodes hold everything committed before this moment. */
  #horizon(now: number): number {
    return Math.min(now, this.#sources.pods().caughtUpTo, this.#sources.nodes().caughtUpTo);
  }

  #tell(events: readonly ClusterEvent[]): void {
    if (events.length === 0) return;
    for (const listener of this.#listeners) listener(events);
  }
}

function namesOf(changes: readonly Change<ObjectIdentity>[]): string[] {
  return [...new Set(changes.map((change) => change.object.name))];
}
