import type { EvidenceClass, Judgement } from "../verdict/types.ts";

/** What a policy and its budget allow. Counts and percentages as in the RegistrationPolicy. */
export interface PlanRules {
  readonly mode: "Audit" | "Enforce" | "Paused";
  readonly action: "Evict" | "Quarantine" | "Report";
  readonly terminating: "Wait" | "Evict";
  /** Instances that must remain listed per service; 0 = no floor. */
  readonly minInstances: number;
  readonly budget: BudgetRules;
}

export interface BudgetRules {
  /** Token bucket for every eviction: refill per second, and its size. */
  readonly evictionsPerSecond: number;
  readonly burst: number;
  /** Unexplained evictions a minute, in percent of the registry's instances (at least one). */
  readonly unexplainedPercentPerMinute: number;
}

/** Why the planner did not let an eviction through; `undefined` reason means it did. */
export type BlockReason =
  | "Audit"
  | "Paused"
  | "ReportOnly"
  | "NotEvictable"
  | "MinInstances"
  | "Budget"
  | "UnexplainedBudget"
  | "SelfPreservation"
  | "RemovalNotPossible"
  | "Deleting";

/** The planner's answer for one judgement. */
export type Decision =
  | { readonly act: "Evict" | "Quarantine"; readonly judgement: Judgement }
  | {
      readonly act: "None";
      readonly judgement: Judgement;
      readonly blockedBy: BlockReason;
      /** When it is worth asking again, milliseconds; undefined when only a change helps. */
      readonly retryAfterMs: number | undefined;
    };

/** Confirmed, Terminating and Reused deaths are explained: we saw why. */
export function isExplained(evidence: EvidenceClass): boolean {
  return evidence === "Confirmed" || evidence === "Terminating" || evidence === "Reused";
}
