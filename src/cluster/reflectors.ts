import type { Clock, Random } from "../clock/clock.ts";
import { Reflector } from "../kube/reflector.ts";
import type { ReflectorMetrics } from "../kube/reflector-options.ts";
import type { KubeTransport } from "../kube/transport.ts";
import type { Freshness } from "../kube/types.ts";
import { ClusterView } from "./cluster-view.ts";
import { DNS_SERVICE_LABEL, DnsServices, projectService } from "./dns-service.ts";
import { PodProjector } from "./project-pod.ts";
import { projectNamespace } from "./project-namespace.ts";
import { projectNode } from "./project-node.ts";
import { projectSlice } from "./project-slice.ts";
import type { PodRecord } from "./types.ts";

/** The cluster view together with the reflectors that keep it, and what is known of the cluster's DNS. */
export interface WatchedCluster {
  readonly view: ClusterView;
  readonly dns: DnsServices;
  readonly projector: PodProjector;
  /** Asks for a complete list of pods before long. */
  requestPodList(): void;
  /** How far the reflector of each kind has come, by the resource's plural name. */
  freshness(): Readonly<Record<string, Freshness>>;
  /** Resolves when the signal has aborted and every watch has ended. */
  run(signal: AbortSignal): Promise<void>;
}

export interface WatchOptions {
  readonly transport: KubeTransport;
  readonly clock: Clock;
  readonly random: Random;
  /** Metrics of the reflector of one resource. */
  readonly metrics: (resource: string) => ReflectorMetrics;
  readonly relistEveryMs: number;
  readonly freshForMs: number;
  readonly clusterDomain: string;
}

/** Connects the view to the API server. Nothing is asked before run(). */
export function watchCluster(options: WatchOptions): WatchedCluster {
  const { transport, clock, random, relistEveryMs } = options;
  const projector = new PodProjector();
  const common = (resource: string) => ({
    transport,
    clock,
    random,
    relistEveryMs,
    metrics: options.metrics(resource),
  });
  const view: ClusterView = new ClusterView({
    clock,
    freshForMs: options.freshForMs,
    clusterDomain: options.clusterDomain,
    sources: {
      pods: () => pods.freshness(),
      nodes: () => nodes.freshness(),
      slices: () => slices.freshness(),
      namespaces: () => namespaces.freshness(),
    },
  });
  const pods = new Reflector<PodRecord>({
    ...common("pods"),
    path: "/api/v1/pods",
    project: projector.project,
    projectionVersion: projector.version,
    sink: view.sinks.pods,
  });
  const nodes = new Reflector({
    ...common("nodes"),
    path: "/api/v1/nodes",
    project: projectNode,
    sink: view.sinks.nodes,
  });
  const slices = new Reflector({
    ...common("endpointslices"),
    path: "/apis/discovery.k8s.io/v1/endpointslices",
    project: projectSlice,
    sink: view.sinks.slices,
  });
  const namespaces = new Reflector({
    ...common("namespaces"),
    path: "/api/v1/namespaces",
    project: projectNamespace,
    sink: view.sinks.namespaces,
  });
  const dns = new DnsServices();
  const services = new Reflector({
    ...common("services"),
    path: "/api/v1/namespaces/kube-system/services",
    labelSelector: DNS_SERVICE_LABEL,
    project: projectService,
    sink: dns,
    // No verdict rests on it: how current it is need not be proven every few seconds.
    barrierEveryMs: Infinity,
    watchSeconds: 300,
  });
  return {
    view,
    dns,
    projector,
    freshness: () => ({
      pods: pods.freshness(),
      nodes: nodes.freshness(),
      endpointslices: slices.freshness(),
      namespaces: namespaces.freshness(),
      services: services.freshness(),
    }),
    requestPodList: () => {
      pods.requestRelist();
    },
    run: async (signal) => {
      await Promise.all([pods, nodes, slices, namespaces, services].map((reflector) => reflector.run(signal)));
    },
  };
}
