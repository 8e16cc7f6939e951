import fc from "fast-check";
import { describe, expect, test } from "vitest";

import type { PodRecord } from "../../cluster/types.ts";
import type { Change } from "../../kube/types.ts";
import { projectPolicy, type PolicyObject } from "./compile.ts";
import { Policies } from "./policy-set.ts";

type Labels = Record<string, string>;

interface PolicyShape {
  readonly name: string;
  readonly uid?: string;
  readonly generation?: number;
  readonly priority?: number;
  readonly createdAt?: string;
  readonly deleting?: boolean;
  readonly match?: Record<string, unknown>;
  readonly registration?: Record<string, unknown>;
}

function policy(shape: PolicyShape): PolicyObject {
  return projectPolicy({
    metadata: {
      name: shape.name,
      uid: shape.uid ?? `uid-${shape.name}`,
      resourceVersion: "1",
      generation: shape.generation ?? 1,
      creationTimestamp: shape.createdAt ?? "2026-01-01T00:00:00Z",
      ...(shape.deleting === true ? { deletionTimestamp: "2026-01-02T00:00:00Z" } : {}),
    },
    spec: {
      priority: shape.priority ?? 0,
      ...(shape.match === undefined ? {} : { match: shape.match }),
      registration: shape.registration ?? { registries: [{ name: "main" }] },
    },
  });
}

function pod(labels: Labels = {}, namespace = "shop", annotations: Labels = {}): PodRecord {
  return {
    uid: "pod-uid",
    namespace,
    name: "pod",
    resourceVersion: "1",
    phase: "Running",
    deleting: false,
    terminated: false,
    ready: true,
    node: "n1",
    hostNetwork: false,
    addresses: ["10.0.0.1"],
    hostAddresses: [],
    ports: [],
    labels,
    annotations,
    workload: "w",
    dnsNames: [],
    nameOverride: undefined,
    template: "{}",
    graceMs: 30_000,
  };
}

/** Policies over a set of namespaces, and a count of what subscribers were told. */
function setUp(objects: readonly PolicyObject[], namespaces: Record<string, Labels> = { shop: {} }) {
  const labels = new Map(Object.entries(namespaces).map(([name, own]) => [name, withName(name, own)]));
  const policies = new Policies((name) => labels.get(name) ?? {});
  let told = 0;
  policies.subscribe(() => told++);
  policies.apply(objects.map(added));
  return {
    policies,
    told: () => told,
    setLabels: (name: string, own: Labels | undefined) => {
      if (own === undefined) labels.delete(name);
      else labels.set(name, withName(name, own));
      policies.namespaceChanged(name);
    },
  };
}

const withName = (name: string, labels: Labels): Labels => ({ "kubernetes.io/metadata.name": name, ...labels });
const added = (object: PolicyObject): Change<PolicyObject> => ({ type: "Added", object, createdAfter: -Infinity });
const modified = (object: PolicyObject): Change<PolicyObject> => ({ type: "Modified", object, previous: object });
const deleted = (object: PolicyObject): Change<PolicyObject> => ({ type: "Deleted", object, final: true });
const byNamespace = (labels: Labels): Record<string, unknown> => ({ namespaceSelector: { matchLabels: labels } });
const byPod = (labels: Labels): Record<string, unknown> => ({ podSelector: { matchLabels: labels } });

