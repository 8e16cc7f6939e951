import { describe, expect, it } from "vitest";

import { compileSelector, SelectorError, type Selector } from "./selector.ts";

const labels = { app: "web", tier: "front", empty: "" };

describe("a selector", () => {
  const cases: Record<string, [Selector | undefined, boolean]> = {
    "that is missing selects everything": [undefined, true],
    "without requirements selects everything": [{ matchLabels: {}, matchExpressions: [] }, true],
    "selects by an equal label": [{ matchLabels: { app: "web" } }, true],
    "refuses another value": [{ matchLabels: { app: "db" } }, false],
    "refuses a missing label": [{ matchLabels: { zone: "a" } }, false],
    "tells an empty value from a missing label": [{ matchLabels: { empty: "", zone: "" } }, false],
    "selects an empty value": [{ matchLabels: { empty: "" } }, true],
    "needs every label": [{ matchLabels: { app: "web", tier: "back" } }, false],
    "In selects one of the values": [
      { matchExpressions: [{ key: "app", operator: "In", values: ["a", "web"] }] },
      true,
    ],
    "In refuses other values": [{ matchExpressions: [{ key: "app", operator: "In", values: ["a"] }] }, false],
    "In refuses a missing label": [{ matchExpressions: [{ key: "zone", operator: "In", values: ["a"] }] }, false],
    "NotIn refuses one of the values": [
      { matchExpressions: [{ key: "app", operator: "NotIn", values: ["web"] }] },
      false,
    ],
    "NotIn selects other values": [{ matchExpressions: [{ key: "app", operator: "NotIn", values: ["a"] }] }, true],
    "NotIn selects a missing label": [{ matchExpressions: [{ key: "zone", operator: "NotIn", values: ["a"] }] }, true],
    "Exists selects any value": [{ matchExpressions: [{ key: "empty", operator: "Exists" }] }, true],
    "Exists refuses a missing label": [{ matchExpressions: [{ key: "zone", operator: "Exists" }] }, false],
    "DoesNotExist selects a missing label": [{ matchExpressions: [{ key: "zone", operator: "DoesNotExist" }] }, true],
    "DoesNotExist refuses any value": [{ matchExpressions: [{ key: "empty", operator: "DoesNotExist" }] }, false],
    "needs labels and expressions": [
      { matchLabels: { app: "web" }, matchExpressions: [{ key: "tier", operator: "In", values: ["back"] }] },
      false,
    ],
    "does not take an inherited name for a label": [
      { matchExpressions: [{ key: "constructor", operator: "Exists" }] },
      false,
    ],
  };
  it.each(Object.entries(cases))("%s", (_, [selector, selected]) => {
    expect(compileSelector(selector)(labels)).toBe(selected);
  });

  const expression = (key: string, operator: string, ...values: string[]): Selector => ({
    matchExpressions: [
      { key: "ok", operator: "Exists" },
      { key, operator, values },
    ],
  });
  const errors: Record<string, [Selector, string]> = {
    "In without values": [expression("a", "In"), "matchExpressions[1].values"],
    "NotIn without values": [expression("a", "NotIn"), "matchExpressions[1].values"],
    "Exists with values": [expression("a", "Exists", "b"), "matchExpressions[1].values"],
    "DoesNotExist with values": [expression("a", "DoesNotExist", "b"), "matchExpressions[1].values"],
    "an unknown operator": [expression("a", "Gt", "1"), "matchExpressions[1].operator"],
    "a key with a space": [expression("a b", "Exists"), "matchExpressions[1].key"],
    "an empty key": [expression("", "Exists"), "matchExpressions[1].key"],
    "a prefix in capitals": [expression("Example.com/a", "Exists"), "matchExpressions[1].key"],
    "a key with two slashes": [expression("a/b/c", "Exists"), "matchExpressions[1].key"],
    "a key that is too long": [expression("x".repeat(64), "Exists"), "matchExpressions[1].key"],
    "a value with a slash": [expression("a", "In", "ok", "b/c"), "matchExpressions[1].values[1]"],
    "a label's key": [{ matchLabels: { "-a": "b" } }, "matchLabels[-a]"],
    "a label's value": [{ matchLabels: { a: "b c" } }, "matchLabels[a]"],
  };
  it.each(Object.entries(errors))("refuses %s and names the field", (_, [selector, field]) => {
    expect(() => compileSelector(selector)).toThrow(SelectorError);
    expect(() => compileSelector(selector)).toThrow(expect.objectContaining({ code: "InvalidSelector", field }));
  });

  it("takes a key with a prefix", () => {
    expect(compileSelector({ matchLabels: { "app.kubernetes.io/name": "web" } })({})).toBe(false);
  });
});
