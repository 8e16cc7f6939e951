import type { Clock } from "../../clock/clock.ts";
import type { Evictor, EvictionResult } from "../../eviction/evictor.ts";
import type { ReconcileContext, Result } from "../../kube/controller.ts";
import type { Fence, InstanceRecord } from "../../registry/port.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { Decision } from "../../plan/types.ts";
import { isExplained } from "../../plan/types.ts";
import type { Evidence, Judgement } from "../../verdict/types.ts";
import type { CompiledPolicy, ManagedRegistry, RegistrySet, PolicySet } from "../types.ts";
import type { EvictionLog } from "./eviction-log.ts";
import type { InstanceEvents } from "./events.ts";
import type { InstanceStates } from "./instance-states.ts";
import type { Judge, Judged } from "./judge.ts";
import { parseKey } from "./keys.ts";
import type { Planner } from "./planner.ts";

/** After a failed or refused attempt that may succeed soon: a newborn's address, a registry's answer. */
const TRY_AGAIN_MS = 1_000;

export interface ReconcilerParts {
  readonly judge: Judge;
  readonly planner: Planner;
  readonly evictor: Evictor;
  readonly states: InstanceStates;
  readonly evictions: EvictionLog;
  readonly policies: PolicySet;
  readonly registries: RegistrySet;
  /** True while this replica may write. */
  readonly isLeader: () => boolean;
  readonly clusterUid: () => string;
  readonly events: InstanceEvents;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** Asks for a complete list of pods before long. */
  readonly requestList: () => void;
  /** Holds an unexplained zombie until its turn in the random order has come; true when it has. */
  readonly mayGo: (key: string, record: InstanceRecord) => boolean;
  /** Called when what a status or report shows has changed. */
  readonly changed: (policy: string) => void;
}

/** Judges one record and, where the plan lets it, evicts it. The queue's key is the record; see keys.ts. */
export class InstanceReconciler {
  readonly #parts: ReconcilerParts;

  constructor(parts: ReconcilerParts) {
    this.#parts = parts;
  }

  async reconcile(key: string, context: ReconcileContext): Promise<Result> {
    const { judge, states } = this.#parts;
    const { registry: name, id } = parseKey(key);
    const registry = this.#parts.registries.get(name);
    let record = registry?.view.get(id);
    if (registry === undefined || record === undefined) return this.#left(key);

    let judged = judge.judge(registry, record);
    if (judged?.judgement.verdict.needsLifeReading === true) {
      // Kept first: the waiting time runs from this judgement on.
      this.#note(key, judged, undefined, context);
      const reading = await registry.adapter.readLife(record, context.signal);
      record = registry.view.get(id);
      if (record === undefined) return this.#left(key);
      judged = judge.judge(registry, record, reading);
    }
    if (judged === undefined) return this.#left(key);
    if (judged.judgement.verdict.needsCompleteList) this.#parts.requestList();

    const { verdict } = judged.judgement;
    const due =
      verdict.kind === "Zombie" || (verdict.kind === "Draining" && judged.policy.plan.terminating === "Evict");
    if (!due || verdict.evidence === undefined) {
      this.#note(key, judged, undefined, context);
      return verdict.reviewAfterMs === undefined ? undefined : { requeueAfterMs: verdict.reviewAfterMs };
    }
    if (!isExplained(verdict.evidence.class) && !this.#parts.mayGo(key, record)) {
      // Not noted as blocked: it is only waiting for its turn, which comes by itself.
      if (states.kind(key) !== "Zombie") this.#note(key, judged, undefined, context);
      return undefined;
    }
    return await this.#act(key, registry, judged, verdict.evidence, context);
  }

