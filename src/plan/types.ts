import type { EvidenceClass, Judgement } from "../verdict/types.ts";
import type { EvictionBudgets } from "./budget.ts";
import type { SelfPreservation } from "./self-preservation.ts";

/** What a policy and its budget allow. Counts and percentages as in the RegistrationPolicy. */
export interface PlanRules {
  readonly mode: "Audit" | "Enforce" | "Paused";
  readonly action: "Evict" | "Quarantine" | "Report";
  readonly terminating: "Wait" | "Evict";
  /**
   * Nothing of a service is removed while fewer than this many of its instances are listed and Live; 0 = no floor. The
   * dead one does not count, so this asks for others that can take over, whatever the evidence is.
   */
  readonly minInstances: number;
  readonly budget: BudgetRules;
}

export interface BudgetRules {
  /** Token bucket for every eviction: refill per second, and its size. */
  readonly evictionsPerSecond: number;
  readonly burst: number;
  /** Unexplained evictions a minute, in percent of what policies look after in the registry (at least one). */
  readonly unexplainedPercentPerMinute: number;
}

/** Why the planner did not let an eviction through; `undefined` reason means it did. */
export type BlockReason =
  | "Audit"
  | "Paused"
  | "ReportOnly"
  | "NotEvictable"
  /** It is out of rotation already. */
  | "Quarantined"
  /** As many are in quarantine as a report can hold, and what a report does not hold could never be released. */
  | "QuarantineLimit"
  | "MinInstances"
  | "Budget"
  | "UnexplainedBudget"
  | "SelfPreservation"
  | "RemovalNotPossible"
  | "Deleting";

/** What the planner needs to know besides the judgement. */
export interface PlanContext {
  /** Of the policy in charge. */
  readonly rules: PlanRules;
  /** The policy or the registry is being deleted, or is no longer the one that was judged by. */
  readonly deleting: boolean;
  /** The registry has a way to take an entry out of rotation. */
  readonly canQuarantine: boolean;
  /** The policy's report has room for one more quarantine. */
  readonly quarantineHasRoom: boolean;
  /** Live instances of the record's service besides itself, and those of its registry that policies look after. */
  readonly liveInService: number;
  readonly instances: number;
  /** Of the record's registry. */
  readonly selfPreservation: SelfPreservation;
  readonly budgets: EvictionBudgets;
  /** Under mode Audit: this decision was taken up to the write before. It draws on no budget again. */
  readonly audited: boolean;
  /** Local monotonic milliseconds. */
  readonly now: number;
}

/** The planner's answer for one judgement. */
export type Decision =
  | { readonly act: "Evict" | "Quarantine"; readonly judgement: Judgement }
  | {
      readonly act: "None";
      readonly judgement: Judgement;
      readonly blockedBy: BlockReason;
      /** When it is worth asking again, milliseconds; undefined when only a change helps. */
      readonly retryAfterMs: number | undefined;
      /** It was made under mode Audit: nothing would be written whatever it says. */
      readonly underAudit?: boolean;
      /** Under mode Audit, where nothing but the mode holds it back: to be taken up to the write. */
      readonly would?: "Evict" | "Quarantine";
    };

/** Confirmed, Terminating and Reused deaths are explained: we saw why. */
export function isExplained(evidence: EvidenceClass): boolean {
  return evidence === "Confirmed" || evidence === "Terminating" || evidence === "Reused";
}
