import type { Change, ObjectIdentity, Sink } from "../kube/types.ts";
import { sameList } from "./compare.ts";
import { canonicalIps, identityOf, sharedList } from "./project.ts";
import type { RawService } from "./raw.ts";

/** By this a cluster's DNS Service is known in `kube-system`, whichever server answers behind it (Kubernetes docs). */
export const DNS_SERVICE_LABEL = "k8s-app=kube-dns";

/** What is kept of a Service. */
export interface ServiceRecord extends ObjectIdentity {
  /** `spec.clusterIPs`, canonical, the one of the primary family first; none for a headless Service. */
  readonly clusterIPs: readonly string[];
}

/** @param raw a Service, parsed from JSON */
export function projectService(raw: unknown): ServiceRecord {
  const { metadata, spec } = raw as RawService;
  return {
    ...identityOf(metadata),
    clusterIPs: sharedList(canonicalIps([spec?.clusterIP, ...(spec?.clusterIPs ?? [])])),
  };
}

/** The Services with DNS_SERVICE_LABEL, and which of them answers for the cluster. */
export class DnsServices implements Sink<ServiceRecord> {
  readonly #services = new Map<string, ServiceRecord>();
  readonly #listeners = new Set<() => void>();
  #nameservers: readonly string[] | undefined;

  apply(changes: readonly Change<ServiceRecord>[]): void {
    for (const { type, object } of changes) {
      if (type === "Deleted") this.#services.delete(object.uid);
      else this.#services.set(object.uid, object);
    }
    const before = this.#nameservers;
    this.#nameservers = this.#find();
    if (before === this.#nameservers) return;
    if (before !== undefined && this.#nameservers !== undefined && sameList(before, this.#nameservers)) return;
    for (const listener of this.#listeners) listener();
  }

  /**
   * Address of the one Service that has one, in its primary family, as kubelets are given it; undefined while none is
   * known, or more than one.
   */
  get nameservers(): readonly string[] | undefined {
    return this.#nameservers;
  }

  /** Called when the name servers changed. @returns takes the subscription back */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #find(): readonly string[] | undefined {
    const addresses = [...this.#services.values()].flatMap(({ clusterIPs: [primary] }) => primary ?? []);
    return addresses.length === 1 ? sharedList(addresses) : undefined;
  }
}
