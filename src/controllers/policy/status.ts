import { POLICY_CONDITIONS } from "../../api/v1alpha1/conditions.ts";
import type {
  PolicyConditionReason,
  RegistrationPolicyInstances,
  RegistrationPolicyStatus,
} from "../../api/v1alpha1/index.ts";
import { secondTime } from "../../clock/format.ts";
import type { ViewProblem } from "../../kube/types.ts";
import type { AdmissionStanding } from "../admission/standing.ts";
import type { InstanceCounts } from "../types.ts";
import { appliedToNewPods } from "./admission-condition.ts";
import type { PolicyPods } from "./census.ts";
import type { PolicyObject } from "./compile.ts";
import { complianceFigures, podsCompliant } from "./compliance-status.ts";
import { dnsSafe, keepaliveNested } from "./pod-conditions.ts";
import { rolledOut, rolloutFigures, type RolloutStanding } from "../rollout/standing.ts";
import type { RegistryStanding } from "./standing.ts";
import type { Tally } from "./tally.ts";

/** What is known of one policy; everything its status is computed from. */
export interface PolicyFacts {
  readonly object: PolicyObject;
  /** In the order of the spec; empty when the policy is not accepted. */
  readonly registries: readonly RegistryStanding[];
  /** Why the cluster view is not fresh; undefined when it is. */
  readonly clusterProblem: ViewProblem | undefined;
  /** Undefined until pods were counted for the first time. */
  readonly pods: PolicyPods | undefined;
  readonly instances: InstanceCounts;
  readonly blocked: ViewProblem | undefined;
  /** Entries in quarantine by this policy. */
  readonly quarantined: number;
  /** The shortest time after which a registry forgets one of its instances by itself; undefined where none is known. */
  readonly shortestTtlMs: number | undefined;
  /** Undefined until it is known what earlier leaders evicted. */
  readonly evicted: Tally | undefined;
  /** Names of the policies in force without spec.registration. */
  readonly podsOnly: ReadonlySet<string>;
  /** Undefined where the policy asks for no roll-outs, and until it is known how they stand. */
  readonly rollout: RolloutStanding | undefined;
  /** The operator treats every policy as one of mode Audit. */
  readonly dryRun: boolean;
  /** For example `cluster.local`. */
  readonly clusterDomain: string;
  /** Undefined while it is not known. */
  readonly admission: AdmissionStanding | undefined;
}

type ConditionType = keyof typeof POLICY_CONDITIONS;
type ReasonOf<T extends ConditionType> = Extract<PolicyConditionReason, { type: T }>["reason"];
/** One condition of the type, still without its status. */
export interface Says<T extends ConditionType> {
  readonly type: T;
  readonly reason: ReasonOf<T>;
  readonly message: string;
}

/** One condition, still without its status, which follows from the reason. */
export type PolicyCondition = { [T in ConditionType]: Says<T> }[ConditionType];

/** Longest text the schema takes (status.registries). */
const LONGEST_REGISTRIES = 2_500;
/** Names in a condition's message; further ones are counted. */
const NAMES_SHOWN = 5;

/** The figures of a policy's status: everything but the conditions and the generation. Unknown ones are left out. */
export function policyFigures(facts: PolicyFacts): RegistrationPolicyStatus {
  const { pods, instances, evicted, registries } = facts;
  const registered = !isAboutPodsOnly(facts);
  // One that had spec.registration before keeps its total: it must never go down.
  const isTold = evicted !== undefined && (registered || evicted.total > 0);
  return {
    ...(pods === undefined ? {} : { pods: { matched: pods.matched, ...complianceFigures(facts) } }),
    ...(registered ? { instances: countsOf(instances) } : {}),
    ...rolloutFigures(facts.rollout, facts.object.generation),
    ...(isTold ? { evicted: evicted.total } : {}),
    ...(evicted?.last === undefined ? {} : { lastEviction: secondTime(evicted.last) }),
    ...(registered ? { registries: describeRegistries(registries) } : {}),
  };
}

function isAboutPodsOnly({ object: { compilation } }: Pick<PolicyFacts, "object">): boolean {
  return compilation.accepted && compilation.policy.spec.registration === undefined;
}

