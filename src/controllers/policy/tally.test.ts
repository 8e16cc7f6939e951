import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { EvictionTotals, type Tally } from "./tally.ts";

const at = (second: number): Date => new Date(Date.UTC(2026, 0, 1, 0, 0, second));
const tally = (total: number, second?: number): Tally => ({
  total,
  last: second === undefined ? undefined : at(second),
});

describe("the total of evictions", () => {
  test("is not known before the status was read", () => {
    const totals = new EvictionTotals();
    totals.open("u", tally(0));
    expect(totals.total("u", tally(3, 1))).toBeUndefined();
  });

  test("is what earlier leaders did and what we did", () => {
    const totals = new EvictionTotals();
    totals.open("u", tally(0));
    totals.begin("u", tally(40, 5));
    expect(totals.total("u", tally(0))).toEqual(tally(40, 5));
    expect(totals.total("u", tally(2, 9))).toEqual(tally(42, 9));
  });

  test("has what was evicted before the status was read", () => {
    const totals = new EvictionTotals();
    totals.open("u", tally(0));
    totals.begin("u", tally(40));
    expect(totals.total("u", tally(7, 1))?.total).toBe(47);
  });

  test("does not count twice what we wrote while we led before, and loses nothing that was not written", () => {
    const totals = new EvictionTotals();
    totals.open("u", tally(0));
    totals.begin("u", tally(10));
    totals.written("u", tally(5)); // the status says 15
    totals.forgetStored();
    expect(totals.total("u", tally(6, 1))).toBeUndefined();
    totals.begin("u", tally(20)); // another leader added 5; our sixth never got written
    expect(totals.total("u", tally(6, 1))?.total).toBe(21);
  });

  test("begins at zero for a policy created again under a name we evicted for", () => {
    const totals = new EvictionTotals();
    totals.open("one", tally(0));
    totals.begin("one", tally(0));
    totals.close("one");
    totals.open("two", tally(8, 3));
    totals.begin("two", tally(0));
    expect(totals.total("two", tally(8, 3))).toEqual(tally(0));
    expect(totals.total("two", tally(9, 4))).toEqual(tally(1, 4));
  });

  test("never goes down and ends right, over any history of two replicas that write in turns and lose no write", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("evict" as const), count: fc.integer({ min: 1, max: 5 }) }),
      fc.record({ kind: fc.constant("write" as const) }),
      fc.record({ kind: fc.constant("handOver" as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const replicas = [0, 1].map(() => ({ totals: new EvictionTotals(), own: 0 }));
        for (const { totals } of replicas) totals.open("u", tally(0));
        let stored = 0;
        let done = 0;
        let leader = 0;
        const current = () => {
          const replica = replicas[leader];
          if (replica === undefined) throw new Error("no such replica");
          return replica;
        };
        const write = (): void => {
          const { totals, own } = current();
          const total = totals.total("u", tally(own))?.total ?? Number.NaN;
          expect(total).toBeGreaterThanOrEqual(stored);
          stored = total;
          totals.written("u", tally(own));
        };
        const lead = (): void => {
          current().totals.forgetStored();
          current().totals.begin("u", tally(stored));
        };
        lead();
        for (const each of steps) {
          if (each.kind === "evict") {
            current().own += each.count;
            done += each.count;
          } else if (each.kind === "write") write();
          else {
            write();
            leader = 1 - leader;
            lead();
          }
        }
        write();
        expect(stored).toBe(done);
      }),
    );
  });
});
