import type { ClusterEvent } from "../../src/cluster/changes.ts";
import { ClusterView, type ClusterViewOptions } from "../../src/cluster/cluster-view.ts";
import { projectNamespace, type NamespaceRecord } from "../../src/cluster/project-namespace.ts";
import { projectNode, type NodeRecord } from "../../src/cluster/project-node.ts";
import { PodProjector } from "../../src/cluster/project-pod.ts";
import { projectSlice, type SliceRecord } from "../../src/cluster/project-slice.ts";
import type { PodRecord } from "../../src/cluster/types.ts";
import type { Change, Freshness, ObjectIdentity, Sink } from "../../src/kube/types.ts";
import { ManualClock } from "./manual-clock.ts";

/** What a test says of a pod; the rest is as a Deployment's pod on a node has it. */
export interface PodSpec {
  readonly name: string;
  /** Default: `uid-<name>`. */
  readonly uid?: string;
  readonly namespace?: string;
  /** Empty for a pod that is not bound. */
  readonly node?: string;
  readonly ips?: readonly string[];
  readonly hostIPs?: readonly string[];
  readonly phase?: string;
  /** PodGC made it Failed and is about to remove it. */
  readonly markedByPodGC?: boolean;
  readonly deleting?: boolean;
  /** State of its one container; `none` when the kubelet has not reported it. */
  readonly container?: "running" | "waiting" | "terminated" | "none";
  readonly hostNetwork?: boolean;
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number; readonly hostPort?: number }[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly hostname?: string;
  readonly subdomain?: string;
  readonly hostnameOverride?: string;
  readonly graceSeconds?: number;
}

let revision = 1;

const podGCCondition = { type: "DisruptionTarget", status: "True", reason: "DeletionByPodGC" };

/** A Pod as the API server sends it. */
export function rawPod(spec: PodSpec): object {
  const { name, namespace = "shop", container = "running", node = "node-1", ips = [], hostIPs = [] } = spec;
  const states = { running: { running: {} }, waiting: { waiting: {} }, terminated: { terminated: { exitCode: 0 } } };
  return {
    metadata: {
      name,
      namespace,
      uid: spec.uid ?? `uid-${name}`,
      resourceVersion: String(revision++),
      labels: spec.labels ?? { app: "web" },
      ...(spec.annotations && { annotations: spec.annotations }),
      ...(spec.deleting === true && { deletionTimestamp: "2026-01-01T00:00:00Z" }),
    },
    spec: {
      ...(node !== "" && { nodeName: node }),
      hostNetwork: spec.hostNetwork ?? false,
      ...(spec.hostname !== undefined && { hostname: spec.hostname }),
      ...(spec.subdomain !== undefined && { subdomain: spec.subdomain }),
      ...(spec.hostnameOverride !== undefined && { hostnameOverride: spec.hostnameOverride }),
      terminationGracePeriodSeconds: spec.graceSeconds ?? 30,
      containers: [{ name: "app", ports: spec.ports ?? [{ name: "http", containerPort: 8080 }] }],
    },
    status: {
      phase: spec.phase ?? (spec.markedByPodGC === true ? "Failed" : "Running"),
      ...(spec.markedByPodGC === true && { conditions: [podGCCondition] }),
      podIP: ips[0],
      podIPs: ips.map((ip) => ({ ip })),
      hostIP: hostIPs[0],
      hostIPs: hostIPs.map((ip) => ({ ip })),
      containerStatuses: container === "none" ? [] : [{ name: "app", state: states[container] }],
    },
  };
}

/** What a test says of a node. */
export interface NodeSpec {
  readonly name: string;
  readonly ready?: boolean;
  readonly addresses?: readonly string[];
  readonly podCIDRs?: readonly string[];
  readonly outOfService?: boolean;
}

