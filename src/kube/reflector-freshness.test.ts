import { describe, expect, test } from "vitest";

import { BarrierLog } from "./barrier.ts";
import { FreshnessTracker } from "./reflector-freshness.ts";
import type { Freshness } from "./types.ts";

function makeTracker() {
  const told: Freshness[] = [];
  const tracker = new FreshnessTracker(new BarrierLog(), (freshness) => told.push(freshness));
  const quorum = (startedAt: number, revision: string, seenBefore = tracker.highest): void => {
    tracker.quorumRead(startedAt, revision, seenBefore, "a read");
  };
  return { tracker, told, quorum };
}

/** A tracker that has one list: begun at 100, of revision 10. */
function synced() {
  const made = makeTracker();
  made.quorum(100, "10");
  made.tracker.listApplied("10");
  return made;
}

describe("before the first list", () => {
  test("nothing is proven, and the reason says so", () => {
    const { tracker, quorum } = makeTracker();
    quorum(100, "10");
    expect(tracker.freshness).toMatchObject({ synced: false, caughtUpTo: -Infinity, completeLists: 0 });
    expect(tracker.freshness.problem?.reason).toBe("NotSynced");
  });

  test("the root of the delay is shown instead while there is one", () => {
    const { tracker } = makeTracker();
    tracker.fail("List", "Forbidden", "why");
    expect(tracker.freshness.problem).toEqual({ reason: "Forbidden", message: "why" });
    tracker.clear("List");
    expect(tracker.freshness.problem?.reason).toBe("NotSynced");
  });
});

describe("caughtUpTo", () => {
  test("is when the first page of a complete list was asked for", () => {
    expect(synced().tracker.freshness).toEqual({ synced: true, caughtUpTo: 100, completeLists: 1, problem: undefined });
  });

  test("waits for the watch to reach a barrier's revision", () => {
    const { tracker, quorum } = synced();
    quorum(200, "20");
    tracker.watchReached("19");
    expect(tracker.freshness.caughtUpTo).toBe(100);
    tracker.watchReached("20");
    expect(tracker.freshness.caughtUpTo).toBe(200);
  });

  test("follows a barrier at once when nothing was committed since", () => {
    const { tracker, quorum } = synced();
    quorum(200, "10");
    expect(tracker.freshness.caughtUpTo).toBe(200);
  });

  test("stands still in a gap, also when an event comes, until a list fills it", () => {
    const { tracker, quorum } = synced();
    tracker.gap();
    quorum(200, "10");
    expect([tracker.reached, tracker.freshness.caughtUpTo]).toEqual([undefined, 100]);
    tracker.listApplied("12");
    expect([tracker.reached, tracker.freshness.caughtUpTo]).toEqual(["12", 200]);
  });

  test("does not go back with a list that began before the gap", () => {
    const { tracker } = synced();
    tracker.watchReached("15");
    tracker.gap();
    tracker.listApplied("12");
    expect(tracker.reached).toBe("15");
  });

  test.each(["WentBack", "OpaqueVersion", "Forbidden", "ProjectionFailed", "SinkFailed"])(
    "stands still while %s",
    (reason) => {
      const { tracker, quorum } = synced();
      tracker.fail("Barrier", reason, "why");
      quorum(200, "10");
      expect(tracker.freshness.caughtUpTo).toBe(100);
      tracker.clear("Barrier");
      expect(tracker.freshness).toMatchObject({ caughtUpTo: 200, problem: undefined });
    },
  );

  test("goes on beside a problem that only means delay", () => {
    const { tracker, quorum } = synced();
    tracker.fail("Watch", "ConnectionLost", "why");
    quorum(200, "10");
    expect(tracker.freshness).toMatchObject({ caughtUpTo: 200, problem: { reason: "ConnectionLost" } });
  });
});

describe("a quorum read", () => {
  test("that returns less than was seen before it began is refused and proves nothing", () => {
    const { tracker, quorum } = synced();
    tracker.watchReached("15");
    expect(() => quorum(200, "14")).toThrow(expect.objectContaining({ code: "WentBack" }));
    expect(tracker.freshness.caughtUpTo).toBe(100);
    expect(tracker.highest).toBe("15");
  });

  test("that was overtaken by an event while it ran is taken", () => {
    const { tracker, quorum } = synced();
    const before = tracker.highest;
    tracker.watchReached("15");
    quorum(200, "12", before);
    expect(tracker.freshness.caughtUpTo).toBe(200);
  });
});

describe("a watch that opens", () => {
  test.each([
    ["ConnectionLost", undefined],
    ["Forbidden", undefined],
    ["WentBack", "WentBack"],
    ["OpaqueVersion", "OpaqueVersion"],
  ])("after %s leaves the problem %s", (reason, left) => {
    const { tracker } = synced();
    tracker.fail("Watch", reason, "why");
    tracker.watchOpened();
    expect(tracker.freshness.problem?.reason).toBe(left);
  });
});

describe("a complete list", () => {
  test("clears what kept lists and the sink from working, and nothing else", () => {
    const { tracker } = synced();
    tracker.fail("List", "ServerError", "why");
    tracker.fail("Sink", "SinkFailed", "why");
    tracker.fail("Projection", "ProjectionFailed", "why");
    tracker.listApplied("12");
    expect(tracker.freshness.problem?.reason).toBe("ProjectionFailed");
  });
});

describe("the callback", () => {
  test("hears of changes only", () => {
    const { tracker, told, quorum } = synced();
    expect(told.map((freshness) => freshness.caughtUpTo)).toEqual([100]);
    tracker.watchReached("11");
    quorum(150, "20");
    tracker.fail("Watch", "Silent", "why");
    tracker.fail("Watch", "Silent", "why");
    tracker.clear("Barrier");
    expect(told.at(-1)?.problem).toEqual({ reason: "Silent", message: "why" });
    expect(told).toHaveLength(2);
  });
});
