import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { type PlanInput, planRollout, withEntry, withoutStale } from "./plan.ts";
import type { RolloutEntry, RolloutRules } from "./types.ts";

const NOW = new Date("2026-03-02T12:00:00Z");
const RULES: RolloutRules = {
  strategy: "Template",
  paused: false,
  maxConcurrentWorkloads: 2,
  perHour: 3,
  availableWithinMs: 600_000,
  window: undefined,
  windowProblem: undefined,
};

function entry(name: string, over: Partial<RolloutEntry> = {}): RolloutEntry {
  return {
    namespace: "shop",
    kind: "Deployment",
    name,
    uid: `uid-${name}`,
    fingerprint: "p@2-x",
    strategy: "Template",
    workloadGeneration: 1,
    startedAt: new Date(NOW.getTime() - 7_200_000),
    result: "Done",
    message: undefined,
    ...over,
  };
}

function input(over: Partial<PlanInput> = {}): PlanInput {
  const drifted = new Map(["a", "b", "c", "d"].map((name, index) => [`shop/Deployment/${name}`, 4 - index]));
  const base = {
    rules: RULES,
    fingerprint: "p@2-x",
    entries: [],
    drifted,
    looks: new Map(),
    outside: undefined,
    now: NOW,
  };
  return { ...base, ...over };
}

const rules = (over: Partial<RolloutRules>): RolloutRules => ({ ...RULES, ...over });
const recent = new Date(NOW.getTime() - 1_000);

