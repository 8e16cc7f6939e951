import { describe, expect, test } from "vitest";

import { systemClock } from "./system.ts";

describe("the system clock", () => {
  test("a timer never fires before its time on the monotonic clock", async () => {
    for (const delayMs of [0, 0.4, 1, 3.7, 12]) {
      const start = systemClock.monotonic();
      const firedAfter = await new Promise<number>((resolve) => {
        // The product's timers do not keep a process alive; a test runner's worker stays alive by itself.
        systemClock.setTimer(() => resolve(systemClock.monotonic() - start), delayMs);
      });
      expect(firedAfter).toBeGreaterThanOrEqual(delayMs);
    }
  });

  test("a delay longer than Node can hold waits instead of firing at once", async () => {
    const fired: string[] = [];
    const month = systemClock.setTimer(() => fired.push("month"), 31 * 24 * 3_600_000);
    const stop = new AbortController();
    const slept = systemClock.sleep(31 * 24 * 3_600_000, stop.signal).then(
      () => fired.push("slept"),
      () => fired.push("aborted"),
    );
    await systemClock.sleep(20);
    expect(fired).toEqual([]);
    stop.abort();
    await slept;
    month.cancel();
    expect(fired).toEqual(["aborted"]);
  });

  test("a cancelled timer does not run", async () => {
    let ran = false;
    systemClock.setTimer(() => (ran = true), 5).cancel();
    await systemClock.sleep(15);
    expect(ran).toBe(false);
  });

  test("sleep rejects with the reason of the signal, also when it was aborted before", async () => {
    const reason = new Error("enough");
    const stop = new AbortController();
    const sleeping = systemClock.sleep(60_000, stop.signal);
    stop.abort(reason);
    await expect(sleeping).rejects.toBe(reason);
    await expect(systemClock.sleep(0, stop.signal)).rejects.toBe(reason);
  });

  test("sleeping for 0 lets everything else have its turn first", async () => {
    const order: string[] = [];
    setImmediate(() => order.push("what waited"));
    await systemClock.sleep(0);
    order.push("the sleeper");
    expect(order).toEqual(["what waited", "the sleeper"]);
  });

  test("monotonic time does not go back", () => {
    let last = systemClock.monotonic();
    for (let i = 0; i < 1_000; i++) {
      const now = systemClock.monotonic();
      expect(now).toBeGreaterThanOrEqual(last);
      last = now;
    }
  });
});
