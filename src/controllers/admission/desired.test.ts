import { describe, expect, test } from "vitest";

import type { Facts } from "../../admission/cel/types.ts";
import { projectPolicy } from "../policy/compile.ts";
import { Policies } from "../policy/policy-set.ts";
import { desiredObjects, type DesiredSources } from "./desired.ts";

const FACTS: Facts = {
  serverMinor: 36,
  clusterNameservers: ["10.96.0.10"],
  sysctlObstacle: undefined,
  sysctlNamespaces: undefined,
  engineObjection: undefined,
};

interface Fields {
  readonly priority?: number;
  readonly mode?: string;
  readonly match?: object;
  readonly dns?: object;
  readonly keepalive?: object;
}

function policies(specs: Readonly<Record<string, Fields>>): Policies {
  const set = new Policies(() => ({ "kubernetes.io/metadata.name": "shop" }));
  const objects = Object.entries(specs).map(([name, spec]) =>
    projectPolicy({
      metadata: {
        name,
        uid: `uid-${name}`,
        resourceVersion: "1",
        generation: 2,
        creationTimestamp: "2026-01-01T00:00:00Z",
      },
      spec: { mode: "Enforce", registration: { registries: [{ name: "main" }] }, ...spec },
    }),
  );
  set.apply(objects.map((object) => ({ type: "Added", object, createdAfter: 0 })));
  return set;
}

function desired(specs: Readonly<Record<string, Fields>>, parts: Partial<DesiredSources> = {}) {
  return desiredObjects({
    policies: policies(specs).ordered(),
    factsFor: () => FACTS,
    excluded: new Set(["kube-system"]),
    way: "Policy",
    served: { mutating: "Usable", validating: "Usable" },
    ...parts,
  });
}

const NDOTS = { dns: { ndots: 2 } };

/** What keeps the policy from pods that others are in charge of. */
function conditions(one: ReturnType<typeof desired>[number] | undefined): string {
  const variables = one?.mutating?.[0].spec["variables"] as readonly { readonly name: string }[] | undefined;
  return JSON.stringify(variables?.filter(({ name }) => name.startsWith("in_charge")));
}

describe("what is written", () => {
  test("is owned by its RegistrationPolicy and found by a label", () => {
    const [one] = desired({ shop: NDOTS });
    expect(one?.mutating?.map(({ kind }) => kind)).toEqual([
      "MutatingAdmissionPolicy",
      "MutatingAdmissionPolicyBinding",
    ]);
    expect(one?.validating?.map(({ kind }) => kind)).toEqual([
      "ValidatingAdmissionPolicy",
      "ValidatingAdmissionPolicyBinding",
    ]);
    for (const { metadata } of [...(one?.mutating ?? []), ...(one?.validating ?? [])]) {
      expect(metadata).toMatchObject({
        name: "hygeia-shop",
        labels: { "hygeia.dev/compiled-from": "RegistrationPolicy" },
        annotations: { "hygeia.dev/compiled": "shop@2" },
        ownerReferences: [{ kind: "RegistrationPolicy", name: "shop", uid: "uid-shop" }],
      });
    }
  });

  test("never denies: it warns, and what fails is ignored", () => {
    const [one] = desired({ shop: NDOTS });
    expect(one?.validating?.[1].spec).toEqual({ policyName: "hygeia-shop", validationActions: ["Warn", "Audit"] });
    expect(one?.validating?.[0].spec).toMatchObject({ failurePolicy: "Ignore" });
    expect(one?.mutating?.[0].spec).toMatchObject({ failurePolicy: "Ignore", reinvocationPolicy: "IfNeeded" });
  });

  test("leaves out namespaces of the system and pods that are opted out, beside what the policy selects", () => {
    const namespaceSelector = { matchLabels: { team: "a" } };
    const podSelector = { matchExpressions: [{ key: "app", operator: "Exists" }] };
    const [one] = desired({ shop: { ...NDOTS, match: { namespaceSelector, podSelector } } });
    expect(one?.mutating?.[0].spec).toMatchObject({
      matchConstraints: {
        namespaceSelector: {
          matchLabels: { team: "a" },
          matchExpressions: [{ key: "kubernetes.io/metadata.name", operator: "NotIn", values: ["kube-system"] }],
        },
        objectSelector: {
          matchExpressions: [
            { key: "app", operator: "Exists" },
            { key: "hygeia.dev/admission", operator: "NotIn", values: ["Disabled"] },
          ],
        },
      },
    });
  });
});

