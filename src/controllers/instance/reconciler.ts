import type { Clock } from "../../clock/clock.ts";
import type { ReconcileContext, Result, Trigger } from "../../kube/controller.ts";
import { isExplained } from "../../plan/types.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { Evidence } from "../../verdict/types.ts";
import type { ManagedRegistry, RegistrySet } from "../types.ts";
import type { Audits } from "./audits.ts";
import type { Crowd } from "./crowd.ts";
import { evidenceToActOn, type Judge, type Judged } from "./judge.ts";
import { parseKey } from "./keys.ts";
import type { Notebook } from "./notebook.ts";
import type { Planner } from "./planner.ts";
import type { Quarantines } from "./quarantines.ts";
import type { Releases } from "./releases.ts";
import type { Removals } from "./removals.ts";
import type { Turns } from "./turns.ts";

export interface ReconcilerParts {
  readonly judge: Judge;
  readonly planner: Planner;
  readonly notebook: Notebook;
  readonly removals: Removals;
  readonly audits: Audits;
  readonly quarantines: Pick<Quarantines, "look" | "mayLag">;
  readonly releases: Releases;
  readonly registries: RegistrySet;
  /** Holds an unexplained zombie until its turn in the random order has come. */
  readonly turns: Turns;
  /** For what waits for a server before it is known whether anything is to be done. */
  readonly crowd: Crowd;
  readonly metrics: Pick<Metrics, "evictions">;
  readonly clock: Clock;
  /** Asks for a complete list of pods before long. */
  readonly requestList: () => void;
}

/** Until a view has caught up with a write of ours. */
const CATCH_UP_MS = 500;

/** Judges one record and, where the plan lets it, evicts it, or puts back what we took out of rotation. The queue's key is the record; see keys.ts. */
export class InstanceReconciler {
  readonly #parts: ReconcilerParts;

  constructor(parts: ReconcilerParts) {
    this.#parts = parts;
  }

  async reconcile(key: string, context: ReconcileContext): Promise<Result> {
    const { judge, notebook, registries, removals, audits, quarantines, releases, requestList } = this.#parts;
    const { registry: name, id } = parseKey(key);
    const registry = registries.get(name);
    const record = registry?.view.get(id);
    if (removals.isUnsettled(key, record)) await removals.settle(key, context.signal);
    if (registry !== undefined) quarantines.look(registry, id);
    if (registry === undefined || record === undefined) {
      audits.forget(key);
      notebook.left(key);
      return undefined;
    }
    let judged = judge.judge(registry, record);
    if (judged?.judgement.verdict.needsLifeReading === true) {
      const read = await this.#judgeByLife(key, registry, judged, context);
      if (read === "Full") return undefined;
      judged = read;
    }
    if (judged === undefined) {
      audits.forget(key);
      notebook.left(key);
      return await this.#release(registry, releases.judgeOrphan(registry, record), context);
    }
    if (judged.judgement.verdict.needsCompleteList) requestList();
    const evidence = evidenceToActOn(judged);
    if (evidence !== undefined) {
      if (quarantines.mayLag(registry, judged.judgement.record)) return { requeueAfterMs: CATCH_UP_MS };
      return isExplained(evidence.class)
        ? await this.#act(key, registry, judged, evidence, context)
        : await this.#actInTurn(key, registry, judged, evidence, context);
    }
    audits.forget(key);
    notebook.note(key, judged, undefined, context);
    const toDo = await this.#release(registry, judged, context);
    const { reviewAfterMs } = judged.judgement.verdict;
    return toDo ?? (reviewAfterMs === undefined ? undefined : { requeueAfterMs: reviewAfterMs, keepTrigger: true });
  }

  /** Puts back what we took out of rotation, where somebody lives. */
  async #release(registry: ManagedRegistry, judged: Judged | undefined, context: ReconcileContext): Promise<Result> {
    const { releases } = this.#parts;
    const quarantine = judged && releases.due(registry, judged);
    if (judged === undefined || quarantine === undefined) return undefined;
    return await releases.release(registry, judged, quarantine, context);
  }

  /** @returns the judgement with what the registry says of the registrant's life; undefined when there is none */
  async #judgeByLife(
    key: string,
    registry: ManagedRegistry,
    judged: Judged,
    context: ReconcileContext,
  ): Promise<Judged | undefined | "Full"> {
    const { judge, crowd, notebook } = this.#parts;
    const { record } = judged.judgement;
    if (!crowd.enter(registry.name, key, this.#triggerOf(context))) {
      notebook.note(key, judged, undefined, context);
      return "Full";
    }
    // Waiting times run from this judgement on; what it says is about to be said better.
    notebook.remember(key, judged, context);
    try {
      const reading = await registry.adapter.readLife(record, context.signal);
      const listed = registry.view.get(record.id);
      return listed && judge.judge(registry, listed, reading);
    } catch (error) {
      notebook.note(key, judged, undefined, context);
      throw error;
    } finally {
      crowd.leave(registry.name);
    }
  }

  /** For deaths that nobody saw: a few at a time, in an order that spares services. */
  async #actInTurn(
    key: string,
    registry: ManagedRegistry,
    judged: Judged,
    evidence: Evidence,
    context: ReconcileContext,
  ): Promise<Result> {
    const { notebook, turns, crowd } = this.#parts;
    const trigger = this.#triggerOf(context);
    if (!crowd.enter(registry.name, key, trigger)) {
      notebook.noteWaiting(key, judged, context);
      return undefined;
    }
    try {
      if (turns.mayGo(key, judged.judgement.record, trigger)) {
        return await this.#act(key, registry, judged, evidence, context);
      }
      notebook.noteWaiting(key, judged, context);
      return undefined;
    } finally {
      crowd.leave(registry.name);
    }
  }

  async #act(
    key: string,
    registry: ManagedRegistry,
    judged: Judged,
    evidence: Evidence,
    context: ReconcileContext,
  ): Promise<Result> {
    const { planner, notebook, removals, audits, metrics } = this.#parts;
    const { judgement, policy } = judged;
    const decision = planner.decide(judged, registry, audits.has(key, judgement, evidence));
    notebook.note(key, judged, decision, context);
    if (decision.act !== "None") return await removals.evict(key, registry, judged, evidence, decision.act, context);
    const { blockedBy, retryAfterMs, would } = decision;
    if (blockedBy === "Quarantined") return undefined;
    metrics.evictions.blocked.inc({ policy: policy.name, reason: blockedBy });
    if (would !== undefined) {
      const again = await removals.audit(key, registry, judged, evidence, would, context);
      if (again === undefined) audits.add(key, judgement, evidence);
      return again;
    }
    return retryAfterMs === undefined ? undefined : { requeueAfterMs: retryAfterMs, keepTrigger: true };
  }

  #triggerOf({ traceId, seenAt }: ReconcileContext): Trigger {
    return { traceId, seenAt: seenAt ?? this.#parts.clock.monotonic() };
  }
}
