import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { EvictionBudgets, type Grant } from "./budget.ts";
import type { BudgetRules } from "./types.ts";

const rules: BudgetRules = { evictionsPerSecond: 2, burst: 3, unexplainedPercentPerMinute: 15 };
const T = 5_000_000;

interface Request {
  readonly now?: number;
  readonly explained?: boolean;
  readonly instances?: number;
  readonly policy?: string;
  readonly registry?: string;
  readonly rules?: BudgetRules;
}

function take(budgets: EvictionBudgets, request: Request = {}): Grant {
  return budgets.take({ policy: "p", registry: "r", rules, explained: true, instances: 100, now: T, ...request });
}

/** How many of `count` requests are granted. */
function granted(budgets: EvictionBudgets, count: number, request: Request = {}): number {
  return Array.from({ length: count }, () => take(budgets, request)).filter((grant) => grant.granted).length;
}

describe("the token bucket", () => {
  it("grants its whole size at once after a quiet time", () => {
    expect(granted(new EvictionBudgets(), 10)).toBe(3);
  });

  it("refills by the time that passed, and says when it will have", () => {
    const budgets = new EvictionBudgets();
    granted(budgets, 3);
    expect(take(budgets)).toEqual({ granted: false, blockedBy: "Budget", retryAfterMs: 500 });
    expect(take(budgets, { now: T + 250 })).toEqual({ granted: false, blockedBy: "Budget", retryAfterMs: 250 });
    expect(take(budgets, { now: T + 500 })).toEqual({ granted: true });
  });

  it("never holds more than its size", () => {
    const budgets = new EvictionBudgets();
    take(budgets);
    expect(budgets.left("p", "r", rules, T + 3_600_000)).toBe(3);
  });

  it("follows a smaller size at once", () => {
    const budgets = new EvictionBudgets();
    take(budgets);
    expect(granted(budgets, 5, { rules: { ...rules, burst: 1 } })).toBe(1);
  });

  it("is another one for each policy and each registry", () => {
    const budgets = new EvictionBudgets();
    granted(budgets, 3);
    expect(granted(budgets, 5, { policy: "q" })).toBe(3);
    expect(granted(budgets, 5, { registry: "s" })).toBe(3);
  });

  it("is full again for a policy that was deleted and made anew", () => {
    const budgets = new EvictionBudgets();
    granted(budgets, 3);
    granted(budgets, 3, { policy: "p2" });
    budgets.forgetPolicy("p");
    expect([budgets.left("p", "r", rules, T), budgets.left("p2", "r", rules, T)]).toEqual([3, 0]);
  });

  it("never grants more than its size and its rate allow, in any run of requests", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 3_000 }), { maxLength: 60 }), (pauses) => {
        const budgets = new EvictionBudgets();
        let now = T;
        let count = 0;
        for (const pause of pauses) {
          now += pause;
          if (take(budgets, { now }).granted) count += 1;
        }
        expect(count).toBeLessThanOrEqual(rules.burst + ((now - T) / 1000) * rules.evictionsPerSecond);
      }),
    );
  });
});

describe("the share of unexplained removals", () => {
  const plenty = { evictionsPerSecond: 1_000, burst: 1_000, unexplainedPercentPerMinute: 15 };
  const unexplained = { explained: false, rules: plenty };

  it("is a percentage of the registry's instances in a minute", () => {
    expect(granted(new EvictionBudgets(), 40, unexplained)).toBe(15);
  });

  it("is rounded down, and at least one", () => {
    expect(granted(new EvictionBudgets(), 40, { ...unexplained, instances: 13 })).toBe(1);
    expect(granted(new EvictionBudgets(), 40, { ...unexplained, instances: 19 })).toBe(2);
    expect(granted(new EvictionBudgets(), 40, { ...unexplained, instances: 3 })).toBe(1);
  });

  it("slides: each removal makes room a minute after it", () => {
    const budgets = new EvictionBudgets();
    const few = { ...unexplained, instances: 20 };
    expect(granted(budgets, 2, few)).toBe(2);
    expect(granted(budgets, 1, { ...few, now: T + 20_000 })).toBe(1);
    const refusal = { granted: false, blockedBy: "UnexplainedBudget" };
    expect(take(budgets, { ...few, now: T + 59_999 })).toEqual({ ...refusal, retryAfterMs: 1 });
    expect(granted(budgets, 5, { ...few, now: T + 60_000 })).toBe(2);
    expect(take(budgets, { ...few, now: T + 60_000 })).toEqual({ ...refusal, retryAfterMs: 20_000 });
  });

  it("is one for all policies of a registry", () => {
    const budgets = new EvictionBudgets();
    granted(budgets, 40, unexplained);
    expect(granted(budgets, 1, { ...unexplained, policy: "q" })).toBe(0);
    expect(granted(budgets, 1, { ...unexplained, registry: "s" })).toBe(1);
  });

  it("is no limit for explained ones, and they do not count in it", () => {
    const budgets = new EvictionBudgets();
    expect(granted(budgets, 40, { rules: plenty })).toBe(40);
    expect(granted(budgets, 40, unexplained)).toBe(15);
    expect(granted(budgets, 1, { rules: plenty })).toBe(1);
  });

  it("takes nothing when the token bucket refuses", () => {
    const budgets = new EvictionBudgets();
    const empty = { ...rules, burst: 0 };
    expect(take(budgets, { explained: false, rules: empty, instances: 1 })).toMatchObject({ blockedBy: "Budget" });
    expect(take(budgets, { ...unexplained, instances: 1, policy: "q" }).granted).toBe(true);
  });
});
