import { describe, expect, test } from "vitest";

import { ManualClock } from "./manual-clock.ts";

describe("the manual clock", () => {
  test("runs due timers in order of time, then of creation, at their own times", async () => {
    const clock = new ManualClock(0);
    const ran: [string, number][] = [];
    const note = (name: string) => () => ran.push([name, clock.monotonic()]);
    clock.setTimer(note("late"), 20);
    clock.setTimer(note("first"), 10);
    clock.setTimer(note("second"), 10);
    clock.setTimer(note("never"), 10).cancel();
    await clock.advance(15);
    expect(ran).toEqual([
      ["first", 10],
      ["second", 10],
    ]);
    expect(clock.monotonic()).toBe(15);
    expect(clock.pending).toBe(1);
  });

  test("lets long chains of promises go on between timers", async () => {
    const clock = new ManualClock(0);
    let rounds = 0;
    void (async () => {
      for (;;) {
        for (let i = 0; i < 200; i++) await Promise.resolve();
        await clock.sleep(1);
        rounds += 1;
      }
    })();
    await clock.advance(50);
    expect(rounds).toBe(50);
  });

  test("leaps without running timers, which are due afterwards", async () => {
    const clock = new ManualClock(0);
    let ranAt = 0;
    clock.setTimer(() => (ranAt = clock.monotonic()), 5);
    clock.leap(100);
    expect(ranAt).toBe(0);
    await clock.advance(0);
    expect(ranAt).toBe(100);
  });

  test("steps its wall time alone", () => {
    const clock = new ManualClock(7);
    const before = clock.wall().getTime();
    clock.stepWall(-3_000);
    expect(clock.wall().getTime() - before).toBe(-3_000);
    expect(clock.monotonic()).toBe(7);
  });

  test("wakes a sleeper with the reason of its signal", async () => {
    const clock = new ManualClock();
    const stop = new AbortController();
    const sleeping = clock.sleep(10, stop.signal);
    stop.abort(new Error("enough"));
    await expect(sleeping).rejects.toThrow("enough");
    expect(clock.pending).toBe(0);
  });
});
