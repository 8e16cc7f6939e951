import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { BarrierLog } from "./barrier.ts";

const barrier = fc.record({ startedAt: fc.integer({ min: 0, max: 50 }), revision: fc.integer({ min: 0, max: 50 }) });

describe("BarrierLog", () => {
  test("answers as a search through all barriers would", () => {
    fc.assert(
      fc.property(fc.array(barrier, { maxLength: 40 }), fc.integer({ min: 0, max: 51 }), (barriers, revision) => {
        const log = new BarrierLog();
        for (const { startedAt, revision: read } of barriers) log.record(startedAt, String(read));
        const newest = (keep: (read: number) => boolean): number =>
          Math.max(-Infinity, ...barriers.filter((b) => keep(b.revision)).map((b) => b.startedAt));
        expect(log.provenAt(String(revision))).toBe(newest((read) => read <= revision));
        expect(log.provenBefore(String(revision))).toBe(newest((read) => read < revision));
      }),
    );
  });

  test("forgets the oldest of very many, and then proves less, not more", () => {
    const log = new BarrierLog();
    for (let i = 1; i <= 10_000; i++) log.record(i, String(i));
    expect(log.provenAt("10000")).toBe(10_000);
    expect(log.provenAt("9900")).toBe(9_900);
    expect(log.provenAt("1")).toBe(-Infinity);
  });
});
