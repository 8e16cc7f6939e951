import { beforeEach, describe, expect, test } from "vitest";

import { ManualClock } from "../../../test/support/manual-clock.ts";
import { recordAt } from "../../../test/support/records.ts";
import { Comebacks } from "./comebacks.ts";

const KEY = "main:/shop/1";
let clock: ManualClock;
let comebacks: Comebacks;

beforeEach(() => {
  clock = new ManualClock();
  comebacks = new Comebacks(clock);
});

/** A record of this version that was seen so long after the present moment. */
function record(version: string, seenAfterMs = -1_000) {
  return recordAt(["10.42.0.7:80"], { version, seenAt: clock.monotonic() + seenAfterMs });
}

describe("an entry has come back", () => {
  test("when it has another version than the one that was removed, also if that was seen before we knew the answer", () => {
    comebacks.removed(KEY, "r1", "v1");
    expect(comebacks.hasComeBack(KEY, "r1", record("v2"))).toBe(true);
  });

  test("when it was seen after the removal, though a registry without revisions gives it the same version", () => {
    comebacks.removed(KEY, "r1", "v1");
    expect(comebacks.hasComeBack(KEY, "r1", record("v1", 1))).toBe(true);
  });

  test("for as long as it is not taken over by somebody who lives", () => {
    comebacks.removed(KEY, "r1", "v1");
    expect([1, 2].map(() => comebacks.hasComeBack(KEY, "r1", record("v2")))).toEqual([true, true]);
    comebacks.forget(KEY);
    expect(comebacks.hasComeBack(KEY, "r1", record("v2"))).toBe(false);
  });
});

describe("an entry has not come back", () => {
  test("when nobody removed it, or another one was removed", () => {
    comebacks.removed("main:/shop/2", "r1", "v1");
    expect(comebacks.hasComeBack(KEY, "r1", record("v2"))).toBe(false);
  });

  test("when the view merely still holds what was removed", () => {
    comebacks.removed(KEY, "r1", "v1");
    expect(comebacks.hasComeBack(KEY, "r1", record("v1", 0))).toBe(false);
  });

  test("when it is of another Registry by the same name", () => {
    comebacks.removed(KEY, "r1", "v1");
    expect(comebacks.hasComeBack(KEY, "r2", record("v2"))).toBe(false);
  });

  test("when the removal was more than an hour ago", async () => {
    comebacks.removed(KEY, "r1", "v1");
    await clock.advance(3_600_000);
    expect(comebacks.hasComeBack(KEY, "r1", record("v2"))).toBe(true);
    await clock.advance(1);
    expect(comebacks.hasComeBack(KEY, "r1", record("v2"))).toBe(false);
  });
});

test("a comeback is told once, and once more after another removal", () => {
  expect(comebacks.isNews(KEY)).toBe(false);
  comebacks.removed(KEY, "r1", "v1");
  expect([1, 2].map(() => comebacks.isNews(KEY))).toEqual([true, false]);
  comebacks.removed(KEY, "r1", "v3");
  expect([1, 2].map(() => comebacks.isNews(KEY))).toEqual([true, false]);
  comebacks.removed(KEY, "r1", "v5", true);
  expect(comebacks.isNews(KEY)).toBe(false);
});

test("beyond the limit the oldest removals are forgotten", () => {
  comebacks = new Comebacks(clock, 2);
  for (const key of ["a", "b", "a", "c"]) comebacks.removed(key, "r1", "v1");
  expect(["a", "b", "c"].map((key) => comebacks.hasComeBack(key, "r1", record("v2")))).toEqual([true, false, true]);
});

describe("an entry that was taken out of rotation and is found in it again", () => {
  const lift = (times: number, registryUid = "r1"): void => {
    for (let i = 0; i < times; i++) comebacks.lifted(KEY, registryUid);
  };

  test("may be taken out again, twice", () => {
    lift(2);
    expect(comebacks.hasComeBack(KEY, "r1", record("v"))).toBe(false);
  });

  test("has come back the third time within an hour", () => {
    lift(3);
    expect(comebacks.hasComeBack(KEY, "r1", record("v"))).toBe(true);
    expect(comebacks.isNews(KEY)).toBe(true);
  });

  test("begins anew after an hour", async () => {
    lift(2);
    await clock.advance(3_600_001);
    lift(2);
    expect(comebacks.hasComeBack(KEY, "r1", record("v"))).toBe(false);
  });

  test("begins anew in another registry of the name", () => {
    lift(2);
    lift(2, "r2");
    expect(comebacks.hasComeBack(KEY, "r2", record("v"))).toBe(false);
  });

  test("begins anew when somebody lived there meanwhile", () => {
    lift(2);
    comebacks.forget(KEY);
    lift(2);
    expect(comebacks.hasComeBack(KEY, "r1", record("v"))).toBe(false);
  });
});
