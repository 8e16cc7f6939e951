import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { ManualClock } from "../../test/support/manual-clock.ts";
import { Backoff } from "./backoff.ts";

describe("Backoff", () => {
  test("doubles from 0.8 s and stays at 30 s", () => {
    const backoff = new Backoff({ clock: new ManualClock(), random: () => 0 });
    const waits = Array.from({ length: 8 }, () => backoff.next());
    expect(waits).toEqual([800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
  });

  test("spreads each wait over once to twice its step, and never beyond the limit", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })), (randoms) => {
        const queue = [...randoms];
        const backoff = new Backoff({ clock: new ManualClock(), random: () => queue.shift() ?? 0 });
        randoms.forEach((_, i) => {
          const step = Math.min(30_000, 800 * 2 ** i);
          const wait = backoff.next();
          expect(wait).toBeGreaterThanOrEqual(step);
          expect(wait).toBeLessThanOrEqual(Math.min(30_000, 2 * step));
        });
      }),
    );
  });

  test("starts again after two minutes without a failure, not earlier", async () => {
    const clock = new ManualClock();
    const backoff = new Backoff({ clock, random: () => 0 });
    backoff.next();
    await clock.advance(800 + 120_000);
    expect(backoff.next()).toBe(1600);
    await clock.advance(1600 + 120_001);
    expect(backoff.next()).toBe(800);
  });

  test("waits as long as the server asks, but not longer than two minutes", () => {
    const backoff = new Backoff({ clock: new ManualClock(), random: () => 0 });
    expect(backoff.next(5_000)).toBe(5_000);
    expect(backoff.next(10)).toBe(1_600);
    expect(backoff.next(86_400_000)).toBe(120_000);
  });
});
