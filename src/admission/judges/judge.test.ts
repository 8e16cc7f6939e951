import { beforeEach, describe, expect, test } from "vitest";

import type { Change } from "../../kube/types.ts";
import { type Judge, projectBinding, projectPolicy, projectWebhooks } from "./judge.ts";
import { JudgeIndex, type JudgeKind } from "./judge-index.ts";

const PODS = { operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"] };
const SHOP = { matchLabels: { team: "shop" } };
const shop = { "kubernetes.io/metadata.name": "shop", team: "shop" };
const other = { "kubernetes.io/metadata.name": "other" };

const project = {
  ValidatingWebhookConfiguration: projectWebhooks,
  ValidatingAdmissionPolicy: projectPolicy,
  ValidatingAdmissionPolicyBinding: projectBinding,
} as const satisfies Record<JudgeKind, unknown>;

function object(name: string, fields: object, metadata: object = {}, generation = 1): object {
  return {
    metadata: { uid: `uid-${name}`, name, resourceVersion: `${generation}`, generation, ...metadata },
    ...fields,
  };
}

const webhooks = (...rules: readonly object[]) => object("engine", { webhooks: [{ rules }] });
const policy = (matchConstraints: object, metadata: object = {}) =>
  object("rule", { spec: { matchConstraints } }, metadata);
const binding = (spec: object, metadata: object = {}) =>
  object("bound", { spec: { policyName: "rule", validationActions: ["Deny"], ...spec } }, metadata);

let told: number;
let index: JudgeIndex;

beforeEach(() => {
  told = 0;
  index = new JudgeIndex(() => told++);
});

/** What is of no interest does not reach the index. */
function add(kind: JudgeKind, raw: object): Judge | undefined {
  const judge = project[kind](raw);
  if (judge !== undefined) apply(kind, { type: "Added", object: judge, createdAfter: -Infinity });
  return judge;
}

function apply(kind: JudgeKind, change: Change<Judge>): void {
  index.sinkOf(kind).apply([change], "Watch");
}

describe("a webhook", () => {
  test.each(
    Object.entries({
      "new pods": PODS,
      "everything, as policy engines ask": {
        operations: ["*"],
        apiGroups: ["*"],
        apiVersions: ["*"],
        resources: ["*/*"],
        scope: "*",
      },
      "all resources of the group": { ...PODS, resources: ["*"] },
      "pods and their subresources": { ...PODS, resources: ["pods/*"], scope: "Namespaced" },
      "new pods among others": { ...PODS, operations: ["UPDATE", "CREATE"], resources: ["services", "pods"] },
    }),
  )("is a judge where it is asked about %s", (_, rule) => {
    add("ValidatingWebhookConfiguration", webhooks({ ...PODS, resources: ["nodes"] }, rule));
    expect(index.firstFor(other)).toBe("ValidatingWebhookConfiguration engine");
    expect(index.all()).toEqual(["ValidatingWebhookConfiguration engine"]);
  });

  test.each(
    Object.entries({
      "changes of pods": { ...PODS, operations: ["UPDATE", "DELETE", "CONNECT"] },
      "other groups": { ...PODS, apiGroups: ["apps"] },
      "other versions": { ...PODS, apiVersions: ["v1beta1"] },
      "other resources": { ...PODS, resources: ["services", "podtemplates"] },
      "what is done to pods": { ...PODS, resources: ["pods/exec", "*/status"] },
      "what is in no namespace": { ...PODS, resources: ["*"], scope: "Cluster" },
      nothing: {},
    }),
  )("is none where it is asked about %s", (_, rule) => {
    expect(add("ValidatingWebhookConfiguration", webhooks(rule))).toBeUndefined();
    expect(add("ValidatingWebhookConfiguration", object("empty", {}))).toBeUndefined();
  });

  test("looks at the namespaces that one of the webhooks selects", () => {
    const fields = {
      webhooks: [
        { rules: [{ ...PODS, resources: ["secrets"] }] },
        { rules: [PODS], namespaceSelector: SHOP },
        { rules: [PODS], namespaceSelector: { matchLabels: { team: "ops" } } },
      ],
    };
    add("ValidatingWebhookConfiguration", object("engine", fields));
    expect(index.firstFor(shop)).toBe("ValidatingWebhookConfiguration engine");
    expect(index.firstFor({ team: "ops" })).toBeDefined();
    expect(index.firstFor(other)).toBeUndefined();
  });

  test("whose selector can not be read looks at every namespace", () => {
    const namespaceSelector = { matchExpressions: [{ key: "team", operator: "Like", values: ["s*"] }] };
    add("ValidatingWebhookConfiguration", object("engine", { webhooks: [{ rules: [PODS], namespaceSelector }] }));
    expect(index.firstFor(other)).toBeDefined();
  });
});

describe("a policy of the API server", () => {
  const rules = { resourceRules: [PODS] };

  test("judges where it is bound to deny, and is named", () => {
    add("ValidatingAdmissionPolicy", policy(rules));
    expect(index.firstFor(shop)).toBeUndefined();
    add("ValidatingAdmissionPolicyBinding", binding({ validationActions: ["Warn", "Audit"] }));
    expect(index.firstFor(shop)).toBeUndefined();
    add("ValidatingAdmissionPolicyBinding", binding({ validationActions: ["Audit", "Deny"] }));
    expect(index.firstFor(shop)).toBe("ValidatingAdmissionPolicy rule");
  });

  test("that is not there yet judges once it comes", () => {
    add("ValidatingAdmissionPolicyBinding", binding({}));
    expect(index.all()).toEqual([]);
    add("ValidatingAdmissionPolicy", policy(rules));
    expect(index.all()).toEqual(["ValidatingAdmissionPolicy rule"]);
  });

  test("looks at the namespaces that it and its binding select", () => {
    add("ValidatingAdmissionPolicy", policy({ ...rules, namespaceSelector: SHOP }));
    const live = { matchLabels: { stage: "live" } };
    add("ValidatingAdmissionPolicyBinding", binding({ matchResources: { namespaceSelector: live } }));
    expect(index.firstFor(shop)).toBeUndefined();
    expect(index.firstFor({ stage: "live" })).toBeUndefined();
    expect(index.firstFor({ ...shop, stage: "live" })).toBeDefined();
  });

  test.each(
    Object.entries<readonly [object, object]>({
      "about other resources": [policy({ resourceRules: [{ ...PODS, resources: ["nodes"] }] }), binding({})],
      "about everything but pods": [
        policy({ resourceRules: [{ ...PODS, resources: ["*"] }], excludeResourceRules: [PODS] }),
        binding({}),
      ],
      "bound for other resources": [
        policy({ resourceRules: [{ ...PODS, resources: ["*"] }] }),
        binding({ matchResources: { resourceRules: [{ ...PODS, resources: ["nodes"] }] } }),
      ],
      "that config/dry-run brings": [
        policy(rules, { name: "hygeia-pods-as-dry-run-only" }),
        binding({ policyName: "hygeia-pods-as-dry-run-only" }),
      ],
      "that the operator compiled": [
        policy(rules, { labels: { "hygeia.dev/compiled-from": "RegistrationPolicy" } }),
        binding({}, { labels: { "hygeia.dev/compiled-from": "RegistrationPolicy" } }),
      ],
    }),
  )("%s judges no new pods", (_, [rule, bound]) => {
    add("ValidatingAdmissionPolicy", rule);
    add("ValidatingAdmissionPolicyBinding", bound);
    expect(index.all()).toEqual([]);
  });

  test("that spares single pods by name judges all others", () => {
    const excludeResourceRules = [{ ...PODS, resourceNames: ["web-0"] }];
    add("ValidatingAdmissionPolicy", policy({ ...rules, excludeResourceRules }));
    add("ValidatingAdmissionPolicyBinding", binding({}));
    expect(index.firstFor(shop)).toBeDefined();
  });
});

test("it is told when a judge comes, has other rules, or goes, and not when only its labels or its status changed", () => {
  const kind = "ValidatingWebhookConfiguration";
  const judge = add(kind, webhooks(PODS));
  if (judge === undefined) throw new Error("it is no judge");
  expect(told).toBe(1);
  apply(kind, { type: "Modified", object: { ...judge, resourceVersion: "5" }, previous: judge });
  expect(told).toBe(1);
  apply(kind, { type: "Modified", object: { ...judge, generation: 2 }, previous: judge });
  expect(told).toBe(2);
  apply(kind, { type: "Deleted", object: judge, final: true });
  expect(told).toBe(3);
  expect(index.all()).toEqual([]);
});
