import type { Clock } from "../../clock/clock.ts";
import type { ReconcileContext } from "../../kube/controller.ts";
import type { Decision } from "../../plan/types.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { Verdict } from "../../verdict/types.ts";
import type { Comebacks } from "./comebacks.ts";
import type { InstanceEvents } from "./events.ts";
import type { EvictionLog } from "./eviction-log.ts";
import { type InstanceStates, isBlind, type KnownVerdict } from "./instance-states.ts";
import type { Judged } from "./judge.ts";

export interface NotebookParts {
  readonly states: InstanceStates;
  readonly comebacks: Comebacks;
  readonly evictions: Pick<EvictionLog, "cameBack">;
  readonly events: InstanceEvents;
  readonly metrics: Pick<Metrics, "instances">;
  readonly clock: Clock;
  /** Called when what a status or report shows has changed. */
  readonly changed: (policy: string) => void;
}

/** Keeps judgements for status and report, and tells of what is new by log and Events. */
export class Notebook {
  readonly #parts: NotebookParts;

  constructor(parts: NotebookParts) {
    this.#parts = parts;
  }

  /** @param decision of the plan, where it was asked */
  note(key: string, judged: Judged, decision: Decision | undefined, context: ReconcileContext): void {
    const { states, comebacks, evictions, events, changed } = this.#parts;
    const { judgement, policy } = judged;
    const before = states.get(key);
    if (!this.keep(key, judged, decision)) return;
    const { record, verdict } = judgement;
    const isComeback = verdict.kind === "Resurrected";
    const isNews = !isComeback || comebacks.isNews(key);
    if (isComeback && isNews) evictions.cameBack(policy, record.registry, record.id);
    changed(policy.name);
    if (before !== undefined && before.policy !== policy.name) changed(before.policy);
    log(judged, decision, before, context);
    if (isNews) events.judged(policy, judgement, before?.kind, decision);
  }

  /** What only waits for its turn is not held back: that comes by itself. A reason noted before stays as it is. */
  noteWaiting(key: string, judged: Judged, context: ReconcileContext): void {
    const before = this.#parts.states.get(key);
    const isKnown = before?.kind === judged.judgement.verdict.kind && before.policy === judged.policy.name;
    if (!isKnown) this.note(key, judged, undefined, context);
  }

  /** Keeps what later judgements of the record go on from; of the verdict only the first that there ever was. */
  remember(key: string, judged: Judged, context: ReconcileContext): void {
    if (!this.#parts.states.remember(key, judged.memory)) this.note(key, judged, undefined, context);
  }

  /** As note(), and tells nobody. @returns whether there is something to tell */
  keep(key: string, { judgement, policy, memory }: Judged, decision?: Decision): boolean {
    const { states, metrics, clock } = this.#parts;
    metrics.instances.judgements.inc({ verdict: judgement.verdict.kind });
    return states.set(key, policy.name, judgement, memory, decision, clock.wall());
  }

  /** The record is listed no more, or no policy is in charge of it. */
  left(key: string): void {
    const policy = this.#parts.states.delete(key);
    if (policy !== undefined) this.#parts.changed(policy);
  }
}

function log(
  { judgement: { record, verdict }, policy }: Judged,
  decision: Decision | undefined,
  before: KnownVerdict | undefined,
  context: ReconcileContext,
): void {
  const level = isExpected(verdict, before) ? "debug" : "info";
  if (!context.log.isLevelEnabled(level)) return;
  context.log[level](
    {
      step: "judge",
      policy: policy.name,
      registry: record.registry,
      service: record.service,
      instance: record.id,
      verdict: verdict.kind,
      reason: verdict.reason,
      class: verdict.evidence?.class,
      before: before?.kind,
      decision: decision?.act === "None" ? decision.blockedBy : decision?.act,
      removal: record.removal.effective === "Yes" ? undefined : record.removal.reason,
    },
    verdict.message,
  );
}

/** What is true of very many records at once, and says nothing of a single one. */
function isExpected(verdict: Verdict, before: KnownVerdict | undefined): boolean {
  if (isBlind(verdict)) return true;
  if (verdict.kind === "Live") return before === undefined || isBlind(before);
  return verdict.kind === "Foreign" && before === undefined;
}