describe("the policy that is first in charge", () => {
  const match = { podSelector: { matchLabels: { tier: "front" } } };

  test("keeps those behind it away from its pods", () => {
    const [first, second] = desired({ all: NDOTS, front: { ...NDOTS, priority: 9, match } });
    expect([first?.name, second?.name]).toEqual(["front", "all"]);
    expect(conditions(first)).not.toContain("tier");
    expect(conditions(second)).toContain("tier");
  });

  test.each(
    Object.entries<Fields>({
      "is not enforced": { mode: "Audit", dns: { ndots: 2 } },
      "wants nothing of pods": {},
    }),
  )("does so too where it %s", (_, fields) => {
    const written = desired({ all: NDOTS, front: { priority: 9, match, ...fields } });
    expect(written.map(({ name }) => name)).toEqual(["all"]);
    expect(conditions(written[0])).toContain("tier");
  });

  test("is told by its namespace only where the API server tells an expression the namespace", () => {
    const namespaceSelector = { matchLabels: { team: "a" } };
    const [, second] = desired({ all: NDOTS, front: { ...NDOTS, priority: 9, match: { namespaceSelector } } });
    expect(conditions(second)).toContain("namespaceObject");
    for (const [policy] of [second?.mutating ?? [], second?.validating ?? []]) {
      expect(JSON.stringify(policy?.spec["matchConditions"])).not.toContain("namespaceObject");
    }
  });

  test("that matches everything leaves nothing", () => {
    const [, second] = desired({ all: NDOTS, first: { ...NDOTS, priority: 9 } });
    expect(conditions(second)).toContain('"expression":"false"');
  });
});

test("with the webhook nothing changes pods twice, and the check is written all the same", () => {
  const [one] = desired({ shop: NDOTS }, { way: "Webhook" });
  expect(one).toMatchObject({ mutating: undefined, isTooDeep: false });
  expect(one?.validating).toBeDefined();
});

test.each(["None", "NotServed", "NotAllowed"] as const)("nothing is written where the way is %s", (way) => {
  expect(desired({ shop: NDOTS }, { way })).toEqual([]);
});

test("what can not be written is not compiled", () => {
  const [one] = desired({ shop: NDOTS }, { served: { mutating: "Usable", validating: "NotAllowed" } });
  expect(one?.validating).toBeUndefined();
});

test("more policies than the API server can be told of are told", () => {
  const values = Array.from({ length: 60 }, (_, i) => `value-${i}-${"x".repeat(50)}`);
  const key = "tier";
  const match = { podSelector: { matchExpressions: [{ key, operator: "In", values }] } };
  const many = Object.fromEntries(Array.from({ length: 900 }, (_, i) => [`p${i}`, { priority: 9, match }]));
  const written = desired({ ...many, last: NDOTS });
  expect(written).toMatchObject([{ name: "last", mutating: undefined, isTooDeep: true }]);
});

test("parts that no pod can get are named with their field", () => {
  const keepalive = { time: "300s", interval: "30s", probes: 3 };
  const dns = { searches: ["a.example"], searchMode: "Replace" };
  const sysctlObstacle = { reason: "NodeTooOld", message: "node n1 has kubelet v1.28.3" } as const;
  const factsFor = () => ({ ...FACTS, clusterNameservers: undefined, sysctlObstacle });
  expect(desired({ shop: { dns, keepalive } }, { factsFor })[0]?.leftOut).toEqual([
    expect.stringMatching(/^spec\.dns\.searchMode: ClusterDNSUnknown/),
    "spec.keepalive: NodeTooOld: node n1 has kubelet v1.28.3",
  ]);
});

test("who could refuse the sysctls is named where they are wanted, unless a node stands in the way anyhow", () => {
  const facts: Facts = { ...FACTS, sysctlNamespaces: [], engineObjection: "ValidatingWebhookConfiguration engine" };
  const keepalive = { time: "300s", interval: "30s", probes: 3 };
  const left = (fields: Fields, more: Partial<Facts> = {}) =>
    desired({ shop: fields }, { factsFor: () => ({ ...facts, ...more }) })[0]?.leftOut;
  expect(left({ keepalive })).toEqual([
    "spec.keepalive: PolicyEngine: pods with these sysctls may be refused: ValidatingWebhookConfiguration engine",
  ]);
  expect(left(NDOTS)).toEqual([]);
  const sysctlObstacle = { reason: "NodeTooOld", message: "n1" } as const;
  expect(left({ keepalive }, { sysctlObstacle })).toEqual(["spec.keepalive: NodeTooOld: n1"]);
});

test("where pods can be kept off the nodes that stand in the way, this is said", () => {
  const nodeLabels = new Map([["pool", { values: ["old"], onAll: true }]]);
  const sysctlObstacle = { reason: "NodeTooOld", message: "n1", nodeLabels } as const;
  const keepalive = { time: "300s", interval: "30s", probes: 3 };
  expect(desired({ shop: { keepalive } }, { factsFor: () => ({ ...FACTS, sysctlObstacle }) })[0]?.leftOut).toEqual([
    "spec.keepalive: NodeTooOld: n1; pods that their node selector or affinity keeps away have them",
  ]);
});
