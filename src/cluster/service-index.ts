import { MultiIndex } from "../multi-index.ts";
import type { ClusterEvent, ClusterListener } from "./changes.ts";
import type { LivePod, PodRecord } from "./types.ts";

/** How a policy predicts what a pod registers. */
export type NamingRule = (
  { readonly from: "Label" | "Annotation"; readonly key: string } | { readonly from: "Fixed"; readonly value: string }
) & {
  /** A number, or the name of a container port; undefined when any port of the pod's address counts. */
  readonly port: number | string | undefined;
};

/** A policy with a naming rule. */
export interface ServicePolicy {
  readonly name: string;
  readonly naming: NamingRule;
  /** This policy is in charge of the pod. */
  matches(pod: PodRecord): boolean;
}

/** What a pod is expected to register. */
export interface PredictedService {
  readonly policy: string;
  readonly service: string;
  /** Undefined when any port counts. */
  readonly port: number | undefined;
}

/** The part of the cluster view that is indexed. */
export interface PodSource {
  pods(): Iterable<LivePod>;
  podsIn(namespace: string): readonly LivePod[];
  subscribe(listener: ClusterListener): () => void;
}

interface Indexed {
  readonly pod: PodRecord;
  readonly services: readonly PredictedService[];
}

/** Live pods by the service that each policy expects them to register. Follows pods, namespaces and policies. */
export class ServiceIndex {
  readonly #source: PodSource;
  readonly #policies = new Map<string, ServicePolicy>();
  readonly #byUid = new Map<string, Indexed>();
  readonly #byService = new MultiIndex<Indexed>();
  readonly #unsubscribe: () => void;

  constructor(source: PodSource) {
    this.#source = source;
    this.#unsubscribe = source.subscribe((events) => {
      for (const event of events) this.#follow(event);
    });
  }

  /** Adds or replaces a policy. Also to be called when its `matches` answers differently than before. */
  setPolicy(policy: ServicePolicy): void {
    this.#policies.set(policy.name, policy);
    for (const { pod } of this.#source.pods()) this.#index(pod);
  }

  removePolicy(name: string): void {
    if (!this.#policies.delete(name)) return;
    for (const { pod } of [...this.#byUid.values()]) this.#index(pod);
  }

  /** Live pods expected to register this service under this policy. */
  podsOf(policy: string, service: string): readonly PodRecord[] {
    return this.#byService.get(keyOf(policy, service)).map(({ pod }) => pod);
  }

  /** What the pod of this UID is expected to register; empty when nothing is, or when it does not live. */
  servicesOf(uid: string): readonly PredictedService[] {
    return this.#byUid.get(uid)?.services ?? [];
  }

  /** Stops following the view. */
  close(): void {
    this.#unsubscribe();
  }

  #follow(event: ClusterEvent): void {
    if (event.kind === "Pod") {
      if (event.change === "Ended") this.#forget(event.uid);
      else this.#index(event.pod);
    }
    // Whether a policy matches can depend on the namespace's labels.
    if (event.kind === "Namespace") for (const { pod } of this.#source.podsIn(event.name)) this.#index(pod);
  }

  #index(pod: PodRecord): void {
    this.#forget(pod.uid);
    const services: PredictedService[] = [];
    for (const policy of this.#policies.values()) {
      const service = policy.matches(pod) ? serviceName(policy.naming, pod) : "";
      if (service !== "") services.push({ policy: policy.name, service, port: portOf(policy.naming, pod) });
    }
    if (services.length === 0) return;
    const indexed = { pod, services };
    this.#byUid.set(pod.uid, indexed);
    for (const { policy, service } of services) this.#byService.add(keyOf(policy, service), indexed);
  }

  #forget(uid: string): void {
    const indexed = this.#byUid.get(uid);
    if (indexed === undefined) return;
    this.#byUid.delete(uid);
    for (const { policy, service } of indexed.services) this.#byService.delete(keyOf(policy, service), indexed);
  }
}

function serviceName(naming: NamingRule, pod: PodRecord): string {
  if (naming.from === "Fixed") return naming.value;
  const map = naming.from === "Label" ? pod.labels : pod.annotations;
  return Object.hasOwn(map, naming.key) ? (map[naming.key] ?? "") : "";
}

function portOf({ port }: NamingRule, pod: PodRecord): number | undefined {
  if (typeof port !== "string") return port;
  return pod.ports.find(({ name }) => name === port)?.port;
}

function keyOf(policy: string, service: string): string {
  return `${policy}\n${service}`;
}
