import { secondTime } from "../clock/format.ts";

export type ConditionStatus = "True" | "False" | "Unknown";

/** One entry of `status.conditions`, as KEP-1623 has it. */
export interface Condition {
  readonly type: string;
  readonly status: ConditionStatus;
  /** `metadata.generation` of the object that was looked at. */
  readonly observedGeneration: number;
  /** RFC 3339, whole seconds: since when the status is what it is. */
  readonly lastTransitionTime: string;
  /** CamelCase, never empty. */
  readonly reason: string;
  /** One sentence for a person. */
  readonly message: string;
}

/** What a controller concluded; when the status flipped is found out by {@link setConditions}. */
export type ConditionUpdate = Omit<Condition, "lastTransitionTime">;

/** Longest message the CRDs allow, in characters. */
const messageLimit = 32_768;

/**
 * Sets conditions by type. A transition time moves only when the status flips; types that are not updated stay as they
 * are, and the order of the types stays too, so that equal conclusions give equal lists.
 * @param previous what the object says now; may be missing
 */
export function setConditions(
  previous: readonly Condition[] | undefined,
  updates: readonly ConditionUpdate[],
  now: Date,
): Condition[] {
  const byType = new Map((previous ?? []).map((condition) => [condition.type, condition]));
  for (const update of updates) {
    const before = byType.get(update.type);
    byType.set(update.type, {
      ...update,
      message: update.message.slice(0, messageLimit),
      lastTransitionTime: before?.status === update.status ? before.lastTransitionTime : secondTime(now),
    });
  }
  return [...byType.values()];
}

/**
 * The conditions of an object at its first visit: every known type is there, those that nobody has set are Unknown.
 * Types that are not known any more leave.
 */
export function withKnownTypes(
  previous: readonly Condition[] | undefined,
  types: readonly string[],
  generation: number,
  now: Date,
): Condition[] {
  const known = (previous ?? []).filter((condition) => types.includes(condition.type));
  const missing = types.filter((type) => !known.some((condition) => condition.type === type));
  const updates = missing.map((type): ConditionUpdate => ({
    type,
    status: "Unknown",
    observedGeneration: generation,
    reason: "Pending",
    message: "It has not been looked at yet.",
  }));
  return setConditions(known, updates, now);
}
