import type { Clock } from "../../clock/clock.ts";
import type { ClusterReader, LivePod } from "../../cluster/types.ts";
import type { EvictionOutcome } from "../../eviction/evictor.ts";
import type { InstanceRecord, LifeReading } from "../../registry/port.ts";
import { judge } from "../../verdict/chain.ts";
import { afterComeback, afterLifeReading, noMemory } from "../../verdict/memory.ts";
import type { LearnedServices } from "../../verdict/services.ts";
import type { InstanceMemory, Judgement, Rules } from "../../verdict/types.ts";
import type { CompiledPolicy, ManagedRegistry, PolicySet } from "../types.ts";
import type { InstanceStates } from "./instance-states.ts";
import { keyOf } from "./keys.ts";
import type { Predictions } from "./predictions.ts";
import { PolicyForRecord } from "./policy-for-record.ts";

/** A judgement with the policy in charge and the memory to keep for the next one. */
export interface Judged {
  readonly judgement: Judgement;
  readonly policy: CompiledPolicy;
  readonly memory: InstanceMemory;
}

/** How long an eviction is remembered, so that an entry that comes back is known for one. */
const COMEBACK_WINDOW_MS = 3_600_000;
const MAX_REMEMBERED_EVICTIONS = 100_000;

/** Brings the pure verdict together with the views, the policies and what is remembered. Reads only memory. */
export class Judge {
  readonly #cluster: ClusterReader;
  readonly #clock: Clock;
  readonly #states: InstanceStates;
  readonly #knowledge: LearnedServices;
  readonly #freshForMs: number;
  readonly #predictions: Pick<Predictions, "servicesOf">;
  readonly #policyFor: PolicyForRecord;
  readonly #rules = new WeakMap<CompiledPolicy, Map<string, { readonly uid: string; readonly rules: Rules }>>();
  /** Key to when we evicted it; oldest first. */
  readonly #evicted = new Map<string, number>();

  constructor(parts: {
    cluster: ClusterReader;
    clock: Clock;
    states: InstanceStates;
    knowledge: LearnedServices;
    predictions: Pick<Predictions, "servicesOf">;
    policies: PolicySet;
    /** A view of a registry older than this decides nothing, milliseconds. */
    freshForMs: number;
  }) {
    this.#cluster = parts.cluster;
    this.#clock = parts.clock;
    this.#states = parts.states;
    this.#knowledge = parts.knowledge;
    this.#freshForMs = parts.freshForMs;
    this.#predictions = parts.predictions;
    this.#policyFor = new PolicyForRecord(parts.policies, parts.cluster);
  }

  /**
   * @param reading what the registry said of the registrant's life just now, if it was asked
   * @returns undefined when no policy is in charge of the record
   */
  judge(registry: ManagedRegistry, record: InstanceRecord, reading?: LifeReading): Judged | undefined {
    const policy = this.#policyFor.find(record);
    if (policy === undefined) return undefined;
    const { exactGuard } = registry.adapter.capabilities;
    this.#learn(record, exactGuard);
    const key = keyOf(record.registry, record.id);
    const { verdict, memory } = judge({
      record,
      cluster: this.#cluster,
      registry: registry.view.freshness(),
      memory: this.#memory(key, record, reading),
      knowledge: this.#knowledge,
      rules: this.#rulesOf(policy, registry),
      exactGuard,
      now: this.#clock.monotonic(),
      maxRegistryAgeMs: this.#freshForMs,
    });
    // A new pod that took the entry over is no comeback of the old one.
    const settled = verdict.kind === "Live" && memory.resurrected ? { ...memory, resurrected: false } : memory;
    if (verdict.kind === "Live") this.#evicted.delete(key);
    return { judgement: { record, verdict, policy: policy.name }, policy, memory: settled };
  }

  /** Remembers that we removed the entry. */
  evicted(key: string, outcome: EvictionOutcome): void {
    if (outcome === "Quarantined") return;
    this.#evicted.delete(key);
    this.#evicted.set(key, this.#clock.monotonic());
    if (this.#evicted.size <= MAX_REMEMBERED_EVICTIONS) return;
    const oldest = this.#evicted.keys().next();
    if (oldest.done !== true) this.#evicted.delete(oldest.value);
  }

  #memory(key: string, record: InstanceRecord, reading: LifeReading | undefined): InstanceMemory | undefined {
    let memory = this.#states.memory(key);
    const now = this.#clock.monotonic();
    if (reading !== undefined) memory = afterLifeReading(memory ?? noMemory, record, reading, now);
    const evictedAt = this.#evicted.get(key);
    if (evictedAt === undefined) return memory;
    if (now - evictedAt > COMEBACK_WINDOW_MS) {
      this.#evicted.delete(key);
      return memory;
    }
    // The view may still hold the entry that was deleted; only one that was seen later came back.
    return record.seenAt > evictedAt ? afterComeback(memory ?? noMemory) : memory;
  }

  #learn(record: InstanceRecord, exactGuard: boolean): void {
    for (const endpoint of record.endpoints) {
      for (const live of this.#livePodsAt(endpoint.host, endpoint.port, endpoint.isIp)) {
        this.#knowledge.observe(record, live, exactGuard);
        for (const { service } of this.#predictions.servicesOf(live.pod.uid)) {
          this.#knowledge.expect(record.registry, live.pod.workload, service);
        }
      }
    }
  }

  #livePodsAt(host: string, port: number, isIp: boolean): readonly LivePod[] {
    return (isIp ? this.#cluster.lookup(host, port) : this.#cluster.lookupHost(host))?.live ?? [];
  }

  #rulesOf(policy: CompiledPolicy, registry: ManagedRegistry): Rules {
    let byRegistry = this.#rules.get(policy);
    if (byRegistry === undefined) this.#rules.set(policy, (byRegistry = new Map()));
    const known = byRegistry.get(registry.name);
    if (known?.uid === registry.uid && known.rules.podCIDRs === registry.podCIDRs) return known.rules;
    const rules = {
      absentForMs: policy.absentForMs,
      silentForMs: policy.silentForMs,
      terminating: policy.plan.terminating,
      requiredMetadata: registry.requiredMetadata,
      podCIDRs: registry.podCIDRs,
    };
    byRegistry.set(registry.name, { uid: registry.uid, rules });
    return rules;
  }
}
