import { describe, expect, test } from "vitest";

import { ManualClock } from "../../test/support/manual-clock.ts";
import { Deadline } from "./deadline.ts";

describe("a deadline", () => {
  test("aborts when its time is up, and says what took so long", async () => {
    const clock = new ManualClock();
    using deadline = new Deadline(clock, 100, "the look");
    await clock.advance(99);
    expect(deadline.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(deadline.signal.reason).toMatchObject({
      code: "DeadlineExceeded",
      message: "the look took longer than 100 ms",
    });
  });

  test("aborts with the other signal and for its reason, also when that was aborted before", () => {
    const clock = new ManualClock();
    const outer = new AbortController();
    using before = new Deadline(clock, 100, "the look", outer.signal);
    const reason = new Error("enough");
    outer.abort(reason);
    using after = new Deadline(clock, 100, "the look", outer.signal);
    expect([before.signal.reason, after.signal.reason]).toEqual([reason, reason]);
  });

  test("leaves no timer and no listener behind", async () => {
    const clock = new ManualClock();
    const outer = new AbortController();
    const deadline = new Deadline(clock, 100, "the look", outer.signal);
    deadline[Symbol.dispose]();
    expect(clock.pending).toBe(0);
    outer.abort();
    await clock.advance(200);
    expect(deadline.signal.aborted).toBe(false);
  });
});
