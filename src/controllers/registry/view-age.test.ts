import { expect, test } from "vitest";

import { ViewAges } from "./view-age.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

/** What is shown of ages that are looked at one after the other. @param ages each with when, seconds */
function shown(...ages: readonly (readonly [age: number, at: number])[]): (string | undefined)[] {
  const views = new ViewAges();
  return ages.map(([age, at]) => views.observe("main", (at - age) * SECOND, at * SECOND));
}

test("says nothing while nothing was proven, also when that is so again", () => {
  const views = new ViewAges();
  expect(views.observe("main", -Infinity, 0)).toBeUndefined();
  expect(views.observe("main", 0, MINUTE)).toBe("1m");
  expect(views.observe("main", -Infinity, MINUTE)).toBeUndefined();
  expect(views.observe("main", MINUTE, MINUTE)).toBe("5s");
});

test("rounds up to a step", () => {
  const day = 86_400;
  for (const [age, step] of [
    [0, "5s"],
    [5, "5s"],
    [6, "15s"],
    [61, "5m"],
    [3_600, "1h"],
    [day, "24h"],
    [day + 1, "Older"],
  ] as const) {
    expect(shown([age, 2 * day]), String(age)).toEqual([step]);
  }
});

test("rises at once and falls only after five minutes of a younger view, whatever it swings between", () => {
  const swinging = Array.from({ length: 60 }, (_, i) => [i % 3 === 0 ? 6 : 2, i * 60] as const);
  expect(new Set(shown(...swinging))).toEqual(new Set(["15s"]));
  expect(shown([2, 0], [40, 10], [2, 20], [2, 309], [2, 311])).toEqual(["5s", "1m", "1m", "1m", "5s"]);
});

test("falls to the oldest that it was meanwhile", () => {
  expect(shown([40, 0], [10, 60], [2, 120], [2, 301], [2, 500], [2, 602])).toEqual([
    "1m",
    "1m",
    "1m",
    "15s",
    "15s",
    "5s",
  ]);
});

test("keeps registries apart, and forgets one that is gone", () => {
  const views = new ViewAges();
  views.observe("main", 0, MINUTE);
  expect(views.observe("other", MINUTE, MINUTE)).toBe("5s");
  views.forget("main");
  expect(views.observe("main", MINUTE, MINUTE)).toBe("5s");
});
