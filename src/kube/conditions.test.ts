import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { setConditions, withKnownTypes } from "./conditions.ts";
import type { Condition, ConditionStatus, ConditionUpdate } from "./conditions.ts";

const noon = new Date("2026-11-22T12:00:00.400Z");
const later = new Date("2026-11-22T12:05:00Z");

function update(type: string, status: ConditionStatus, fields: Partial<ConditionUpdate> = {}): ConditionUpdate {
  return { type, status, observedGeneration: 1, reason: "Because", message: "It is so.", ...fields };
}

describe("setting conditions", () => {
  test("a new type gets the time of now, in whole seconds", () => {
    expect(setConditions(undefined, [update("Ready", "True")], noon)).toEqual([
      { ...update("Ready", "True"), lastTransitionTime: "2026-11-22T12:00:00Z" },
    ]);
  });

  test("the time moves when the status flips", () => {
    const first = setConditions([], [update("Ready", "True")], noon);
    const [ready] = setConditions(first, [update("Ready", "False")], later);
    expect(ready?.lastTransitionTime).toBe("2026-11-22T12:05:00Z");
  });

  test("the time stays when only reason, message or generation change, and those are taken over", () => {
    const first = setConditions([], [update("Ready", "False")], noon);
    const changed = update("Ready", "False", { reason: "Other", message: "Now this.", observedGeneration: 2 });
    expect(setConditions(first, [changed], later)).toEqual([
      { ...changed, lastTransitionTime: "2026-11-22T12:00:00Z" },
    ]);
  });

  test("types that are not updated stay as they are, and all keep their places", () => {
    const first = setConditions([], [update("Synced", "True"), update("Ready", "True")], noon);
    const second = setConditions(first, [update("Ready", "False"), update("Synced", "True")], later);
    expect(second.map((condition) => condition.type)).toEqual(["Synced", "Ready"]);
    expect(setConditions(first, [], later)).toEqual(first);
  });

  test("a message longer than the CRDs allow is cut", () => {
    const [ready] = setConditions([], [update("Ready", "True", { message: "x".repeat(40_000) })], noon);
    expect(ready?.message).toHaveLength(32_768);
  });

  test("of any history, each type's time is that of its last flip, and types are unique", () => {
    const step = fc.record({
      type: fc.constantFrom("Ready", "Synced", "Reachable"),
      status: fc.constantFrom<ConditionStatus>("True", "False", "Unknown"),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let conditions: Condition[] = [];
        const flips = new Map<string, { status: ConditionStatus; at: string }>();
        for (const [index, { type, status }] of steps.entries()) {
          const now = new Date(noon.getTime() + index * 1_000);
          conditions = setConditions(conditions, [update(type, status)], now);
          if (flips.get(type)?.status !== status) flips.set(type, { status, at: now.toISOString().slice(0, 19) });
        }
        expect(conditions).toHaveLength(flips.size);
        for (const { type, status, lastTransitionTime } of conditions) {
          expect({ status, at: lastTransitionTime.slice(0, 19) }).toEqual(flips.get(type));
        }
      }),
    );
  });
});

describe("the first visit", () => {
  test("makes every known type Unknown, and leaves those that were set", () => {
    const set = setConditions([], [update("Ready", "True")], noon);
    const conditions = withKnownTypes(set, ["Ready", "Synced"], 4, later);
    expect(conditions).toEqual([
      ...set,
      {
        type: "Synced",
        status: "Unknown",
        observedGeneration: 4,
        lastTransitionTime: "2026-11-22T12:05:00Z",
        reason: "Pending",
        message: "It has not been looked at yet.",
      },
    ]);
    expect(withKnownTypes(conditions, ["Ready", "Synced"], 5, new Date())).toEqual(conditions);
  });

  test("drops types of an earlier version", () => {
    const old = setConditions([], [update("Old", "True"), update("Ready", "True")], noon);
    expect(withKnownTypes(old, ["Ready"], 1, later).map((condition) => condition.type)).toEqual(["Ready"]);
  });
});
