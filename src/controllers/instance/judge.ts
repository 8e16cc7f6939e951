import type { Clock } from "../../clock/clock.ts";
import type { ClusterReader, LivePod } from "../../cluster/types.ts";
import type { Endpoint, InstanceRecord, LifeReading } from "../../registry/port.ts";
import { judge } from "../../verdict/chain.ts";
import { afterComeback, afterLifeReading, noMemory } from "../../verdict/memory.ts";
import type { Reason } from "../../verdict/reasons.ts";
import type { LearnedServices } from "../../verdict/services.ts";
import type { Evidence, InstanceMemory, Judgement, Rules } from "../../verdict/types.ts";
import type { CompiledPolicy, ManagedRegistry, PolicySet } from "../types.ts";
import type { Comebacks } from "./comebacks.ts";
import type { InstanceStates } from "./instance-states.ts";
import { keyOf } from "./keys.ts";
import { PolicyForRecord } from "./policy-for-record.ts";
import type { Predictions } from "./predictions.ts";

/** A judgement with the policy in charge and the memory to keep for the next one. */
export interface Judged {
  readonly judgement: Judgement;
  readonly policy: CompiledPolicy;
  readonly memory: InstanceMemory;
}

export interface JudgeParts {
  readonly cluster: ClusterReader;
  readonly clock: Clock;
  readonly states: Pick<InstanceStates, "memory">;
  readonly comebacks: Comebacks;
  readonly knowledge: LearnedServices;
  readonly predictions: Pick<Predictions, "servicesOf">;
  readonly policies: PolicySet;
  /** A view of a registry older than this decides nothing, milliseconds. */
  readonly freshForMs: number;
}

const ownerLives: Reason = "OwnerLives";

/** Brings the pure verdict together with the views, the policies and what is remembered. Reads only memory. */
export class Judge {
  readonly #parts: JudgeParts;
  readonly #policyFor: PolicyForRecord;
  readonly #rules = new WeakMap<CompiledPolicy, Map<string, { readonly uid: string; readonly rules: Rules }>>();

  constructor(parts: JudgeParts) {
    this.#parts = parts;
    this.#policyFor = new PolicyForRecord(parts.policies, parts.cluster);
  }

  /**
   * @param reading what the registry said of the registrant's life just now, if it was asked
   * @returns undefined when no policy is in charge of the record, or one that is paused
   */
  judge(registry: ManagedRegistry, record: InstanceRecord, reading?: LifeReading): Judged | undefined {
    const { exactGuard } = registry.adapter.capabilities;
    this.#learn(record, exactGuard);
    return this.judgeBy(this.#policyFor.find(record, exactGuard), registry, record, reading);
  }

  /** As judge(), by the rules of this policy, whoever is in charge. */
  judgeBy(
    policy: CompiledPolicy | undefined,
    registry: ManagedRegistry,
    record: InstanceRecord,
    reading?: LifeReading,
  ): Judged | undefined {
    const { cluster, clock, comebacks, knowledge, freshForMs } = this.#parts;
    const { exactGuard } = registry.adapter.capabilities;
    if (policy === undefined || policy.plan.mode === "Paused") return undefined;
    const key = keyOf(registry.name, record.id);
    const { verdict, memory } = judge({
      record,
      cluster,
      registry: registry.view.freshness(),
      memory: this.#memory(key, registry, record, reading),
      knowledge,
      rules: this.#rulesOf(policy, registry),
      exactGuard,
      now: clock.monotonic(),
      maxRegistryAgeMs: freshForMs,
    });
    const judgement = { record, verdict, policy: policy.name };
    if (verdict.reason !== ownerLives) return { judgement, policy, memory };
    // A living pod that may have made the registration took the entry over: that is no comeback of the old one.
    comebacks.forget(key);
    return { judgement, policy, memory: memory.resurrected ? { ...memory, resurrected: false } : memory };
  }

  #memory(
    key: string,
    registry: ManagedRegistry,
    record: InstanceRecord,
    reading: LifeReading | undefined,
  ): InstanceMemory | undefined {
    const { states, comebacks, clock } = this.#parts;
    let memory = states.memory(key);
    if (reading !== undefined) memory = afterLifeReading(memory ?? noMemory, record, reading, clock.monotonic());
    return comebacks.hasComeBack(key, registry.uid, record) ? afterComeback(memory ?? noMemory) : memory;
  }

  #learn(record: InstanceRecord, exactGuard: boolean): void {
    const { knowledge, predictions } = this.#parts;
    for (const endpoint of record.endpoints) {
      for (const live of this.#livePodsAt(endpoint)) {
        knowledge.observe(record, live, exactGuard);
        for (const { service } of predictions.servicesOf(live.pod.uid)) {
          knowledge.expect(record.registry, live.pod.workload, service);
        }
      }
    }
  }

  #livePodsAt({ host, port, isIp }: Endpoint): readonly LivePod[] {
    const { cluster } = this.#parts;
    return (isIp ? cluster.lookup(host, port) : cluster.lookupHost(host))?.live ?? [];
  }

  #rulesOf(policy: CompiledPolicy, registry: ManagedRegistry): Rules {
    const byRegistry = this.#rules.get(policy) ?? new Map<string, { readonly uid: string; readonly rules: Rules }>();
    this.#rules.set(policy, byRegistry);
    const known = byRegistry.get(registry.name);
    const { podCIDRs, requiredMetadata, uid } = registry;
    if (known?.uid === uid && known.rules.podCIDRs === podCIDRs && known.rules.requiredMetadata === requiredMetadata) {
      return known.rules;
    }
    const { absentForMs, silentForMs, plan } = policy;
    const rules = { absentForMs, silentForMs, terminating: plan.terminating, requiredMetadata, podCIDRs };
    byRegistry.set(registry.name, { uid, rules });
    return rules;
  }
}

/** What the verdict rests on when it may lead to an action under this policy; undefined when it may not. */
export function evidenceToActOn({ judgement: { verdict }, policy }: Judged): Evidence | undefined {
  const isDue = verdict.kind === "Zombie" || (verdict.kind === "Draining" && policy.plan.terminating === "Evict");
  return isDue ? verdict.evidence : undefined;
}
