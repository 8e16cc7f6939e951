import { expect, test } from "vitest";

import { compileWindow } from "./window.ts";

const TWO_HOURS = 7_200_000;

function isOpen(schedule: string, timeZone: string, at: string, durationMs = TWO_HOURS): boolean {
  const compiled = compileWindow({ schedule, timeZone }, durationMs);
  if ("problem" in compiled) throw new Error(compiled.problem);
  return compiled.window.closedAt(new Date(at)) === undefined;
}

const cases: Record<string, [string, string, string, boolean]> = {
  "open from its first moment": ["0 2 * * *", "UTC", "2026-03-02T02:00:00Z", true],
  "open until its last moment": ["0 2 * * *", "UTC", "2026-03-02T03:59:59Z", true],
  "closed at its end": ["0 2 * * *", "UTC", "2026-03-02T04:00:00Z", false],
  "closed just before": ["0 2 * * *", "UTC", "2026-03-02T01:59:59Z", false],
  "by the clock of its zone, in winter": ["0 2 * * *", "Europe/Berlin", "2026-01-10T01:30:00Z", true],
  "by the clock of its zone, in summer": ["0 2 * * *", "Europe/Berlin", "2026-07-10T00:30:00Z", true],
  "not by the clock of UTC": ["0 2 * * *", "Europe/Berlin", "2026-07-10T02:30:00Z", false],
  "over midnight": ["0 23 * * 5", "UTC", "2026-03-07T00:30:00Z", true],
  "on its days only": ["0 2 * * 1-5", "UTC", "2026-03-07T02:30:00Z", false],
};
test.each(Object.entries(cases))("a window is %s", (_, [schedule, timeZone, at, open]) => {
  expect(isOpen(schedule, timeZone, at)).toBe(open);
});

test("a closed window says when it opens", () => {
  const compiled = compileWindow({ schedule: "0 2 * * *", timeZone: "Asia/Shanghai" }, TWO_HOURS);
  const at = new Date("2026-03-02T12:00:00Z");
  expect("window" in compiled && compiled.window.closedAt(at)).toEqual({ opensAt: new Date("2026-03-02T18:00:00Z") });
});

test.each([
  [{ schedule: "0 25 * * *", timeZone: "UTC" }, "spec.rollout.maintenanceWindow.schedule"],
  [{ schedule: "0 2 * * x", timeZone: "UTC" }, "spec.rollout.maintenanceWindow.schedule"],
  [{ schedule: "0 2 * * *", timeZone: "Europe/Nowhere" }, "spec.rollout.maintenanceWindow.timeZone"],
])("a window that can not be meant names the field: %j", (text, field) => {
  const compiled = compileWindow(text, TWO_HOURS);
  expect("problem" in compiled && compiled.problem.startsWith(field)).toBe(true);
});
