import type { PatchOperation, PodPart, Skipped, SkipReason } from "./types.ts";

/** What one part of a policy comes to for one pod. */
export interface PartOutcome {
  readonly part: PodPart;
  readonly patch: readonly PatchOperation[];
  /** Single values that the patch sets, by name: what SET_ANNOTATION is to say. */
  readonly set: readonly (readonly [name: string, value: string])[];
  /** Some of the part is set by the patch, or holds already. */
  readonly applied: boolean;
  /** What was left out; with `applied` it is what the pod's author set otherwise. */
  readonly skipped: Skipped | undefined;
}

/** Nothing is left to do. */
export function holds(part: PodPart): PartOutcome {
  return { part, patch: [], set: [], applied: true, skipped: undefined };
}

/** The part is left out whole. */
export function skip(part: PodPart, reason: SkipReason, message: string): PartOutcome {
  return { part, patch: [], set: [], applied: false, skipped: { part, reason, message } };
}

export function add(path: string, value: unknown): PatchOperation {
  return { op: "add", path, value };
}