describe("the policy in charge of a pod", () => {
  const table: Record<
    string,
    { policies: PolicyShape[]; namespaces?: Record<string, Labels>; pod: PodRecord; winner: string | undefined }
  > = {
    "is the only one that matches": { policies: [{ name: "a" }], pod: pod(), winner: "a" },
    "is none where no selector matches": {
      policies: [{ name: "a", match: byPod({ app: "x" }) }],
      pod: pod({ app: "y" }),
      winner: undefined,
    },
    "is the one with the highest priority": {
      policies: [
        { name: "a", priority: 1 },
        { name: "b", priority: 7 },
        { name: "c", priority: -3 },
      ],
      pod: pod(),
      winner: "b",
    },
    "is the older one at equal priority": {
      policies: [
        { name: "a", createdAt: "2026-01-02T00:00:00Z" },
        { name: "b", createdAt: "2026-01-01T23:59:59Z" },
      ],
      pod: pod(),
      winner: "b",
    },
    "is the first by name at equal priority and age": {
      policies: [{ name: "b" }, { name: "a" }],
      pod: pod(),
      winner: "a",
    },
    "is one of lower priority where the higher does not match": {
      policies: [{ name: "a", priority: 9, match: byPod({ app: "x" }) }, { name: "b" }],
      pod: pod({ app: "y" }),
      winner: "b",
    },
    "has both selectors matching": {
      policies: [{ name: "a", match: { ...byNamespace({ team: "blue" }), ...byPod({ app: "x" }) } }],
      namespaces: { shop: { team: "blue" } },
      pod: pod({ app: "x" }),
      winner: "a",
    },
    "is none where only the pod selector matches": {
      policies: [{ name: "a", match: { ...byNamespace({ team: "blue" }), ...byPod({ app: "x" }) } }],
      namespaces: { shop: { team: "red" } },
      pod: pod({ app: "x" }),
      winner: undefined,
    },
    "is none for a pod that opted out": {
      policies: [{ name: "a" }],
      pod: pod({}, "shop", { "hygeia.dev/ignore": "true" }),
      winner: undefined,
    },
    "stays for a pod whose opt-out is not true": {
      policies: [{ name: "a" }],
      pod: pod({}, "shop", { "hygeia.dev/ignore": "false" }),
      winner: "a",
    },
    "needs no labels where every namespace is selected": {
      policies: [{ name: "a" }],
      pod: pod({}, "unheard-of"),
      winner: "a",
    },
    "is none while the labels of its namespace are not known and would decide": {
      policies: [{ name: "a", priority: 1, match: byNamespace({ team: "blue" }) }, { name: "b" }],
      pod: pod({}, "unheard-of"),
      winner: undefined,
    },
    "is none while an exclusion by labels that are not known would decide": {
      policies: [
        {
          name: "a",
          match: { namespaceSelector: { matchExpressions: [{ key: "team", operator: "DoesNotExist" }] } },
        },
      ],
      pod: pod({}, "unheard-of"),
      winner: undefined,
    },
    "is known in an unknown namespace where what is not known could only come second": {
      policies: [
        { name: "a", priority: 1 },
        { name: "b", match: byNamespace({ team: "blue" }) },
      ],
      pod: pod({}, "unheard-of"),
      winner: "a",
    },
    "is none of those being deleted": {
      policies: [{ name: "a", priority: 1, deleting: true }, { name: "b" }],
      pod: pod(),
      winner: "b",
    },
    "is none of those that are not accepted": {
      policies: [{ name: "a", priority: 1, match: byPod({ "-bad-": "x" }) }, { name: "b" }],
      pod: pod(),
      winner: "b",
    },
  };
  for (const [sentence, { policies, namespaces, pod: candidate, winner }] of Object.entries(table)) {
    test(sentence, () => {
      const set = setUp(policies.map(policy), namespaces);
      expect(set.policies.forPod(candidate)?.name).toBe(winner);
    });
  }

  test("follows the labels of its namespace, and subscribers are told", () => {
    const set = setUp([policy({ name: "a", match: byNamespace({ team: "blue" }) })]);
    expect(set.policies.forPod(pod())).toBeUndefined();
    const told = set.told();
    set.setLabels("shop", { team: "blue" });
    expect(set.policies.forPod(pod())?.name).toBe("a");
    expect(set.told()).toBe(told + 1);
    set.setLabels("shop", { team: "red" });
    expect(set.policies.forPod(pod())).toBeUndefined();
  });

  test("does not change, and nobody is told, by a label that no policy asks for", () => {
    const set = setUp([policy({ name: "a", match: byNamespace({ team: "blue" }) })], { shop: { team: "blue" } });
    expect(set.policies.forPod(pod())?.name).toBe("a");
    const told = set.told();
    set.setLabels("shop", { team: "blue", owner: "me" });
    expect(set.policies.forPod(pod())?.name).toBe("a");
    expect(set.told()).toBe(told);
  });

  test("is still known by the last labels once the namespace is gone", () => {
    const set = setUp([policy({ name: "a", match: byNamespace({ team: "blue" }) })], { shop: { team: "blue" } });
    expect(set.policies.forPod(pod())?.name).toBe("a");
    set.setLabels("shop", undefined);
    expect(set.policies.forPod(pod())?.name).toBe("a");
  });

  test("is first among all that match, in the same order for every order of arrival", () => {
    const shapes: PolicyShape[] = ["a", "b", "c", "d", "e"].map((name, i) => ({
      name,
      priority: i % 2,
      createdAt: `2026-01-0${1 + (i % 3)}T00:00:00Z`,
    }));
    fc.assert(
      fc.property(fc.shuffledSubarray(shapes, { minLength: shapes.length }), (order) => {
        const { policies } = setUp(order.map(policy));
        expect([...policies.matching(pod())].map(({ name }) => name)).toEqual(["d", "b", "a", "e", "c"]);
        expect([...policies.values()].map(({ name }) => name)).toEqual(["d", "b", "a", "e", "c"]);
      }),
    );
  });
});

