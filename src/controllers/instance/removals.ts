import type { Clock } from "../../clock/clock.ts";
import type { EvictionRequest, EvictionResult, Evictor } from "../../eviction/evictor.ts";
import type { ReconcileContext, Result } from "../../kube/controller.ts";
import { isExplained } from "../../plan/types.ts";
import { formatEndpoints } from "../../registry/endpoint.ts";
import type { Fence, InstanceRecord, LifeReading, RestorePayload } from "../../registry/port.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { Evidence, Judgement } from "../../verdict/types.ts";
import type { CompiledPolicy, EvictionEntry, ManagedRegistry, PolicySet, RegistrySet } from "../types.ts";
import type { Comebacks } from "./comebacks.ts";
import type { InstanceEvents } from "./events.ts";
import type { EvictionLog } from "./eviction-log.ts";
import type { Judge, Judged } from "./judge.ts";
import type { Notebook } from "./notebook.ts";
import type { Planner } from "./planner.ts";
import type { Quarantines } from "./quarantines.ts";
import type { StoredEvictions } from "./seeding.ts";

/** After a refused attempt that may succeed soon: a newborn's address, a registry's answer. */
const TRY_AGAIN_MS = 1_000;

export interface RemovalsParts {
  readonly judge: Judge;
  readonly planner: Pick<Planner, "selfPreservation">;
  readonly evictor: Evictor;
  readonly notebook: Pick<Notebook, "remember">;
  readonly comebacks: Comebacks;
  readonly evictions: EvictionLog;
  readonly quarantines: Pick<Quarantines, "begin" | "add" | "abandon">;
  readonly stored: Pick<StoredEvictions, "save">;
  readonly policies: PolicySet;
  readonly registries: RegistrySet;
  /** True while this replica may write. */
  readonly isLeader: () => boolean;
  readonly clusterUid: () => string;
  readonly events: InstanceEvents;
  readonly metrics: Pick<Metrics, "evictions">;
  readonly clock: Clock;
  /** Called when what a status or report shows has changed. */
  readonly changed: (policy: string) => void;
}

/** One decision on its way through the evictor. */
interface Attempt {
  readonly key: string;
  readonly policy: CompiledPolicy;
  readonly registry: ManagedRegistry;
  readonly request: EvictionRequest;
  /** Local monotonic milliseconds at which the death was seen. */
  readonly seenAt: number;
  readonly traceId: string;
  readonly log: Logger;
}

type Written = Extract<EvictionResult, { readonly writtenAt: number }>;

/** Has evictions done, counts how each went, and notes what was removed: also where the registry's answer got lost. */
export class Removals {
  readonly #parts: RemovalsParts;
  /** Writes without an answer, until it is known what became of them. By key of the record. */
  readonly #unsettled = new Map<string, Attempt>();

  constructor(parts: RemovalsParts) {
    this.#parts = parts;
  }

  /** @throws what speaks for trying again with growing waits: see Evictor.evict, and lost answers */
  async evict(
    key: string,
    registry: ManagedRegistry,
    judged: Judged,
    evidence: Evidence,
    act: "Evict" | "Quarantine",
    context: ReconcileContext,
  ): Promise<Result> {
    const attempt = this.#attempt(key, registry, judged, evidence, act, context);
    const evict = (): Promise<EvictionResult> => this.#parts.evictor.evict(attempt.request, context.signal);
    const work =
      act === "Evict" ? evict : (): Promise<EvictionResult> => this.#announced(attempt, evict, context.signal);
    const result = await this.#counted(attempt, work);
    return this.#finish(attempt, result) ? undefined : { requeueAfterMs: TRY_AGAIN_MS, keepTrigger: true };
  }

  /**
   * Under mode Audit: does all that evict() does up to the write, and notes nothing.
   * @returns when to try again, as evict() would
   * @throws what speaks for trying again with growing waits: see Evictor.evict
   */
  async audit(
    key: string,
    registry: ManagedRegistry,
    judged: Judged,
    evidence: Evidence,
    act: "Evict" | "Quarantine",
    context: ReconcileContext,
  ): Promise<Result> {
    const { request, log } = this.#attempt(key, registry, judged, evidence, act, context);
    const { outcome, message } = await this.#parts.evictor.evict({ ...request, isAudit: true }, context.signal);
    log.info({ step: "done", outcome }, message);
    return outcome === "Audited" ? undefined : { requeueAfterMs: TRY_AGAIN_MS, keepTrigger: true };
  }

