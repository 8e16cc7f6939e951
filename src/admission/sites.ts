import type { Clock } from "../clock/clock.ts";
import type { ClusterView } from "../cluster/cluster-view.ts";
import type { DnsServices } from "../cluster/dns-service.ts";
import type { ServerVersion } from "../kube/server-version.ts";
import type { Facts, NodeObstacle } from "./cel/types.ts";
import { sysctlObstacle } from "./node-sysctls.ts";
import type { PodPolicy, Site, Sysctl, SysctlObstacle } from "./types.ts";

/** Why a pod with the sysctls is refused in a namespace, or may be; nothing where it is not. */
export interface Objections {
  get(namespace: string): string | undefined;
  /** The only namespaces in which nothing is objected; undefined where nothing ever is. */
  allowed?(): readonly string[] | undefined;
  /** An objection, where there is one in every namespace that wants sysctls. */
  general?(): string | undefined;
  /** Called when another answer may be given. @returns takes the subscription back */
  subscribe?(listener: () => void): () => void;
}

export interface SiteSources {
  readonly cluster: Pick<ClusterView, "namespaceLabels" | "nodes" | "freshness" | "subscribe">;
  readonly dns: Pick<DnsServices, "nameservers" | "subscribe">;
  readonly server: Pick<ServerVersion, "minor" | "subscribe">;
  readonly objections: Objections;
  readonly clock: Clock;
}

/** Knows of each namespace what pods may be given there. Answers from memory; nodes are looked at once a change. */
export class Sites {
  readonly #sources: SiteSources;
  /** By the names of the sysctls; empty after any change of nodes. */
  readonly #obstacles = new Map<string, { readonly obstacle: NodeObstacle | undefined }>();

  constructor(sources: SiteSources) {
    this.#sources = sources;
    sources.cluster.subscribe((events) => {
      if (events.some(({ kind }) => kind === "Node")) this.#obstacles.clear();
    });
  }

  /** Undefined until the version of the API server is known. */
  siteOf(namespace: string, { sysctls }: Pick<PodPolicy, "sysctls">): Site | undefined {
    const { cluster, dns, server, objections } = this.#sources;
    if (server.minor === undefined) return undefined;
    const namespaceLabels = cluster.namespaceLabels(namespace);
    return {
      namespace,
      namespaceLabels,
      serverMinor: server.minor,
      clusterNameservers: dns.nameservers,
      sysctlObstacle: sysctls === undefined ? undefined : this.#obstacleTo(sysctls, namespaceLabels),
      engineObjection: objections.get(namespace),
    };
  }

  /** What holds for a policy's pods wherever they are; undefined until the version of the API server is known. */
  factsFor({ sysctls }: Pick<PodPolicy, "sysctls">): Facts | undefined {
    const { dns, server, objections } = this.#sources;
    if (server.minor === undefined) return undefined;
    const allowed = objections.allowed?.();
    return {
      serverMinor: server.minor,
      clusterNameservers: dns.nameservers,
      sysctlObstacle: sysctls === undefined ? undefined : this.#nodeObstacleTo(sysctls),
      sysctlNamespaces: allowed,
      engineObjection: allowed?.length === 0 ? objections.general?.() : undefined,
    };
  }

  /**
   * Called when sites may be others for a reason that the cluster view does not tell of.
   * @returns takes the subscription back
   */
  subscribe(listener: () => void): () => void {
    const { dns, server, objections } = this.#sources;
    const ends = [dns.subscribe(listener), server.subscribe(listener), objections.subscribe?.(listener)];
    return () => ends.forEach((end) => end?.());
  }

  #obstacleTo(sysctls: readonly Sysctl[], namespaceLabels: Site["namespaceLabels"]): SysctlObstacle | undefined {
    const { cluster, clock } = this.#sources;
    // The API server gives every namespace a label. One that came a moment ago may refuse sysctls by its others.
    if (Object.keys(namespaceLabels).length === 0) {
      return { reason: "NamespaceUnknown", message: "the labels of the namespace are not known yet" };
    }
    const { fresh, problem } = cluster.freshness(clock.monotonic());
    if (!fresh) {
      const message = `nodes and namespaces may have changed: ${problem?.message ?? "they are not known yet"}`;
      return { reason: "ViewNotFresh", message };
    }
    return this.#nodeObstacleTo(sysctls);
  }

  #nodeObstacleTo(sysctls: readonly Sysctl[]): NodeObstacle | undefined {
    const key = sysctls.map(({ name }) => name).join(" ");
    let known = this.#obstacles.get(key);
    if (known === undefined) {
      known = { obstacle: sysctlObstacle(this.#sources.cluster.nodes(), sysctls) };
      this.#obstacles.set(key, known);
    }
    return known.obstacle;
  }
}
