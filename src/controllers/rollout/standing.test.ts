import { describe, expect, test } from "vitest";

import { POLICY_CONDITIONS } from "../../api/v1alpha1/conditions.ts";
import type { RolloutPlan } from "../../rollout/plan.ts";
import type { RolloutEntry } from "../../rollout/types.ts";
import { rolledOut, rolloutFigures, standingOf } from "./standing.ts";

function entry(name: string, over: Partial<RolloutEntry> = {}): RolloutEntry {
  return {
    namespace: "shop",
    kind: "Deployment",
    name,
    uid: name,
    fingerprint: "p@2-x",
    strategy: "Template",
    workloadGeneration: 1,
    startedAt: new Date(0),
    result: "Started",
    message: undefined,
    ...over,
  };
}

function plan(over: Partial<RolloutPlan> = {}): RolloutPlan {
  return {
    pending: [],
    slots: 0,
    hold: undefined,
    mayDisrupt: true,
    current: [],
    done: 0,
    failed: [],
    obstacles: new Map(),
    ...over,
  };
}

const stopped = { reason: "Stopped", message: "shop/Deployment/a: it failed" } as const;
const paused = { reason: "Paused", message: "spec.rollout.state is Paused" } as const;
const blind = { reason: "Audit", message: "spec.mode is Paused", isBlind: true } as const;
const invalid = { reason: "InvalidWindow", message: "no time zone" } as const;
const single = { reason: "NoSpareReplica", message: "no replica would be left" } as const;

describe("how a roll-out stands", () => {
  const rows: Record<string, [RolloutPlan, notes: string[], state: string, reason: string, message: string]> = {
    "nothing was to be done": [plan(), [], "Complete", "Complete", "0 workloads rolled out, no other is left to be"],
    "all is done": [plan({ done: 1 }), [], "Complete", "Complete", "1 workload rolled out, no other is left to be"],
    "some are to come": [plan({ pending: ["a", "b"], slots: 1 }), [], "Active", "RollingOut", "2 workloads to come"],
    "one is under way": [
      plan({ current: [entry("a")], pending: ["b"] }),
      ["a: 1/3 updated"],
      "Active",
      "RollingOut",
      "shop/Deployment/a (a: 1/3 updated); 1 to come",
    ],
    "one is under way, and nothing further begins": [
      plan({ current: [entry("a")], pending: ["b"], hold: paused }),
      [],
      "Active",
      "RollingOut",
      "shop/Deployment/a; 1 to come; nothing further for now: spec.rollout.state is Paused",
    ],
    "more are under way than are told": [
      plan({ current: ["a", "b", "c", "d"].map((name) => entry(name)) }),
      [],
      "Active",
      "RollingOut",
      "shop/Deployment/a, shop/Deployment/b, shop/Deployment/c and 1 more; 0 to come",
    ],
    "something holds back what is to come": [
      plan({ pending: ["b"], hold: paused }),
      [],
      "Waiting",
      "Paused",
      "1 workload to come: spec.rollout.state is Paused",
    ],
    // Else nobody would look for it.
    "a window that can not be understood is told while nothing is to come": [
      plan({ hold: invalid }),
      [],
      "Waiting",
      "InvalidWindow",
      "no time zone",
    ],
    // Nobody has looked.
    "no pod is judged": [plan({ done: 1, hold: blind }), [], "Waiting", "Audit", "spec.mode is Paused"],
    "one failed": [
      plan({ failed: [entry("a", { result: "Failed" })], hold: stopped, pending: ["b"] }),
      [],
      "Stopped",
      "Stopped",
      "shop/Deployment/a: it failed",
    ],
    "one failed while another is under way": [
      plan({ failed: [entry("a", { result: "Failed" })], hold: stopped, current: [entry("b")] }),
      [],
      "Stopped",
      "Stopped",
      "shop/Deployment/a: it failed",
    ],
    "what is left can not be rolled out": [
      plan({ done: 2, obstacles: new Map([["shop/StatefulSet/db", single]]) }),
      [],
      "Complete",
      "NotPossible",
      "shop/StatefulSet/db: no replica would be left",
    ],
  };
  test.each(Object.entries(rows))("%s", (_, [of, notes, state, reason, message]) => {
    const standing = standingOf(of, 2, notes);
    expect([standing.state, standing.reason, standing.message]).toEqual([state, reason, message]);
    expect(Object.keys(POLICY_CONDITIONS.RolledOut.reasons)).toContain(reason);
    expect(rolledOut(standing, 2)).toEqual({ type: "RolledOut", reason, message });
  });

  test("is counted in the status", () => {
    const failed = [entry("f", { result: "Failed" })];
    const standing = standingOf(
      plan({ done: 4, current: [entry("a")], pending: ["b", "c"], failed, obstacles: new Map([["x", single]]) }),
      2,
      [],
    );
    expect(rolloutFigures(standing, 2)).toEqual({
      rollouts: {
        state: "Active",
        done: 4,
        pending: 2,
        failed: 1,
        notPossible: 1,
        progress: "4/8",
        current: ["shop/Deployment/a"],
      },
    });
  });

  test("says nothing of another generation", () => {
    const standing = standingOf(plan({ done: 4 }), 2, []);
    expect(rolloutFigures(standing, 3)).toEqual({});
    expect(rolledOut(standing, 3).reason).toBe("NotJudgedYet");
    expect(rolloutFigures(undefined, 3)).toEqual({});
    expect(rolledOut(undefined, 3).reason).toBe("NotJudgedYet");
  });
});