  #attempt(
    key: string,
    registry: ManagedRegistry,
    { policy, judgement }: Judged,
    evidence: Evidence,
    act: "Evict" | "Quarantine",
    context: ReconcileContext,
  ): Attempt {
    const { id } = judgement.record;
    return {
      key,
      policy,
      registry,
      request: {
        judgement,
        evidence,
        act,
        isAudit: false,
        adapter: registry.adapter,
        fence: this.#fence(policy, registry, judgement, evidence, context.traceId),
        listed: () => registry.view.get(id),
        rejudge: (reading) => this.#rejudge(key, registry, id, reading, context),
        log: context.log,
      },
      seenAt: deathSeenAt(evidence, context.seenAt),
      traceId: context.traceId,
      log: context.log,
    };
  }

  /**
   * What was taken out of rotation can be put back only by who knows that it was us. So the report names it before the
   * registry is asked, and before the last look, which must not age.
   */
  async #announced(
    attempt: Attempt,
    evict: () => Promise<EvictionResult>,
    signal: AbortSignal,
  ): Promise<EvictionResult> {
    const { quarantines, stored } = this.#parts;
    const { policy } = attempt;
    const entry = this.#entryOf(attempt, "Quarantined", undefined);
    quarantines.begin({ name: policy.name, uid: policy.uid }, entry);
    try {
      await stored.save(policy, signal);
      const result = await evict();
      if (!isAsked(result)) this.#giveUp(attempt, entry);
      return result;
    } catch (error) {
      this.#giveUp(attempt, entry);
      throw error;
    }
  }

  /** This attempt has written nothing; an earlier one, whose answer is lost, may have. */
  #giveUp({ key }: Attempt, entry: EvictionEntry): void {
    const open = this.#unsettled.get(key);
    if (open === undefined) this.#parts.quarantines.abandon(entry);
    else this.#mayBeQuarantined(open);
  }

  #mayBeQuarantined(attempt: Attempt): void {
    const { clock } = this.#parts;
    this.#quarantined(attempt, this.#entryOf(attempt, "Quarantined", undefined), clock.monotonic(), false);
  }

  /** Whether it is open what became of a write to this record, and the registry's content can tell by now. */
  isUnsettled(key: string, listed: InstanceRecord | undefined): boolean {
    const attempt = this.#unsettled.get(key);
    return attempt !== undefined && attempt.request.judgement.record.version !== listed?.version;
  }

  /**
   * Finds out what became of the write to this record, and notes it if it was done.
   * @throws what speaks for asking again later
   */
  async settle(key: string, signal: AbortSignal): Promise<void> {
    const attempt = this.#unsettled.get(key);
    if (attempt === undefined) return;
    const { registry, request } = attempt;
    // What another adapter lists, or does not list yet, says nothing about this one's versions.
    const canTell = this.#parts.registries.get(registry.name)?.adapter === request.adapter;
    if (canTell) {
      const result = await this.#counted(attempt, () => this.#parts.evictor.settle(request, signal));
      this.#finish(attempt, result);
      if (request.act === "Quarantine") this.#unsettled.delete(key);
      if (result.outcome !== "Fenced") return;
    }
    this.#unsettled.delete(key);
    attempt.log.warn(
      { step: "settle" },
      "it stays open what became of the write without an answer; the registry's own undo record tells, if it keeps one",
    );
  }

  async #counted(attempt: Attempt, work: () => Promise<EvictionResult>): Promise<EvictionResult> {
    const { policy, registry, request } = attempt;
    const labels = { policy: policy.name, registry: registry.name, class: request.evidence.class };
    const { total } = this.#parts.metrics.evictions;
    try {
      const result = await work();
      total.inc({ ...labels, result: result.outcome });
      return result;
    } catch (error) {
      total.inc({ ...labels, result: "Failed" });
      throw error;
    }
  }

  /** @returns whether it was written */
  #finish(attempt: Attempt, result: EvictionResult): boolean {
    const { key, registry, request, log, seenAt } = attempt;
    const { outcome, message } = result;
    const { comebacks, clock } = this.#parts;
    const { version } = request.judgement.record;
    log.info({ step: "done", outcome, tookMs: Math.round(clock.monotonic() - seenAt), ...undoOf(result) }, message);
    switch (outcome) {
      case "Unsettled":
        this.#unsettled.set(key, attempt);
        if (request.act === "Evict") comebacks.removed(key, registry.uid, version);
        else this.#mayBeQuarantined(attempt);
        throw result.error;
      case "Evicted":
      case "Quarantined":
      case "Resurrected":
      case "NotVerified":
        this.#unsettled.delete(key);
        if (request.act === "Evict") comebacks.removed(key, registry.uid, version, outcome === "Resurrected");
        this.#record(attempt, result);
        return true;
      case "Changed":
      case "Gone":
        // What was open is known now: nobody of ours has removed it. Of a quarantine only settle() can tell.
        if (request.act === "Evict" && this.#unsettled.delete(key)) comebacks.forget(key);
        return false;
      case "Fenced":
      case "NotConfirmed":
      case "Audited":
        return false;
    }
  }

  #record(attempt: Attempt, { outcome, restore, writtenAt }: Written): void {
    const { policy, registry, request, seenAt } = attempt;
    const { evidence, judgement, act } = request;
    const { metrics, evictions, events, changed } = this.#parts;
    const labels = { registry: registry.name, class: evidence.class };
    metrics.evictions.latency.observe(labels, Math.max(0, writtenAt - seenAt) / 1000);
    // Whatever a later read says, the registry took it: as long as nothing else is known, it is ours to undo.
    const entry = this.#entryOf(attempt, act === "Quarantine" ? "Quarantined" : outcome, restore);
    evictions.add(policy, entry);
    if (act === "Quarantine") this.#quarantined(attempt, entry, writtenAt, true);
    events.evicted(policy, entry, judgement.verdict.message);
    changed(policy.name);
  }

  #quarantined({ policy }: Attempt, entry: EvictionEntry, at: number, isCertain: boolean): void {
    this.#parts.quarantines.add({ name: policy.name, uid: policy.uid }, entry, at, isCertain);
  }

  #entryOf(
    { registry, request, traceId }: Attempt,
    result: string,
    restore: RestorePayload | undefined,
  ): EvictionEntry {
    const { evidence, judgement } = request;
    const { record, verdict } = judgement;
    return {
      time: this.#parts.clock.wall(),
      registry: registry.name,
      service: record.service,
      instance: record.instance,
      id: record.id,
      address: formatEndpoints(record.endpoints),
      evidence: evidence.class,
      reason: verdict.reason,
      pod: { namespace: evidence.podNamespace, name: evidence.podName, uid: evidence.podUid },
      traceId,
      result,
      restore,
    };
  }

  /** Everything that must still hold at the moment of the write. */
  #fence(
    policy: CompiledPolicy,
    registry: ManagedRegistry,
    { verdict }: Judgement,
    evidence: Evidence,
    traceId: string,
  ): Fence {
    const { policies, registries, planner, isLeader, clusterUid } = this.#parts;
    const mayAct = isExplained(evidence.class) ? () => true : (): boolean => !planner.selfPreservation(registry).active;
    return {
      isValid: () =>
        isLeader() &&
        policies.get(policy.name)?.generation === policy.generation &&
        policies.isInForce(policy.name, policy.uid) &&
        registries.isInForce(registry.name, registry.uid) &&
        mayAct(),
      clusterUid: clusterUid(),
      reason: `${verdict.reason}: ${verdict.message}`,
      traceId,
    };
  }

  /** What it heard of the registrant's life is kept: the next judgement must not rest on an older reading. */
  #rejudge(
    key: string,
    registry: ManagedRegistry,
    id: string,
    reading: LifeReading | undefined,
    context: ReconcileContext,
  ): Judgement | undefined {
    const { judge, notebook } = this.#parts;
    const record = registry.view.get(id);
    const judged = record && judge.judge(registry, record, reading);
    if (judged !== undefined) notebook.remember(key, judged, context);
    return judged?.judgement;
  }
}

/** A deletion has no death yet whose time was noted: there it counts from the event that brought the decision about. */
function deathSeenAt({ class: kind, since }: Evidence, eventSeenAt: number | undefined): number {
  return kind === "Terminating" ? Math.min(eventSeenAt ?? since, since) : since;
}

/** The registry may have done it. */
function isAsked({ outcome }: EvictionResult): boolean {
  return !["Changed", "Gone", "Fenced", "NotConfirmed", "Audited"].includes(outcome);
}

function undoOf(result: EvictionResult): { readonly undo?: string } {
  return "restore" in result && result.restore?.undoKey !== undefined ? { undo: result.restore.undoKey } : {};
}
