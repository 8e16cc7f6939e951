import type { LivePod } from "../cluster/types.ts";
import type { InstanceRecord } from "../registry/port.ts";
import type { ServiceKnowledge } from "./types.ts";

export interface ServiceLimits {
  /** Pairs of registry and workload; those not observed for longest are forgotten first. */
  readonly workloads: number;
  /** Services of one of them; one that has more counts as unknown. */
  readonly services: number;
}

const defaultLimits: ServiceLimits = { workloads: 50_000, services: 2_000 };

const nothing: ReadonlySet<string> = new Set();

/**
 * Learns which services a workload registers: every service listed at the address of one of its pods, unless the
 * record is proven older than the pod. Too many services are the safe side: what a workload may register is never
 * taken for a stranger's. So it only grows, also beyond the pods' lives, and what is too much to remember is unknown.
 */
export class LearnedServices implements ServiceKnowledge {
  readonly #limits: ServiceLimits;
  /** Longest not observed first; undefined for one with too many services. */
  readonly #services = new Map<string, Set<string> | undefined>();

  constructor(limits: ServiceLimits = defaultLimits) {
    this.#limits = limits;
  }

  /**
   * To be called when a record is first seen at a live pod's address, or a pod at a record's; repeating is cheap.
   * @param exactGuard of the registry's adapter; without it a younger pod may have registered the very same again
   */
  observe(record: InstanceRecord, live: LivePod, exactGuard: boolean): void {
    if (exactGuard && record.seenAt < live.createdAfter) return;
    this.expect(record.registry, live.pod.workload, record.service);
  }

  /** The workload registers this service, or is expected to. */
  expect(registry: string, workload: string, service: string): void {
    const key = keyOf(registry, workload);
    // The order counts only when something is to be forgotten before long; a sweep says the same of every record.
    const hasRoom = this.#services.size <= this.#limits.workloads / 2;
    if (hasRoom && this.#services.get(key)?.has(service) === true) return;
    const isKnown = this.#services.has(key);
    const before = this.#services.get(key);
    const services = isKnown ? before : new Set<string>();
    services?.add(service);
    const tooMany = services !== undefined && services.size > this.#limits.services;
    this.#services.delete(key);
    this.#services.set(key, tooMany ? undefined : services);
    this.#forgetOldest();
  }

  servicesOf(registry: string, workload: string): ReadonlySet<string> {
    return this.#services.get(keyOf(registry, workload)) ?? nothing;
  }

  #forgetOldest(): void {
    for (const key of this.#services.keys()) {
      if (this.#services.size <= this.#limits.workloads) return;
      this.#services.delete(key);
    }
  }
}

function keyOf(registry: string, workload: string): string {
  return `${registry}\n${workload}`;
}