/** The conditions of a policy, Ready first. */
export function policyConditions(facts: PolicyFacts): readonly PolicyCondition[] {
  const accepted = acceptedOf(facts);
  const superseded = supersededOf(facts);
  const { object, clusterDomain, shortestTtlMs } = facts;
  const pods = [
    podsCompliant(facts),
    appliedToNewPods(facts),
    keepaliveNested(object.compilation, shortestTtlMs),
    dnsSafe(object.compilation, clusterDomain),
    rolledOutOf(facts),
  ];
  return [readyOf(facts, accepted, superseded), accepted, blockedOf(facts), superseded, ...pods];
}

/** For the printer column: `main`, or `main, backup(Down)`. */
function describeRegistries(registries: readonly RegistryStanding[]): string {
  const text = registries.map(({ name, state }) => (state === "Ready" ? name : `${name}(${state})`)).join(", ");
  return text.length <= LONGEST_REGISTRIES ? text : `${text.slice(0, LONGEST_REGISTRIES - 3)}...`;
}

function acceptedOf({ object: { compilation } }: PolicyFacts): Says<"Accepted"> {
  if (compilation.accepted) return { type: "Accepted", reason: "Accepted", message: "the policy is in force" };
  return { type: "Accepted", reason: compilation.reason, message: compilation.message };
}

function readyOf(facts: PolicyFacts, accepted: Says<"Accepted">, superseded: Says<"Superseded">): Says<"Ready"> {
  const type = "Ready";
  const { compilation } = facts.object;
  if (!compilation.accepted) {
    return { type, reason: "NotAccepted", message: `${accepted.reason}: ${accepted.message}` };
  }
  const missing = facts.registries.findIndex(({ state }) => state === "NotFound");
  if (missing >= 0) {
    const { name = "" } = facts.registries[missing] ?? {};
    const message = `spec.registration.registries[${missing}].name: there is no Registry "${name}": create it, or correct the name`;
    return { type, reason: "RegistryNotFound", message };
  }
  if (compilation.policy.plan.mode === "Paused") {
    return { type, reason: "Paused", message: "spec.mode is Paused: nothing is judged and nothing is evicted" };
  }
  if (facts.clusterProblem !== undefined) {
    const { reason, message } = facts.clusterProblem;
    return { type, reason: "ClusterViewNotFresh", message: `${reason}: ${message}` };
  }
  const waiting = facts.registries.find(({ role, state }) => role === "Primary" && state !== "Ready");
  if (waiting !== undefined) {
    const reason = waiting.state === "Starting" ? "Starting" : "RegistryNotReady";
    return { type, reason, message: `registry "${waiting.name}": ${waiting.message}` };
  }
  if (facts.pods === undefined) return { type, reason: "Starting", message: "pods have not been counted yet" };
  if (superseded.reason === "WhollySuperseded") return { type, reason: "Superseded", message: superseded.message };
  const known = isAboutPodsOnly(facts) ? "the policy and the cluster" : "the policy, its registries and the cluster";
  return { type, reason: "Ready", message: `${known} are known completely` };
}

function blockedOf(facts: PolicyFacts): Says<"EvictionBlocked"> {
  const { clusterProblem, blocked, dryRun, object } = facts;
  const { compilation } = object;
  const type = "EvictionBlocked";
  if (!compilation.accepted) {
    return { type, reason: "NotAccepted", message: "the policy is not in force: see condition Accepted" };
  }
  const { mode, action } = compilation.policy.plan;
  if (isAboutPodsOnly(facts)) {
    const stay = mode === "Enforce" && !dryRun ? "" : remaining(facts);
    const message = `spec.registration is absent: what the pods of this policy register is judged by nobody${stay}`;
    return { type, reason: "NotConfigured", message };
  }
  if (mode === "Paused") return { type, reason: "Paused", message: `spec.mode is Paused${remaining(facts)}` };
  if (mode === "Audit") {
    const message = `spec.mode is Audit: zombies are reported, nothing is evicted${remaining(facts)}`;
    return { type, reason: "Audit", message };
  }
  if (dryRun) {
    const message = `the operator runs with --dry-run: zombies are reported only${remaining(facts)}`;
    return { type, reason: "Audit", message };
  }
  if (action === "Report") {
    return { type, reason: "ReportOnly", message: "spec.registration.zombies.action is Report" };
  }
  if (blocked !== undefined) {
    if (isBlockReason(blocked.reason)) return { type, reason: blocked.reason, message: blocked.message };
    return { type, reason: "ViewNotFresh", message: `${blocked.reason}: ${blocked.message}` };
  }
  if (clusterProblem !== undefined) {
    return { type, reason: "ViewNotFresh", message: `${clusterProblem.reason}: ${clusterProblem.message}` };
  }
  return { type, reason: "NotBlocked", message: "nothing holds evictions back" };
}