describe("a policy", () => {
  test("is out of force at once when it is deleted", () => {
    const object = policy({ name: "a" });
    const { policies } = setUp([object]);
    expect(policies.isInForce("a", "uid-a")).toBe(true);
    policies.apply([deleted(object)]);
    expect(policies.isInForce("a", "uid-a")).toBe(false);
    expect(policies.forPod(pod())).toBeUndefined();
    expect(policies.get("a")).toBeUndefined();
  });

  test("is out of force at once when it is being deleted", () => {
    const { policies } = setUp([policy({ name: "a" })]);
    policies.apply([modified(policy({ name: "a", deleting: true, generation: 2 }))]);
    expect(policies.isInForce("a", "uid-a")).toBe(false);
  });

  test("is out of force when a change made it unacceptable, and in force again when it is corrected", () => {
    const { policies } = setUp([policy({ name: "a" })]);
    policies.apply([modified(policy({ name: "a", generation: 2, match: byPod({ "-bad-": "x" }) }))]);
    expect(policies.isInForce("a", "uid-a")).toBe(false);
    policies.apply([modified(policy({ name: "a", generation: 3 }))]);
    expect(policies.isInForce("a", "uid-a")).toBe(true);
  });

  test("is another one when it was created again under the same name", () => {
    const old = policy({ name: "a", uid: "one" });
    const { policies } = setUp([old]);
    policies.apply([deleted(old), added(policy({ name: "a", uid: "two" }))]);
    expect(policies.isInForce("a", "one")).toBe(false);
    expect(policies.isInForce("a", "two")).toBe(true);
  });

  test("survives a late word of the deletion of the one that had its name before", () => {
    const { policies } = setUp([policy({ name: "a", uid: "two" })]);
    policies.apply([deleted(policy({ name: "a", uid: "one" }))]);
    expect(policies.isInForce("a", "two")).toBe(true);
  });

  test("is the same compiled one after a change of its status, and nobody is told", () => {
    const { policies, told } = setUp([policy({ name: "a" })]);
    const before = policies.get("a");
    const count = told();
    policies.apply([modified(policy({ name: "a" }))]);
    expect(policies.get("a")).toBe(before);
    expect(told()).toBe(count);
    policies.apply([modified(policy({ name: "a", generation: 2 }))]);
    expect(policies.get("a")).not.toBe(before);
    expect(told()).toBe(count + 1);
  });
});