/** A Node as the API server sends it. */
export function rawNode(spec: NodeSpec): object {
  return {
    metadata: { name: spec.name, uid: `uid-${spec.name}`, resourceVersion: String(revision++) },
    spec: {
      podCIDRs: spec.podCIDRs ?? [],
      taints: spec.outOfService === true ? [{ key: "node.kubernetes.io/out-of-service", effect: "NoExecute" }] : [],
    },
    status: {
      conditions: [{ type: "Ready", status: (spec.ready ?? true) ? "True" : "Unknown" }],
      addresses: (spec.addresses ?? []).map((address) => ({ type: "InternalIP", address })),
    },
  };
}

/** Stands where a reflector would: turns what a test says happened into changes. */
class Feed<T extends ObjectIdentity> {
  readonly #known = new Map<string, T>();
  readonly #project: (raw: unknown) => T;
  readonly #sink: Sink<T>;
  /** Complete lists so far. */
  lists = 0;

  constructor(project: (raw: unknown) => T, sink: Sink<T>) {
    this.#project = project;
    this.#sink = sink;
  }

  /** An ADDED or MODIFIED event. */
  set(raw: object, createdAfter = -Infinity): void {
    this.#sink.apply([this.#upsert(this.#project(raw), createdAfter)], "Watch");
  }

  /** A DELETED event that carries this object. */
  delete(raw: object): void {
    const object = this.#project(raw);
    this.#known.delete(object.uid);
    this.#sink.apply([{ type: "Deleted", object, final: true }], "Watch");
  }

  /** A complete list with exactly these objects. */
  list(raws: readonly object[], createdAfter = -Infinity): void {
    const objects = raws.map((raw) => this.#project(raw));
    const changes: Change<T>[] = [];
    for (const object of [...this.#known.values()]) {
      if (objects.some(({ uid }) => uid === object.uid)) continue;
      this.#known.delete(object.uid);
      changes.push({ type: "Deleted", object, final: false });
    }
    changes.push(...objects.map((object) => this.#upsert(object, createdAfter)));
    this.#sink.apply(changes, "List");
    this.lists++;
  }

  #upsert(object: T, createdAfter: number): Change<T> {
    const previous = this.#known.get(object.uid);
    this.#known.set(object.uid, object);
    return previous === undefined ? { type: "Added", object, createdAfter } : { type: "Modified", object, previous };
  }
}

type Kind = "pods" | "nodes" | "slices" | "namespaces";

/** A cluster view on a clock that stands still, always caught up unless a test says otherwise. */
export class ClusterViewFixture {
  readonly clock = new ManualClock();
  readonly view: ClusterView;
  readonly projector = new PodProjector();
  readonly pods: Feed<PodRecord>;
  readonly nodes: Feed<NodeRecord>;
  readonly slices: Feed<SliceRecord>;
  readonly namespaces: Feed<NamespaceRecord>;
  /** Everything told to a subscriber. */
  readonly events: ClusterEvent[] = [];
  /** By kind, what differs from a reflector that is synced and caught up to now. */
  readonly freshness: Partial<Record<Kind, Partial<Freshness>>> = {};

  constructor(options: Pick<ClusterViewOptions, "tombstones"> = {}) {
    const source = (kind: Kind) => (): Freshness => ({
      synced: true,
      caughtUpTo: this.now,
      completeLists: this[kind].lists,
      problem: undefined,
      ...this.freshness[kind],
    });
    const sources = {
      pods: source("pods"),
      nodes: source("nodes"),
      slices: source("slices"),
      namespaces: source("namespaces"),
    };
    this.view = new ClusterView({ clock: this.clock, sources, ...options });
    this.view.subscribe((events) => this.events.push(...events));
    const { sinks } = this.view;
    this.pods = new Feed(this.projector.project, sinks.pods);
    this.nodes = new Feed(projectNode, sinks.nodes);
    this.slices = new Feed(projectSlice, sinks.slices);
    this.namespaces = new Feed(projectNamespace, sinks.namespaces);
  }

  get now(): number {
    return this.clock.monotonic();
  }

  async advance(ms: number): Promise<void> {
    await this.clock.advance(ms);
  }

  /** A Namespace appears; its UID is its name unless told. */
  namespace(name: string, uid = name, labels: Record<string, string> = {}): void {
    this.namespaces.set({ metadata: { name, uid, labels, resourceVersion: String(revision++) } });
  }
}
