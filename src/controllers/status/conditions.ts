import type { ConditionStatus } from "../../kube/conditions.ts";

/** One aspect of an object's state; its status follows from the reason. */
export interface ConditionText {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

/** What the reasons of each condition type mean (src/api/v1alpha1/conditions.ts). */
export type ConditionTable = Readonly<
  Record<string, { readonly reasons: Readonly<Record<string, { readonly status: ConditionStatus }>> }>
>;

/** The status that goes with a reason; Unknown for one that the table does not have. */
export function conditionStatus(table: ConditionTable, type: string, reason: string): ConditionStatus {
  return table[type]?.reasons[reason]?.status ?? "Unknown";
}

/** A condition that now has another reason, or for the first time one. */
export interface ConditionChange {
  readonly type: string;
  readonly before: { readonly status: ConditionStatus; readonly reason: string } | undefined;
  readonly after: ConditionText & { readonly status: ConditionStatus };
}

/** What is news in `after`: the conditions whose reason is another one than the object said. */
export function conditionChanges(
  before: readonly { readonly type: string; readonly status: ConditionStatus; readonly reason: string }[] | undefined,
  after: readonly ConditionText[],
  table: ConditionTable,
): readonly ConditionChange[] {
  return after
    .map((text) => ({
      type: text.type,
      before: before?.find(({ type }) => type === text.type),
      after: { ...text, status: conditionStatus(table, text.type, text.reason) },
    }))
    .filter((change) => change.before?.reason !== change.after.reason);
}
