import type { Random } from "../clock/clock.ts";
import type { InstanceRecord } from "../registry/port.ts";
import type { Evidence, Judgement, Verdict } from "../verdict/types.ts";
import { spread } from "./spread.ts";
import { type BlockReason, type Decision, isExplained, type PlanContext } from "./types.ts";

/** Decides over one judgement. A budget is drawn on only by what everything else lets through. */
export function plan(judgement: Judgement, context: PlanContext): Decision {
  const { rules, budgets, now, instances, audited } = context;
  const { record, verdict, policy } = judgement;
  const underAudit = rules.mode === "Audit";
  const blocked = (blockedBy: BlockReason, retryAfterMs?: number) =>
    ({ act: "None", judgement, blockedBy, retryAfterMs, underAudit }) as const;
  const evidence = actionable(verdict, context);
  if (evidence === undefined || policy === undefined) return blocked("NotEvictable");
  const act = actOn(record, context);
  const explained = isExplained(evidence.class);
  const obstacle = obstacleTo(judgement, act, explained, context);
  if (obstacle !== undefined) return blocked(obstacle, waitMs[obstacle]);
  if (underAudit && audited) return blocked("Audit");
  const grant = budgets.take({ policy, registry: record.registry, rules: rules.budget, explained, instances, now });
  if (!grant.granted) return blocked(grant.blockedBy, grant.retryAfterMs);
  return underAudit ? { ...blocked("Audit"), would: act } : { act, judgement };
}

/**
 * Decides over many: explained deaths first, then the others in random order, spread over services, so that a budget
 * that is too small for all takes a little of each and never one service whole.
 */
export function planAll(
  judgements: readonly Judgement[],
  contextOf: (judgement: Judgement) => PlanContext,
  random: Random,
): Decision[] {
  const isSeen = ({ verdict }: Judgement): boolean =>
    verdict.evidence !== undefined && isExplained(verdict.evidence.class);
  const { explained = [], unexplained = [] } = Object.groupBy(judgements, (judgement) =>
    isSeen(judgement) ? "explained" : "unexplained",
  );
  const ordered = [...explained, ...spread(unexplained, ({ record }) => record.service, random)];
  return ordered.map((judgement) => plan(judgement, contextOf(judgement)));
}

/** The proof to act on, if the verdict is one of the two that may lead to an action. */
function actionable(verdict: Verdict, { rules }: PlanContext): Evidence | undefined {
  if (verdict.kind === "Zombie") return verdict.evidence;
  return verdict.kind === "Draining" && rules.terminating === "Evict" ? verdict.evidence : undefined;
}

/** What a delete can not remove is taken out of rotation, where the registry can. */
function actOn({ removal }: InstanceRecord, { rules, canQuarantine }: PlanContext): "Evict" | "Quarantine" {
  if (rules.action === "Quarantine") return "Quarantine";
  return removal.effective === "No" && canQuarantine ? "Quarantine" : "Evict";
}

/** What passes without any event. */
const waitMs: Partial<Record<BlockReason, number>> = { QuarantineLimit: 5_000 };

/**
 * In order of what a person would have to change first. Mode Audit is none: it holds back the write, and what would hold it
 * back under Enforce is what somebody who audits wants to know.
 */
function obstacleTo(
  { record }: Judgement,
  act: "Evict" | "Quarantine",
  explained: boolean,
  context: PlanContext,
): BlockReason | undefined {
  const { rules, deleting, canQuarantine, quarantineHasRoom, liveInService, selfPreservation } = context;
  if (deleting) return "Deleting";
  if (rules.mode === "Paused") return "Paused";
  if (rules.action === "Report") return rules.mode === "Audit" ? "Audit" : "ReportOnly";
  if (act === "Quarantine" && record.quarantined) return rules.mode === "Audit" ? "Audit" : "Quarantined";
  if (liveInService < rules.minInstances) return "MinInstances";
  if (act === "Quarantine" && !canQuarantine) return "RemovalNotPossible";
  if (act === "Evict" && record.removal.effective !== "Yes") return "RemovalNotPossible";
  if (!explained && selfPreservation.active) return "SelfPreservation";
  if (act === "Quarantine" && !quarantineHasRoom) return "QuarantineLimit";
  return undefined;
}