/** Where nothing is written, nothing is put back into rotation either; a person has to know. */
function remaining({ quarantined }: PolicyFacts): string {
  if (quarantined === 0) return "";
  const entries = quarantined === 1 ? "1 entry stays" : `${quarantined} entries stay`;
  return `; ${entries} in quarantine meanwhile: see the report`;
}

function supersededOf(facts: PolicyFacts): Says<"Superseded"> {
  const { pods, podsOnly } = facts;
  const { compilation } = facts.object;
  const type = "Superseded";
  const lost = [...(pods?.lost ?? [])].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  if (pods === undefined || lost.length === 0 || !compilation.accepted) {
    return { type, reason: "NotSuperseded", message: "no other policy is in charge of a pod that this one matches" };
  }
  const shown = lost
    .slice(0, NAMES_SHOWN)
    .map(([name, count]) => `"${name}" (${count} ${count === 1 ? "pod" : "pods"})`);
  const others = lost.length - shown.length;
  const names = others > 0 ? `${shown.join(", ")} and ${others} more` : shown.join(", ");
  const of = pods.matched === 0 ? "all" : "some";
  const silent = isAboutPodsOnly(facts) ? [] : lost.filter(([name]) => podsOnly.has(name));
  const message = `of ${of} pods that spec.match selects others are in charge, by a higher spec.priority or, where it is equal, by age: ${names}${unjudged(silent)}`;
  return { type, reason: pods.matched === 0 ? "WhollySuperseded" : "PartlySuperseded", message };
}

/** A policy that wins a pod wins it whole; that a registration is judged by nobody is easily overlooked. */
function unjudged(winners: readonly (readonly [string, number])[]): string {
  const count = winners.reduce((sum, [, pods]) => sum + pods, 0);
  if (count === 0) return "";
  const whose = winners.length === 1 ? `"${winners[0]?.[0]}" has` : `${winners.length} of them have`;
  return `; ${whose} no spec.registration, so what ${count === 1 ? "1 pod registers" : `${count} pods register`} is judged by nobody`;
}

function rolledOutOf({ object: { compilation, generation }, rollout }: PolicyFacts): Says<"RolledOut"> {
  const type = "RolledOut";
  if (!compilation.accepted) {
    return { type, reason: "NotAccepted", message: "the policy is not in force: see condition Accepted" };
  }
  const { rollout: rules, podPolicy } = compilation.policy;
  if (rules === undefined) {
    return { type, reason: "NotConfigured", message: "spec.rollout asks for nothing: pods that differ are reported" };
  }
  if (podPolicy === undefined) return { type, reason: "NotConfigured", message: "the policy wants nothing of pods" };
  return rolledOut(rollout, generation);
}

function countsOf(counts: InstanceCounts): RegistrationPolicyInstances {
  return {
    live: counts.Live,
    draining: counts.Draining,
    zombie: counts.Zombie,
    suspect: counts.Suspect,
    contested: counts.Contested,
    resurrected: counts.Resurrected,
    foreign: counts.Foreign,
    unknown: counts.Unknown,
  };
}

function isBlockReason(text: string): text is ReasonOf<"EvictionBlocked"> {
  return Object.hasOwn(POLICY_CONDITIONS.EvictionBlocked.reasons, text);
}
