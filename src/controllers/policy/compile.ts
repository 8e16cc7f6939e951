import {
  API_VERSION,
  parseDuration,
  parseRegistrationPolicy,
  type LabelSelector,
  type RegistrationPolicy,
  type RegistrationPolicyService,
  type RegistrationPolicySpec,
  type RegistrationPolicyStatus,
} from "../../api/v1alpha1/index.ts";
import { compilePodPolicy } from "../../admission/compile.ts";
import type { PodPolicy } from "../../admission/types.ts";
import { compileSelector, SelectorError, type LabelPredicate } from "../../cluster/selector.ts";
import type { NamingRule } from "../../cluster/service-index.ts";
import type { PodRecord } from "../../cluster/types.ts";
import { HygeiaError } from "../../errors.ts";
import type { ObjectIdentity } from "../../kube/types.ts";
import { keepaliveNests } from "../../lint/keepalive.ts";
import { emptySpecProblems } from "../../lint/pod-rules.ts";
import { compileRollout } from "../../rollout/compile.ts";
import type { RolloutRules } from "../../rollout/types.ts";
import type { CompiledPolicy } from "../types.ts";

/** A policy whose two selectors can be asked one at a time, so that the namespace's answer can be kept. */
export interface MatchingPolicy extends CompiledPolicy {
  /** RFC 3339 in UTC, whole seconds, as the API server writes it: text order is time order. */
  readonly createdAt: string;
  /** False when every namespace is selected, whatever its labels. */
  readonly needsNamespaceLabels: boolean;
  /** As it was written, with every default filled in. */
  readonly spec: RegistrationPolicySpec;
  selectsNamespace(labels: Readonly<Record<string, string>>): boolean;
  selectsPod(pod: Pick<PodRecord, "labels">): boolean;
}

/** What became of reading a policy. `message` names the field and what to do. */
export type Compilation =
  | { readonly accepted: true; readonly policy: MatchingPolicy }
  | { readonly accepted: false; readonly reason: "InvalidSpec" | "InvalidSelector"; readonly message: string };

/** What is kept of a RegistrationPolicy object. */
export interface PolicyObject extends ObjectIdentity {
  readonly generation: number;
  /** It has a deletionTimestamp. */
  readonly deleting: boolean;
  readonly compilation: Compilation;
  readonly status: RegistrationPolicyStatus | undefined;
}

/** @param raw a RegistrationPolicy, parsed from JSON, of a list or a watch */
export function projectPolicy(raw: unknown): PolicyObject {
  const { metadata, status } = raw as Partial<RegistrationPolicy>;
  return {
    uid: metadata?.uid ?? "",
    namespace: "",
    name: metadata?.name ?? "",
    resourceVersion: metadata?.resourceVersion ?? "",
    generation: metadata?.generation ?? 0,
    deleting: metadata?.deletionTimestamp !== undefined,
    compilation: compile(raw),
    status,
  };
}

function compile(raw: unknown): Compilation {
  // Items of a list carry neither.
  const parsed = parseRegistrationPolicy({ apiVersion: API_VERSION, kind: "RegistrationPolicy", ...(raw as object) });
  if (!parsed.ok) {
    const isSelector = parsed.problems.some(({ field }) => field.startsWith("spec.match"));
    const message = parsed.problems.map((problem) => `${problem.field}: ${problem.message}`).join("; ");
    return { accepted: false, reason: isSelector ? "InvalidSelector" : "InvalidSpec", message };
  }
  try {
    return { accepted: true, policy: compileParsed(parsed.object) };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { accepted: false, reason: error.reason, message: error.message };
  }
}

/** A value that the schema lets through and that can not be meant all the same. */
class Refusal extends HygeiaError {
  readonly reason: "InvalidSpec" | "InvalidSelector";

  constructor(reason: "InvalidSpec" | "InvalidSelector", message: string, options?: ErrorOptions) {
    super(reason, message, options);
    this.reason = reason;
  }
}