  async #act(
    key: string,
    registry: ManagedRegistry,
    judged: Judged,
    evidence: Evidence,
    context: ReconcileContext,
  ): Promise<Result> {
    const { policy, judgement } = judged;
    const decision = this.#parts.planner.decide(judged, registry);
    this.#note(key, judged, decision, context);
    if (decision.act === "None") {
      this.#parts.metrics.evictions.blocked.inc({ policy: policy.name, reason: decision.blockedBy });
      return decision.retryAfterMs === undefined ? undefined : { requeueAfterMs: decision.retryAfterMs };
    }
    const labels = { policy: policy.name, registry: registry.name, class: evidence.class };
    let result: EvictionResult;
    try {
      result = await this.#parts.evictor.evict(
        {
          record: judgement.record,
          verdict: judgement.verdict,
          act: decision.act,
          adapter: registry.adapter,
          fence: this.#fence(policy, registry, judgement, context.traceId),
          rejudge: () => this.#rejudge(registry, judgement.record.id),
          log: context.log,
        },
        context.signal,
      );
    } catch (error) {
      this.#parts.metrics.evictions.total.inc({ ...labels, result: "Failed" });
      throw error;
    }
    this.#parts.metrics.evictions.total.inc({ ...labels, result: result.outcome });
    return this.#after(key, registry, judged, evidence, result, context);
  }

  #after(
    key: string,
    registry: ManagedRegistry,
    judged: Judged,
    evidence: Evidence,
    result: EvictionResult,
    context: ReconcileContext,
  ): Result {
    const { policy, judgement } = judged;
    context.log.info(
      { step: "done", outcome: result.outcome, tookMs: Math.round(this.#parts.clock.monotonic() - evidence.since) },
      result.message,
    );
    if (result.writtenAt === undefined) return { requeueAfterMs: TRY_AGAIN_MS };
    const since = context.seenAt ?? evidence.since;
    this.#parts.metrics.evictions.latency.observe(
      { registry: registry.name, class: evidence.class },
      Math.max(0, result.writtenAt - since) / 1000,
    );
    const entry = {
      time: this.#parts.clock.wall(),
      registry: registry.name,
      service: judgement.record.service,
      instance: judgement.record.instance,
      id: judgement.record.id,
      address: addressOf(judgement.record),
      evidence: evidence.class,
      reason: judgement.verdict.reason,
      pod: { namespace: evidence.podNamespace, name: evidence.podName, uid: evidence.podUid },
      traceId: context.traceId,
      result: result.outcome,
      restore: result.restore,
    };
    this.#parts.evictions.add(policy.name, entry);
    this.#parts.judge.evicted(key, result.outcome);
    this.#parts.events.evicted(policy, entry, judgement.verdict.message);
    this.#parts.changed(policy.name);
    return undefined;
  }

  /** Everything that must still hold at the moment of the write. */
  #fence(policy: CompiledPolicy, registry: ManagedRegistry, judgement: Judgement, traceId: string): Fence {
    const { policies, registries, isLeader, clusterUid } = this.#parts;
    return {
      isValid: () =>
        isLeader() &&
        policies.get(policy.name)?.generation === policy.generation &&
        policies.isInForce(policy.name, policy.uid) &&
        registries.isInForce(registry.name, registry.uid),
      clusterUid: clusterUid(),
      reason: `${judgement.verdict.reason}: ${judgement.verdict.message}`,
      traceId,
    };
  }

  #rejudge(registry: ManagedRegistry, id: string): Judgement | undefined {
    const record = registry.view.get(id);
    return record && this.#parts.judge.judge(registry, record)?.judgement;
  }

  /** Keeps the judgement for status and report, and tells of what is new. */
  #note(key: string, judged: Judged, decision: Decision | undefined, context: ReconcileContext): void {
    const { judgement, policy } = judged;
    const { verdict, record } = judgement;
    this.#parts.metrics.instances.judgements.inc({ verdict: verdict.kind });
    const before = this.#parts.states.kind(key);
    const news = this.#parts.states.set(key, policy.name, judgement, judged.memory, decision, this.#parts.clock.wall());
    if (!news) return;
    this.#parts.changed(policy.name);
    if (verdict.kind === "Live" && before === undefined) return;
    context.log.info(
      {
        step: "judge",
        policy: policy.name,
        registry: record.registry,
        service: record.service,
        instance: record.id,
        verdict: verdict.kind,
        reason: verdict.reason,
        class: verdict.evidence?.class,
        decision: decision === undefined ? undefined : decision.act === "None" ? decision.blockedBy : decision.act,
      },
      verdict.message,
    );
    this.#parts.events.judged(policy, judgement, before, decision);
  }

  #left(key: string): undefined {
    const policy = this.#parts.states.delete(key);
    if (policy !== undefined) this.#parts.changed(policy);
  }
}

function addressOf(record: InstanceRecord): string {
  return record.endpoints
    .map(({ host, port }) => (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`))
    .join(",");
}
