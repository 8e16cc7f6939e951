import { describe, expect, it, test } from "vitest";
import fc from "fast-check";

import type { NodeRequirement } from "./pod-shape.ts";
import { labelsOfNodes, staysOff } from "./unsuitable-nodes.ts";

type Labels = Readonly<Record<string, string>>;

const nodesOf = (...labels: Labels[]) => labels.map((each) => ({ labels: each }));

const needs = (key: string, operator: string, ...values: string[]): NodeRequirement => ({ key, operator, values });

describe("a pod is kept off the old nodes", () => {
  const old = nodesOf({ pool: "old", zone: "a", arm: "" }, { pool: "older", zone: "b" });
  const table: Record<string, { selector?: Labels; terms?: NodeRequirement[][]; expected: boolean }> = {
    "not when it asks nothing of its node": { expected: false },
    "by a selector with another value": { selector: { pool: "new" }, expected: true },
    "not by a selector with the value of one of them": { selector: { pool: "older" }, expected: false },
    "by a selector with a label that none of them has": { selector: { gpu: "yes" }, expected: true },
    "by one entry of several": { selector: { zone: "a", pool: "new" }, expected: true },
    "not by what keeps it off one by this and off another by that": {
      selector: { zone: "b", arm: "" },
      expected: false,
    },
    "by an affinity to other values": { terms: [[needs("pool", "In", "new", "newest")]], expected: true },
    "not by an affinity to other values and one of theirs": {
      terms: [[needs("pool", "In", "new", "old")]],
      expected: false,
    },
    "by an affinity against all of their values": {
      terms: [[needs("pool", "NotIn", "old", "older", "oldest")]],
      expected: true,
    },
    "not by an affinity against one of their values": { terms: [[needs("pool", "NotIn", "old")]], expected: false },
    "not by an affinity against a value that one of them has no label for": {
      terms: [[needs("arm", "NotIn", "")]],
      expected: false,
    },
    "by a label that none of them has": { terms: [[needs("gpu", "Exists")]], expected: true },
    "not by a label that one of them has": { terms: [[needs("arm", "Exists")]], expected: false },
    "by the absence of a label that all have": { terms: [[needs("zone", "DoesNotExist")]], expected: true },
    "not by the absence of a label that one has": { terms: [[needs("arm", "DoesNotExist")]], expected: false },
    "not by the absence of a label that none has": { terms: [[needs("gpu", "DoesNotExist")]], expected: false },
    "not by a comparison of numbers, which is not looked at": { terms: [[needs("gpu", "Gt", "3")]], expected: false },
    "by one requirement of a term": { terms: [[needs("zone", "Exists"), needs("gpu", "Exists")]], expected: true },
    "not when only one of its terms does": {
      terms: [[needs("gpu", "Exists")], [needs("zone", "In", "a")]],
      expected: false,
    },
    "when each of its terms does": { terms: [[needs("gpu", "Exists")], [needs("zone", "In", "c")]], expected: true },
    "not by a term that asks nothing of labels": { terms: [[]], expected: false },
  };

  it.each(Object.entries(table))("%s", (_, { selector = {}, terms = [], expected }) => {
    expect(staysOff({ nodeSelector: selector, nodeTerms: terms }, labelsOfNodes(old))).toBe(expected);
  });

  it("not by a label with more values than are looked at, unless by its absence", () => {
    const names = labelsOfNodes(nodesOf(...Array.from({ length: 17 }, (__, i) => ({ host: `n${i}` }))));
    const by = (requirement: NodeRequirement) => staysOff({ nodeSelector: {}, nodeTerms: [[requirement]] }, names);
    expect(by(needs("host", "In", "new"))).toBe(false);
    expect(by(needs("host", "NotIn", ...Array.from({ length: 17 }, (__, i) => `n${i}`)))).toBe(false);
    expect(by(needs("host", "DoesNotExist"))).toBe(true);
    expect(labelsOfNodes(nodesOf({ host: "n1" }, { host: "n0" }))?.get("host")?.values).toEqual(["n0", "n1"]);
  });

  it("not where their labels are too much to look at, and not from none", () => {
    const many = Object.fromEntries(Array.from({ length: 400 }, (__, i) => [`label-${i}`, "x".repeat(60)]));
    const pod = { nodeSelector: { pool: "new" }, nodeTerms: [] };
    expect(staysOff(pod, labelsOfNodes(nodesOf(many)))).toBe(false);
    expect(staysOff(pod, labelsOfNodes([]))).toBe(false);
  });
});

/** As the scheduler has it (k8s.io/component-helpers, scheduling/corev1/nodeaffinity). */
function mayRun(labels: Labels, selector: Labels, terms: readonly (readonly NodeRequirement[])[]): boolean {
  const meets = ({ key, operator, values }: NodeRequirement): boolean => {
    const value = labels[key];
    switch (operator) {
      case "In":
        return value !== undefined && values.includes(value);
      case "NotIn":
        return value === undefined || !values.includes(value);
      case "Exists":
        return value !== undefined;
      default:
        return value === undefined;
    }
  };
  if (!Object.entries(selector).every(([key, value]) => labels[key] === value)) return false;
  return terms.length === 0 || terms.some((term) => term.length > 0 && term.every(meets));
}

test("no pod that may run on one of the nodes is said to be kept off them", () => {
  const key = fc.constantFrom("a", "b", "c");
  const value = fc.constantFrom("1", "2", "3");
  const labels = fc.dictionary(key, value, { noNullPrototype: true });
  const requirement = fc.record({
    key,
    operator: fc.constantFrom("In", "NotIn", "Exists", "DoesNotExist"),
    values: fc.array(value, { minLength: 1, maxLength: 3 }),
  });
  const terms = fc.array(fc.array(requirement, { maxLength: 2 }), { maxLength: 2 });
  let apart = 0;
  fc.assert(
    fc.property(fc.array(labels, { minLength: 1, maxLength: 3 }), labels, terms, (nodes, nodeSelector, nodeTerms) => {
      if (!staysOff({ nodeSelector, nodeTerms }, labelsOfNodes(nodesOf(...nodes)))) return;
      apart++;
      expect(nodes.filter((node) => mayRun(node, nodeSelector, nodeTerms))).toEqual([]);
    }),
    { numRuns: 5_000 },
  );
  expect(apart).toBeGreaterThan(500);
});