function compileParsed(policy: RegistrationPolicy): MatchingPolicy {
  const { metadata, spec } = policy;
  const { namespaceSelector, podSelector } = spec.match;
  const [nothing] = emptySpecProblems(spec);
  if (nothing !== undefined) throw new Refusal("InvalidSpec", `${nothing.field}: ${nothing.message}`);
  const namespaces = readSelector("spec.match.namespaceSelector", namespaceSelector);
  const pods = readSelector("spec.match.podSelector", podSelector);
  const everyNamespace = isEmpty(namespaceSelector);
  return {
    name: metadata.name,
    uid: metadata.uid,
    generation: metadata.generation,
    priority: spec.priority,
    createdAt: metadata.creationTimestamp,
    matchesEverything: everyNamespace && isEmpty(podSelector),
    needsNamespaceLabels: !everyNamespace,
    spec,
    selectsNamespace: (labels) => namespaces(labels),
    selectsPod: (pod) => pods(pod.labels),
    matches: (pod, namespaceLabels) => pods(pod.labels) && namespaces(namespaceLabels),
    podPolicy: readPodPolicy(policy),
    rollout: readRollout(spec),
    ...registrationRules(spec),
  };
}

type RegistrationRules = Pick<MatchingPolicy, "registries" | "absentForMs" | "silentForMs" | "plan" | "naming">;

function registrationRules({ mode, registration }: RegistrationPolicySpec): RegistrationRules {
  if (registration === undefined) return { ...noRegistration, plan: { ...noRegistration.plan, mode } };
  const { zombies, service, registries } = registration;
  const { action, terminating, minInstances, budget, absentFor, silentFor } = zombies;
  return {
    registries: new Map(registries.map(({ name, role }) => [name, role])),
    absentForMs: readDuration("spec.registration.zombies.absentFor", absentFor),
    silentForMs: silentFor === undefined ? 0 : readDuration("spec.registration.zombies.silentFor", silentFor),
    plan: { mode, action, terminating, minInstances, budget },
    naming: service === undefined ? undefined : namingRule(service),
  };
}

/**
 * Without registries no record is the policy's. The rest matters only for what it took out of rotation while it still
 * had some, which may be put back: such a record is never found dead, nor anything done about one that is.
 */
const noRegistration: RegistrationRules = {
  registries: new Map(),
  absentForMs: Number.POSITIVE_INFINITY,
  silentForMs: Number.POSITIVE_INFINITY,
  plan: {
    mode: "Audit",
    action: "Report",
    terminating: "Wait",
    minInstances: 0,
    budget: { evictionsPerSecond: 1, burst: 1, unexplainedPercentPerMinute: 1 },
  },
  naming: undefined,
};

function readSelector(field: string, selector: LabelSelector | undefined): LabelPredicate {
  try {
    return compileSelector(selector);
  } catch (error) {
    if (!(error instanceof SelectorError)) throw error;
    throw new Refusal("InvalidSelector", `${field}.${error.message}`, { cause: error });
  }
}

function readDuration(field: string, text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    if (!(error instanceof HygeiaError)) throw error;
    throw new Refusal("InvalidSpec", `${field}: ${error.message}`, { cause: error });
  }
}

function readPodPolicy(policy: RegistrationPolicy): PodPolicy | undefined {
  try {
    return compilePodPolicy(policy, keepaliveNests(policy.spec));
  } catch (error) {
    if (!(error instanceof HygeiaError)) throw error;
    throw new Refusal("InvalidSpec", error.message, { cause: error });
  }
}

function readRollout({ rollout }: RegistrationPolicySpec): RolloutRules | undefined {
  try {
    return compileRollout(rollout);
  } catch (error) {
    if (!(error instanceof HygeiaError)) throw error;
    throw new Refusal("InvalidSpec", `spec.rollout: ${error.message}`, { cause: error });
  }
}

function isEmpty(selector: LabelSelector | undefined): boolean {
  return Object.keys(selector?.matchLabels ?? {}).length === 0 && (selector?.matchExpressions ?? []).length === 0;
}

function namingRule({ from, key, value, port }: RegistrationPolicyService): NamingRule {
  if (from === "Fixed") {
    if (value === undefined) throw new Refusal("InvalidSpec", "spec.registration.service.value: must be set");
    return { from, value, port };
  }
  if (key === undefined) throw new Refusal("InvalidSpec", "spec.registration.service.key: must be set");
  return { from, key, port };
}
