import fc from "fast-check";
import { expect, test } from "vitest";

import { DelayHeap } from "./workqueue-delays.ts";

test("keys come out by their earliest time, then in the order they first came", () => {
  const addition = fc.record({ key: fc.nat(30), readyAt: fc.nat(20) });
  fc.assert(
    fc.property(fc.array(fc.array(addition, { maxLength: 40 }), { maxLength: 4 }), fc.nat(20), (rounds, until) => {
      const heap = new DelayHeap<number, number>();
      let expected: { key: number; readyAt: number; count: number }[] = [];
      for (const round of rounds) {
        for (const { key, readyAt } of round) {
          heap.add(key, readyAt, 1, (old, added) => old + added);
          const known = expected.find((entry) => entry.key === key);
          if (known === undefined) expected.push({ key, readyAt, count: 1 });
          else {
            known.readyAt = Math.min(known.readyAt, readyAt);
            known.count += 1;
          }
        }
        const due = expected.filter((entry) => entry.readyAt <= until).sort((a, b) => a.readyAt - b.readyAt);
        expected = expected.filter((entry) => entry.readyAt > until);
        for (const { key, count } of due) expect(heap.take(until)).toMatchObject({ key, tag: count });
        expect(heap.take(until)).toBeUndefined();
        expect(heap.size).toBe(expected.length);
        const first = expected.length === 0 ? undefined : Math.min(...expected.map((entry) => entry.readyAt));
        expect(heap.firstReadyAt).toBe(first);
      }
    }),
    { numRuns: 1_000 },
  );
});
