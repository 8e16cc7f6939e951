import type { AddressView, ClusterReader, PodRecord } from "../../cluster/types.ts";
import type { InstanceRecord } from "../../registry/port.ts";
import type { CompiledPolicy, PolicySet } from "../types.ts";

/** Services remembered per policy assignment; beyond it the oldest are forgotten. */
const MAX_REMEMBERED_SERVICES = 50_000;

/**
 * Finds the policy in charge of a record: that of the pod which may have made it, alive or dead. That pod decides also
 * where it has none (it is opted out, or nobody's): nobody is in charge then. Where nobody remembers such a pod, it is
 * the policy that was in charge of the service's other instances, or one that names the service, or one that selects
 * everything, or at last that of the pod which has the address now.
 */
export class PolicyForRecord {
  readonly #policies: PolicySet;
  readonly #cluster: ClusterReader;
  readonly #limit: number;
  /** Registry and service -> name of the policy; oldest first. */
  readonly #byService = new Map<string, string>();

  constructor(policies: PolicySet, cluster: ClusterReader, limit = MAX_REMEMBERED_SERVICES) {
    this.#policies = policies;
    this.#cluster = cluster;
    this.#limit = limit;
  }

  /** @param exactGuard Capabilities.exactGuard: without it a younger pod may have written the very same again */
  find(record: InstanceRecord, exactGuard: boolean): CompiledPolicy | undefined {
    let youngerPod: PodRecord | undefined;
    for (const view of this.#viewsOf(record)) {
      for (const { pod, createdAfter } of [...view.live, ...view.tombstones]) {
        const isYounger = exactGuard && record.seenAt < createdAfter;
        if (!isYounger) return this.#ofRegistrant(pod, record);
        youngerPod ??= pod;
      }
    }
    return this.#ofService(record) ?? (youngerPod && this.#inRegistry(this.#policies.forPod(youngerPod), record));
  }

  #ofRegistrant(pod: PodRecord, record: InstanceRecord): CompiledPolicy | undefined {
    const policy = this.#inRegistry(this.#policies.forPod(pod), record);
    if (policy !== undefined) this.#remember(serviceOf(record), policy.name);
    return policy;
  }

  #ofService(record: InstanceRecord): CompiledPolicy | undefined {
    const remembered = this.#policies.get(this.#byService.get(serviceOf(record)) ?? "");
    if (remembered?.registries.has(record.registry) === true) return remembered;
    for (const policy of this.#policies.values()) {
      if (!policy.registries.has(record.registry)) continue;
      const isNamed = policy.naming?.from === "Fixed" && policy.naming.value === record.service;
      if (policy.matchesEverything || isNamed) return policy;
    }
    return undefined;
  }

  #inRegistry(policy: CompiledPolicy | undefined, { registry }: InstanceRecord): CompiledPolicy | undefined {
    return policy?.registries.has(registry) === true ? policy : undefined;
  }

  #remember(service: string, policy: string): void {
    if (this.#byService.get(service) === policy) return;
    this.#byService.delete(service);
    this.#byService.set(service, policy);
    for (const oldest of this.#byService.keys()) {
      if (this.#byService.size <= this.#limit) return;
      this.#byService.delete(oldest);
    }
  }

  *#viewsOf(record: InstanceRecord): Generator<AddressView> {
    for (const { host, port, isIp } of record.endpoints) {
      const view = isIp ? this.#cluster.lookup(host, port) : this.#cluster.lookupHost(host);
      if (view !== undefined) yield view;
    }
  }
}

function serviceOf({ registry, service }: InstanceRecord): string {
  return `${registry}\n${service}`;
}
