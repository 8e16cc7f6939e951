import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { Timeline } from "./timeline.ts";

describe("Timeline", () => {
  it("knows nothing before the first barrier", () => {
    expect(new Timeline().before(5)).toBe(Number.NEGATIVE_INFINITY);
  });

  it("dates a write by the newest barrier that did not see it", () => {
    const timeline = new Timeline();
    timeline.add(100, 10);
    timeline.add(200, 20);
    expect(timeline.before(10)).toBe(Number.NEGATIVE_INFINITY);
    expect(timeline.before(11)).toBe(100);
    expect(timeline.before(20)).toBe(100);
    expect(timeline.before(21)).toBe(200);
  });

  it("moves a bound on when no revision came in between", () => {
    const timeline = new Timeline();
    timeline.add(100, 10);
    timeline.add(200, 10);
    expect(timeline.before(11)).toBe(200);
  });

  it("forgets the oldest barriers only", () => {
    const timeline = new Timeline();
    for (let i = 1; i <= 10_000; i++) timeline.add(i, i);
    expect(timeline.before(10_001)).toBe(10_000);
    expect(timeline.before(2)).toBe(Number.NEGATIVE_INFINITY);
  });

  it("never names a time after the write, whatever the order of answers", () => {
    // Writes at known times; barriers begin and are answered at random, the answer being the revision at some moment between.
    const barrier = fc.record({ begin: fc.nat(1000), read: fc.nat(50), answer: fc.nat(50) });
    fc.assert(
      fc.property(
        fc.array(fc.nat(1000), { maxLength: 30 }),
        fc.array(barrier, { maxLength: 30 }),
        (writes, barriers) => {
          const committed = writes.sort((a, b) => a - b);
          const timeline = new Timeline();
          const answered = barriers.map(({ begin, read, answer }) => ({
            begin,
            at: begin + read,
            end: begin + read + answer,
          }));
          for (const { begin, at } of answered.sort((a, b) => a.end - b.end)) {
            timeline.add(begin, committed.filter((time) => time <= at).length);
          }
          for (const [i, time] of committed.entries()) expect(timeline.before(i + 1)).toBeLessThanOrEqual(time);
        },
      ),
    );
  });
});