describe("a plan of roll-outs", () => {
  test("begins with the fewest pods, as many as may be under way", () => {
    const plan = planRollout(input());
    expect(plan.pending).toEqual(["d", "c", "b", "a"].map((name) => `shop/Deployment/${name}`));
    expect(plan).toMatchObject({ slots: 2, hold: undefined, mayDisrupt: true });
  });

  const slots: Record<string, [Partial<PlanInput>, number, string | undefined]> = {
    "one is under way: room for one": [{ entries: [entry("a", { result: "Started" })] }, 1, undefined],
    "two are under way: no room, and nothing else holds it back": [
      { entries: [entry("a", { result: "Started" }), entry("b", { result: "Started" })] },
      0,
      undefined,
    ],
    "of an earlier generation it counts as under way too": [
      { entries: [entry("z", { result: "Started", fingerprint: "p@1-x" }), entry("y", { result: "Started" })] },
      0,
      undefined,
    ],
    "perHour counts what any generation began": [
      { entries: ["x", "y", "z"].map((name) => entry(name, { fingerprint: "p@1-x", startedAt: recent })) },
      0,
      "PerHour",
    ],
    "a start that lies in the future counts": [
      { entries: ["x", "y", "z"].map((name) => entry(name, { startedAt: new Date(NOW.getTime() + 60_000) })) },
      0,
      "PerHour",
    ],
    "a failure stops everything": [{ entries: [entry("z", { result: "Failed" })] }, 0, "Stopped"],
    "a failure of an earlier generation does not": [
      { entries: [entry("z", { result: "Failed", fingerprint: "p@1-x" })] },
      2,
      undefined,
    ],
    "it is paused": [{ rules: rules({ paused: true }) }, 0, "Paused"],
    "a window can not be understood": [{ rules: rules({ windowProblem: "no" }) }, 0, "InvalidWindow"],
    "the window is closed": [
      { rules: rules({ window: { closedAt: () => ({ opensAt: undefined }) } }) },
      0,
      "OutsideWindow",
    ],
    "the window is open": [{ rules: rules({ window: { closedAt: () => undefined } }) }, 2, undefined],
    "admission is off": [{ outside: { reason: "AdmissionInactive", message: "off" } }, 0, "AdmissionInactive"],
    "no pod is judged, and it is paused too": [
      { rules: rules({ paused: true }), outside: { reason: "Audit", message: "Paused", isBlind: true } },
      0,
      "Audit",
    ],
    "the report is full": [
      { entries: Array.from({ length: 1_000 }, (_, index) => entry(`e${index}`)) },
      0,
      "MemoryFull",
    ],
  };
  test.each(Object.entries(slots))("%s", (_, [over, expected, reason]) => {
    const plan = planRollout(input(over));
    expect([plan.slots, plan.hold?.reason]).toEqual([expected, reason]);
  });

  test("leaves alone what was rolled out for this generation, whatever its pods are now", () => {
    const plan = planRollout(input({ entries: [entry("d"), entry("c", { result: "Blocked", message: "a budget" })] }));
    expect(plan.pending).toEqual(["shop/Deployment/b", "shop/Deployment/a"]);
    expect(plan.obstacles.get("shop/Deployment/c")).toEqual({ reason: "Blocked", message: "a budget" });
    expect(plan.done).toBe(1);
  });

  test("takes another object under the same name for another workload", () => {
    const looks = new Map([["shop/Deployment/d", { uid: "new", obstacle: undefined }]]);
    expect(planRollout(input({ entries: [entry("d")], looks })).pending[0]).toBe("shop/Deployment/d");
  });

  test("only reports pods of other kinds, and what a look found an obstacle to", () => {
    const drifted = new Map([
      ["shop/DaemonSet/log", 3],
      ["0b5e-uid", 1],
      ["shop/Deployment/a", 1],
    ]);
    const obstacle = { reason: "Recreate", message: "m" } as const;
    const plan = planRollout(input({ drifted, looks: new Map([["shop/Deployment/a", { uid: "u", obstacle }]]) }));
    expect([plan.pending, plan.slots]).toEqual([[], 0]);
    expect([...plan.obstacles].map(([key, { reason }]) => [key, reason])).toEqual([
      ["0b5e-uid", "NotRolledOutByKind"],
      ["shop/Deployment/a", "Recreate"],
      ["shop/DaemonSet/log", "NotRolledOutByKind"],
    ]);
  });

  test("forgets of earlier generations what has ended more than an hour ago, and nothing else", () => {
    const kept = [
      entry("a"),
      entry("b", { fingerprint: "p@1-x", result: "Started" }),
      entry("c", { fingerprint: "p@1-x", startedAt: recent }),
    ];
    expect(withoutStale([...kept, entry("d", { fingerprint: "p@1-x" })], "p@2-x", NOW)).toEqual(kept);
  });

  test("300 workloads never exceed the budgets, none is begun twice, and all are done at last", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 15, max: 60 }),
        fc.array(fc.integer({ min: 1, max: 10 }), { minLength: 20, maxLength: 20 }),
        (maxConcurrentWorkloads, perHour, minutes) => {
          const drifted = new Map(
            Array.from({ length: 300 }, (_, index) => [`shop/Deployment/w${index}`, 1 + (index % 7)]),
          );
          const starts: number[] = [];
          const begun = new Set<string>();
          let entries: readonly RolloutEntry[] = [];
          for (let minute = 0; begun.size < 300; minute += 2) {
            const now = new Date(NOW.getTime() + minute * 60_000);
            entries = entries.map((one, index) => {
              const isOver = now.getTime() - one.startedAt.getTime() >= (minutes[index % 20] ?? 1) * 60_000;
              return one.result === "Started" && isOver ? { ...one, result: "Done" as const } : one;
            });
            const plan = planRollout(
              input({ rules: rules({ maxConcurrentWorkloads, perHour }), entries, drifted, now }),
            );
            for (const key of plan.pending.slice(0, plan.slots)) {
              expect(begun.has(key)).toBe(false);
              begun.add(key);
              starts.push(now.getTime());
              entries = withEntry(entries, entry(key.split("/")[2] ?? "", { startedAt: now, result: "Started" }));
            }
            expect(entries.filter(({ result }) => result === "Started").length).toBeLessThanOrEqual(
              maxConcurrentWorkloads,
            );
            expect(starts.filter((at) => now.getTime() - at < 3_600_000).length).toBeLessThanOrEqual(perHour);
          }
        },
      ),
      { numRuns: 4 },
    );
  });
});
