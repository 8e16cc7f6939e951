import fc from "fast-check";
import { expect, test } from "vitest";

import type { Trigger } from "../../kube/controller.ts";
import { Crowd } from "./crowd.ts";

const trigger: Trigger = { traceId: "t", seenAt: 0 };

function crowdOf(limit: number): { crowd: Crowd; called: [string, Trigger][] } {
  const called: [string, Trigger][] = [];
  return { crowd: new Crowd(limit, (key, by) => called.push([key, by])), called };
}

test("lets only so many in, and calls the next one who leaves makes room for, in order and with its trigger", () => {
  const { crowd, called } = crowdOf(2);
  const [first, second] = [{ ...trigger }, { ...trigger }];
  expect(["a", "b"].map((key) => crowd.enter("main", key, trigger))).toEqual([true, true]);
  expect(crowd.enter("main", "c", first)).toBe(false);
  expect(crowd.enter("main", "d", second)).toBe(false);
  crowd.leave("main");
  expect(called).toEqual([["c", first]]);
  crowd.leave("main");
  expect(called.map(([key]) => key)).toEqual(["c", "d"]);
  expect(called[1]?.[1]).toBe(second);
});

test("a full registry keeps nobody out of another", () => {
  const { crowd } = crowdOf(1);
  expect(["slow", "quick", "slow"].map((name) => crowd.enter(name, name, trigger))).toEqual([true, true, false]);
});

test("whoever asks twice is called once", () => {
  const { crowd, called } = crowdOf(1);
  crowd.enter("main", "a", trigger);
  crowd.enter("main", "b", trigger);
  crowd.enter("main", "b", trigger);
  crowd.leave("main");
  crowd.leave("main");
  expect(called).toHaveLength(1);
});

test("never lets in too many, and keeps nothing when all have left", () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 50 }), (acts) => {
      const { crowd, called } = crowdOf(3);
      let inside = 0;
      let refused = 0;
      for (const [i, enters] of acts.entries()) {
        if (enters && crowd.enter("main", `k${i}`, trigger)) inside++;
        else if (enters) refused++;
        else if (inside > 0) {
          crowd.leave("main");
          inside--;
        }
        expect(inside).toBeLessThanOrEqual(3);
      }
      for (; inside > 0; inside--) crowd.leave("main");
      expect(called.length).toBeLessThanOrEqual(refused);
      expect(["x", "y", "z", "w"].map((key) => crowd.enter("main", key, trigger))).toEqual([true, true, true, false]);
    }),
  );
});
