import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { SeededRandom } from "../../test/support/simulator/random.ts";
import { spread } from "./spread.ts";

const items = fc.array(fc.record({ group: fc.constantFrom("a", "b", "c", "d"), id: fc.nat() }), { maxLength: 40 });

describe("spread", () => {
  it("keeps every item once", () => {
    fc.assert(
      fc.property(items, fc.integer(), (given, seed) => {
        const order = spread(given, ({ group }) => group, new SeededRandom(seed).next);
        expect(new Set(order)).toEqual(new Set(given));
        expect(order).toHaveLength(given.length);
      }),
    );
  });

  it("takes no group again before each that still has items had its turn", () => {
    fc.assert(
      fc.property(items, fc.integer(), (given, seed) => {
        const order = spread(given, ({ group }) => group, new SeededRandom(seed).next);
        const sizes = Map.groupBy(given, ({ group }) => group);
        const taken = new Map<string, number>();
        for (const { group } of order) {
          const count = taken.get(group) ?? 0;
          for (const [other, { length }] of sizes) {
            expect(taken.get(other) ?? 0).toBeGreaterThanOrEqual(Math.min(count, length));
          }
          taken.set(group, count + 1);
        }
      }),
    );
  });

  it("puts any item of any group first, by chance", () => {
    const given = ["a1", "a2", "b1", "c1", "c2", "c3"];
    const random = new SeededRandom(1);
    const first = new Set(Array.from({ length: 400 }, () => spread(given, (id) => id.charAt(0), random.next)[0]));
    expect([...first].toSorted()).toEqual(given);
  });
});
