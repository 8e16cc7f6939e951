import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { applyObject, applyStatus, sameContent } from "./apply.ts";

describe("the same content", () => {
  const same: Record<string, [unknown, unknown]> = {
    "fields in another order": [
      { a: 1, b: { c: 2, d: [3] } },
      { b: { d: [3], c: 2 }, a: 1 },
    ],
    "a field that is undefined and one that is missing": [{ a: 1, b: undefined }, { a: 1 }],
    "two empty lists": [[], []],
    nulls: [{ a: null }, { a: null }],
  };
  for (const [what, [a, b]] of Object.entries(same)) {
    test(`is ${what}`, () => expect([sameContent(a, b), sameContent(b, a)]).toEqual([true, true]));
  }

  const different: Record<string, [unknown, unknown]> = {
    "another value": [{ a: 1 }, { a: 2 }],
    "a number and its text": [{ a: 1 }, { a: "1" }],
    "one field more": [{ a: 1 }, { a: 1, b: 2 }],
    "another field of the same number": [{ a: undefined, b: 1 }, { c: 1 }],
    "a list in another order": [
      [1, 2],
      [2, 1],
    ],
    "a longer list": [[1], [1, 1]],
    "a list and an object like it": [["x"], { 0: "x" }],
    "null and nothing": [{ a: null }, {}],
    "null and an empty object": [null, {}],
  };
  for (const [what, [a, b]] of Object.entries(different)) {
    test(`is not ${what}`, () => expect([sameContent(a, b), sameContent(b, a)]).toEqual([false, false]));
  }

  test("is what JSON with sorted fields says it is", () => {
    const sorted = (value: unknown): string =>
      JSON.stringify(value, (_name, item: unknown) =>
        typeof item === "object" && item !== null && !Array.isArray(item)
          ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
          : item,
      );
    // Few values and names, so that equal pairs are common.
    const { json } = fc.letrec((tie) => ({
      json: fc.oneof(
        { depthSize: "small" },
        fc.constantFrom<unknown>(0, 1, "", null, false),
        fc.array(tie("json"), { maxLength: 2 }),
        fc.dictionary(fc.constantFrom("a", "b"), tie("json"), { maxKeys: 2, noNullPrototype: true }),
      ),
    }));
    let equal = 0;
    fc.assert(
      fc.property(json, json, (a, b) => {
        if (sorted(a) === sorted(b)) equal += 1;
        expect(sameContent(a, b)).toBe(sorted(a) === sorted(b));
      }),
      { numRuns: 2_000 },
    );
    expect(equal).toBeGreaterThan(20);
  });
});

describe("a write that would change nothing", () => {
  const transport = { request: () => Promise.reject(new Error("a request was sent")) };
  const common = { path: "/apis/hygeia.dev/v1alpha1/registries/a", fieldManager: "hygeia-status" };

  test("is not sent for a status that is as observed", async () => {
    const names = { ...common, apiVersion: "hygeia.dev/v1alpha1", kind: "Registry", name: "a" };
    const status = { instances: 3, mode: undefined };
    expect(await applyStatus(transport, { ...names, status, observed: { instances: 3 } })).toEqual({
      outcome: "Unchanged",
    });
    const changed = applyStatus(transport, { ...names, status, observed: { instances: 4 } });
    await expect(changed).rejects.toThrow("a request was sent");
    await expect(applyStatus(transport, { ...names, status })).rejects.toThrow("a request was sent");
  });

  test("is not sent for an object that was applied like that", async () => {
    const object = { metadata: { name: "a" }, spec: { x: 1 } };
    const observed = structuredClone(object);
    expect(await applyObject(transport, { ...common, object, observed })).toEqual({ outcome: "Unchanged" });
    await expect(applyObject(transport, { ...common, object })).rejects.toThrow("a request was sent");
  });
});
