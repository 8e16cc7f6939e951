import type { ClusterReader, PodRecord } from "../../cluster/types.ts";
import type { InstanceRecord } from "../../registry/port.ts";
import type { CompiledPolicy, PolicySet } from "../types.ts";

/** Services remembered per policy assignment; beyond it the oldest are forgotten. */
const MAX_REMEMBERED_SERVICES = 50_000;

/**
 * Finds the policy in charge of a record: that of the pods at its addresses, dead or alive. Where nobody remembers a
 * pod there, the policy that was in charge of the service's other instances, or one that names the service, or one
 * that selects everything.
 */
export class PolicyForRecord {
  readonly #policies: PolicySet;
  readonly #cluster: ClusterReader;
  readonly #byService = new Map<string, string>();

  constructor(policies: PolicySet, cluster: ClusterReader) {
    this.#policies = policies;
    this.#cluster = cluster;
  }

  find(record: InstanceRecord): CompiledPolicy | undefined {
    const service = `${record.registry}\n${record.service}`;
    let anyPod = false;
    for (const pod of this.#podsOf(record)) {
      anyPod = true;
      const policy = this.#policies.forPod(pod);
      if (policy?.registries.has(record.registry) !== true) continue;
      this.#remember(service, policy.name);
      return policy;
    }
    return anyPod ? undefined : this.#withoutPods(record, service);
  }

  #withoutPods(record: InstanceRecord, service: string): CompiledPolicy | undefined {
    const remembered = this.#policies.get(this.#byService.get(service) ?? "");
    if (remembered?.registries.has(record.registry) === true) return remembered;
    for (const policy of this.#policies.values()) {
      if (!policy.registries.has(record.registry)) continue;
      const named = policy.naming?.from === "Fixed" && policy.naming.value === record.service;
      if (policy.matchesEverything || named) return policy;
    }
    return undefined;
  }

  #remember(service: string, policy: string): void {
    if (this.#byService.get(service) === policy) return;
    this.#byService.delete(service);
    this.#byService.set(service, policy);
    if (this.#byService.size <= MAX_REMEMBERED_SERVICES) return;
    const oldest = this.#byService.keys().next();
    if (oldest.done !== true) this.#byService.delete(oldest.value);
  }

  *#podsOf(record: InstanceRecord): Generator<PodRecord> {
    for (const endpoint of record.endpoints) {
      const view = endpoint.isIp
        ? this.#cluster.lookup(endpoint.host, endpoint.port)
        : this.#cluster.lookupHost(endpoint.host);
      if (view === undefined) continue;
      for (const { pod } of view.live) yield pod;
      for (const { pod } of view.tombstones) yield pod;
    }
  }
}
