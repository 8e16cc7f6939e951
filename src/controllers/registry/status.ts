import { REGISTRY_CONDITIONS } from "../../api/v1alpha1/conditions.ts";
import type { FieldProblem, RegistryConditionReason } from "../../api/v1alpha1/index.ts";
import type { ConditionStatus } from "../../kube/conditions.ts";
import type { RegistryFreshness } from "../../registry/port.ts";
import { conditionStatus } from "../status/conditions.ts";
import type { TlsFinding } from "./certificates.ts";
import type { RunnerProblem } from "./runner.ts";

/** What is known of one Registry; everything its conditions are computed from. Times are local monotonic milliseconds. */
export interface RegistryFacts {
  /** Undefined when the spec is understood. */
  readonly specProblems: readonly FieldProblem[] | undefined;
  readonly problem: RunnerProblem | undefined;
  /** An adapter runs. */
  readonly isRunning: boolean;
  readonly freshness: RegistryFreshness;
  /** A view whose age exceeds this is not acted on. */
  readonly freshForMs: number;
  readonly tls: {
    /** False for plain http. */
    readonly isUsed: boolean;
    readonly hasLooked: boolean;
    readonly finding: TlsFinding | undefined;
  };
  readonly now: number;
}

type ConditionType = keyof typeof REGISTRY_CONDITIONS;
type ReasonOf<T extends ConditionType> = Extract<RegistryConditionReason, { type: T }>["reason"];
interface Says<T extends ConditionType> {
  readonly type: T;
  readonly reason: ReasonOf<T>;
  readonly message: string;
}

/** One condition, still without its status, which follows from the reason. */
export type RegistryCondition = { [T in ConditionType]: Says<T> }[ConditionType];

/** The conditions of a Registry, Ready first. */
export function registryConditions(facts: RegistryFacts): readonly RegistryCondition[] {
  const reachable = reachableOf(facts);
  const synced = syncedOf(facts, reachable);
  return [readyOf(facts, reachable, synced), reachable, synced, tlsHealthyOf(facts)];
}

/** Whether verdicts can rest on the registry now, and why not. */
export function registryReadiness(facts: RegistryFacts): {
  readonly status: ConditionStatus;
  readonly message: string;
} {
  const reachable = reachableOf(facts);
  const ready = readyOf(facts, reachable, syncedOf(facts, reachable));
  return { status: statusOf(ready), message: ready.message };
}

/**
 * Why the registry can not be relied on: the reason of condition Reachable where that is False, else that of Synced.
 * Undefined when neither is.
 */
export function registryProblem(facts: RegistryFacts): string | undefined {
  const reachable = reachableOf(facts);
  return [reachable, syncedOf(facts, reachable)].find((condition) => statusOf(condition) === "False")?.reason;
}

/** Codes of RegistryError that say that the data is not a continuation, not all, or its reading was interrupted. */
const aboutContent: ReadonlySet<string> = new Set([
  "WentBack",
  "ClusterChanged",
  "Compacted",
  "LeaseNotFound",
  "FilteredByACLs",
  "SplitView",
]);

function reachableOf({ specProblems, problem, isRunning, freshness }: RegistryFacts): Says<"Reachable"> {
  const type = "Reachable";
  if (specProblems !== undefined) return { type, reason: "InvalidSpec", message: describeProblems(specProblems) };
  if (problem !== undefined && !isRunning) return { type, ...problem };
  const trouble = freshness.problem;
  if (trouble !== undefined && !aboutContent.has(trouble.reason)) {
    const reason = isReason(type, trouble.reason) ? trouble.reason : "NotUnderstood";
    return { type, reason, message: trouble.message };
  }
  if (freshness.absence !== undefined) return { type, reason: "PartlyAnswering", message: freshness.absence };
  if (freshness.defect !== undefined) return { type, reason: "KnownDefect", message: freshness.defect };
  if (freshness.synced || trouble !== undefined) {
    return { type, reason: "Answering", message: "the registry answers and lets the operator in" };
  }
  return { type, reason: "Connecting", message: "no request has ended yet" };
}

function syncedOf({ freshness, freshForMs, now }: RegistryFacts, reachable: Says<"Reachable">): Says<"Synced"> {
  const type = "Synced";
  const trouble = freshness.problem;
  if (trouble !== undefined && aboutContent.has(trouble.reason) && isReason(type, trouble.reason)) {
    return { type, reason: trouble.reason, message: trouble.message };
  }
  if (!freshness.synced) {
    return { type, reason: "NotSynced", message: "the first complete read of the registry has not arrived yet" };
  }
  if (statusOf(reachable) === "False") {
    const message = `the last view is kept; nothing is evicted until the registry answers again (${reachable.reason})`;
    return { type, reason: "Disconnected", message };
  }
  if (freshness.caughtUpTo === Number.NEGATIVE_INFINITY) {
    return { type, reason: "NotSynced", message: "nothing has proven yet that the view is current" };
  }
  if (now - freshness.caughtUpTo > freshForMs) {
    const message = `nothing has proven for more than ${freshForMs / 1000} s that the view is current: it may be old`;
    return { type, reason: "Stale", message };
  }
  return { type, reason: "Current", message: "the content is known completely and is current" };
}

function tlsHealthyOf({ tls, freshness }: RegistryFacts): Says<"TLSHealthy"> {
  const type = "TLSHealthy";
  if (!tls.isUsed) return { type, reason: "NotUsed", message: "the endpoints are plain http" };
  if (tls.finding !== undefined) return { type, ...tls.finding };
  if (freshness.problem?.reason === "TLSFailed") {
    return { type, reason: "HandshakeFailed", message: freshness.problem.message };
  }
  if (!tls.hasLooked) return { type, reason: "NotChecked", message: "no endpoint has shown its certificate yet" };
  return { type, reason: "Valid", message: "all certificates in use are valid for longer than the warning time" };
}

function readyOf(facts: RegistryFacts, reachable: Says<"Reachable">, synced: Says<"Synced">): Says<"Ready"> {
  const type = "Ready";
  if (reachable.reason === "InvalidSpec") return { type, reason: "InvalidSpec", message: reachable.message };
  if (statusOf(reachable) === "False")
    return { type, reason: "NotReachable", message: `${reachable.reason}: ${reachable.message}` };
  if (facts.freshness.mode === "Fallback") {
    const message = "the registry is too slow or does not answer: the last good view is kept and nothing is evicted";
    return { type, reason: "Fallback", message };
  }
  if (statusOf(synced) === "False")
    return { type, reason: "NotSynced", message: `${synced.reason}: ${synced.message}` };
  if (statusOf(synced) === "Unknown") return { type, reason: "Starting", message: synced.message };
  if (facts.problem !== undefined) {
    const message = `${facts.problem.reason}: ${facts.problem.message}; the credentials read before stay in use`;
    return { type, reason: "CredentialsOutdated", message };
  }
  return { type, reason: "Ready", message: "the registry is reachable and its content is known completely" };
}

function statusOf({ type, reason }: RegistryCondition): ConditionStatus {
  return conditionStatus(REGISTRY_CONDITIONS, type, reason);
}

function isReason<T extends ConditionType>(type: T, text: string): text is ReasonOf<T> & string {
  return Object.hasOwn(REGISTRY_CONDITIONS[type].reasons, text);
}

function describeProblems(problems: readonly FieldProblem[]): string {
  return problems.map(({ field, message }) => `${field}: ${message}`).join("; ");
}
