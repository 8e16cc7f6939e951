/** What is kept of the objects by which others are asked about pods that are being created, and may refuse them. */
import { compileSelector, type LabelPredicate, type Selector, SelectorError } from "../../cluster/selector.ts";
import type { ObjectIdentity } from "../../kube/types.ts";
import { readObject } from "../../kube/watch.ts";
import { OWNED_LABEL } from "../cel/objects.ts";

/** One object that takes part in a judgement of pods, as far as its own rules say. */
export interface Judge extends ObjectIdentity {
  /** Grows with every change of its spec; objects of some kinds have none. */
  readonly generation: number | undefined;
  /** Of a binding: the policy that it puts in force. */
  readonly policyName: string | undefined;
  /** Whether it looks at pods of a namespace with these labels. What else it asks of a pod is not considered. */
  readonly looksAt: LabelPredicate;
}

/** `rules` of a webhook, or `resourceRules` of a policy; a list that is absent matches nothing. */
interface Rule {
  readonly operations?: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly apiVersions?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly scope?: string;
}

interface MatchResources {
  readonly namespaceSelector?: Selector;
  readonly resourceRules?: readonly Rule[];
  readonly excludeResourceRules?: readonly Rule[];
}

interface Raw {
  readonly metadata?: { readonly generation?: number; readonly labels?: Readonly<Record<string, string>> };
  readonly webhooks?: readonly { readonly rules?: readonly Rule[]; readonly namespaceSelector?: Selector }[];
  readonly spec?: {
    readonly matchConstraints?: MatchResources;
    readonly matchResources?: MatchResources;
    readonly policyName?: string;
    readonly validationActions?: readonly string[];
  };
}

/** config/dry-run's, which is about the operator's own pods and nobody else's. */
const DRY_RUN_ONLY = "hygeia-pods-as-dry-run-only";

/** @returns undefined for one that is not asked about new pods. @param raw a ValidatingWebhookConfiguration */
export function projectWebhooks(raw: unknown): Judge | undefined {
  const selectors = ((raw as Raw).webhooks ?? [])
    .filter(({ rules = [] }) => rules.some(isAboutNewPods))
    .map(({ namespaceSelector }) => predicateOf(namespaceSelector));
  if (selectors.length === 0) return undefined;
  return judge(raw, (labels) => selectors.some((selects) => selects(labels)));
}

/** @returns undefined for one that is not about new pods, or is ours. @param raw a ValidatingAdmissionPolicy */
export function projectPolicy(raw: unknown): Judge | undefined {
  if (isOurs(raw)) return undefined;
  const { matchConstraints = {} } = (raw as Raw).spec ?? {};
  const { resourceRules = [] } = matchConstraints;
  return resourceRules.some(isAboutNewPods) ? judgeBy(raw, matchConstraints) : undefined;
}

/** @returns undefined for one that refuses nothing, or is ours. @param raw a ValidatingAdmissionPolicyBinding */
export function projectBinding(raw: unknown): Judge | undefined {
  const { matchResources = {}, policyName, validationActions = [] } = (raw as Raw).spec ?? {};
  if (isOurs(raw) || !validationActions.includes("Deny")) return undefined;
  // Without rules of its own it is about whatever its policy is about.
  const { resourceRules = [] } = matchResources;
  if (resourceRules.length > 0 && !resourceRules.some(isAboutNewPods)) return undefined;
  return judgeBy(raw, matchResources, policyName);
}

function judgeBy(
  raw: unknown,
  { namespaceSelector, excludeResourceRules = [] }: MatchResources,
  policyName?: string,
): Judge | undefined {
  const isExcluded = excludeResourceRules.some(
    (rule) => isAboutNewPods(rule) && (rule.resourceNames ?? []).length === 0,
  );
  return isExcluded ? undefined : judge(raw, predicateOf(namespaceSelector), policyName);
}

function judge(raw: unknown, looksAt: LabelPredicate, policyName?: string): Judge {
  const { uid, namespace, name, resourceVersion } = readObject(raw, "what judges pods");
  return { uid, namespace, name, resourceVersion, generation: (raw as Raw).metadata?.generation, policyName, looksAt };
}

/** As the API server reads a rule: `*` stands for any, `pods/*` for pods too. */
function isAboutNewPods(rule: Rule): boolean {
  const { operations = [], apiGroups = [], apiVersions = [], resources = [], scope = "*" } = rule;
  const has = (list: readonly string[], value: string): boolean => list.includes("*") || list.includes(value);
  return (
    has(operations, "CREATE") &&
    has(apiGroups, "") &&
    has(apiVersions, "v1") &&
    resources.some((resource) => ["*", "pods", "*/*", "pods/*"].includes(resource)) &&
    scope !== "Cluster"
  );
}

/** One that can not be read is taken to select every namespace. */
function predicateOf(selector: Selector | undefined): LabelPredicate {
  try {
    return compileSelector(selector);
  } catch (error) {
    if (!(error instanceof SelectorError)) throw error;
    return () => true;
  }
}

function isOurs(raw: unknown): boolean {
  const { name } = readObject(raw, "what judges pods");
  const labels = (raw as Raw).metadata?.labels ?? {};
  return name === DRY_RUN_ONLY || Object.entries(OWNED_LABEL).every(([key, value]) => labels[key] === value);
}
