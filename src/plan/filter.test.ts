import { describe, expect, it } from "vitest";

import { recordOf } from "../../test/support/judging.ts";
import type { InstanceRecord } from "../registry/port.ts";
import type { EvidenceClass, Judgement, VerdictKind } from "../verdict/types.ts";
import { EvictionBudgets } from "./budget.ts";
import { plan, planAll } from "./filter.ts";
import type { Decision, PlanContext, PlanRules } from "./types.ts";

const rules: PlanRules = {
  mode: "Enforce",
  action: "Evict",
  terminating: "Wait",
  minInstances: 0,
  budget: { evictionsPerSecond: 10, burst: 100, unexplainedPercentPerMinute: 15 },
};

type Overrides = Partial<Omit<PlanContext, "rules">> & { readonly rules?: Partial<PlanRules> };

function contextOf(overrides: Overrides = {}): PlanContext {
  return {
    deleting: false,
    canQuarantine: false,
    quarantineHasRoom: true,
    liveInService: 0,
    instances: 100,
    selfPreservation: { active: false },
    budgets: new EvictionBudgets(),
    audited: false,
    now: 1_000_000,
    ...overrides,
    rules: { ...rules, ...overrides.rules },
  };
}

function judgementOf(
  kind: VerdictKind,
  evidenceClass: EvidenceClass | undefined,
  record: Partial<InstanceRecord> = {},
  policy: string | undefined = "p",
): Judgement {
  const evidence = evidenceClass && {
    class: evidenceClass,
    podUid: "u",
    podNamespace: "n",
    podName: "a",
    since: 0,
    needsConfirmRead: true,
  };
  return {
    record: recordOf({ record }),
    verdict: {
      kind,
      reason: "R",
      message: "m",
      evidence,
      reviewAfterMs: undefined,
      needsLifeReading: false,
      needsCompleteList: false,
    },
    policy,
  };
}

const removal = { effective: "No", reason: "GrpcClient", message: "m" } as const;
const canQuarantine = true;
const confirmed = judgementOf("Zombie", "Confirmed");
const absent = judgementOf("Zombie", "Absent");

function answer(decision: Decision): string {
  return decision.act === "None" ? decision.blockedBy : decision.act;
}

describe("one judgement", () => {
  const nothingLeft = { evictionsPerSecond: 1, burst: 0, unexplainedPercentPerMinute: 15 };
  const active = { active: true, reason: "PodsVanished", message: "m" } as const;
  const table: Readonly<
    Record<string, { readonly judgement: Judgement; readonly context?: Overrides; readonly is: string }>
  > = {
    "a zombie goes": { judgement: confirmed, is: "Evict" },
    "an unexplained zombie goes": { judgement: absent, is: "Evict" },
    "a suspect stays": { judgement: judgementOf("Suspect", undefined), is: "NotEvictable" },
    "a suspect stays whatever it carries": { judgement: judgementOf("Suspect", "Confirmed"), is: "NotEvictable" },
    "a zombie without evidence stays": { judgement: judgementOf("Zombie", undefined), is: "NotEvictable" },
    "a zombie that no policy is in charge of stays": {
      judgement: { ...confirmed, policy: undefined },
      is: "NotEvictable",
    },
    "a draining instance stays by default": { judgement: judgementOf("Draining", "Terminating"), is: "NotEvictable" },
    "a draining instance goes when the policy drains on termination": {
      judgement: judgementOf("Draining", "Terminating"),
      context: { rules: { terminating: "Evict" } },
      is: "Evict",
    },
    "a draining instance without evidence stays all the same": {
      judgement: judgementOf("Draining", undefined),
      context: { rules: { terminating: "Evict" } },
      is: "NotEvictable",
    },
    "nothing goes while the policy or the registry is being deleted": {
      judgement: confirmed,
      context: { deleting: true, rules: { mode: "Audit" } },
      is: "Deleting",
    },
    "nothing goes in audit": { judgement: confirmed, context: { rules: { mode: "Audit" } }, is: "Audit" },
    "nothing would go when only a report is asked for, and audit says audit": {
      judgement: confirmed,
      context: { rules: { mode: "Audit", action: "Report" } },
      is: "Audit",
    },
    "audit says what would hold it back under Enforce": {
      judgement: confirmed,
      context: { rules: { mode: "Audit", minInstances: 3 } },
      is: "MinInstances",
    },
    "audit says that the budget is used up": {
      judgement: confirmed,
      context: { rules: { mode: "Audit", budget: nothingLeft } },
      is: "Budget",
    },
    "what audit has taken up to the write draws on no budget again": {
      judgement: confirmed,
      context: { audited: true, rules: { mode: "Audit", budget: nothingLeft } },
      is: "Audit",
    },
    "what was audited goes under Enforce": { judgement: confirmed, context: { audited: true }, is: "Evict" },
    "nothing goes while paused": { judgement: confirmed, context: { rules: { mode: "Paused" } }, is: "Paused" },
    "nothing goes when only a report is asked for": {
      judgement: confirmed,
      context: { rules: { action: "Report", minInstances: 3 } },
      is: "ReportOnly",
    },
    "quarantine is another act": {
      judgement: confirmed,
      context: { canQuarantine, rules: { action: "Quarantine" } },
      is: "Quarantine",
    },
    "what is in quarantine is not put there again": {
      judgement: judgementOf("Zombie", "Confirmed", { quarantined: true }),
      context: { canQuarantine, rules: { action: "Quarantine", minInstances: 1 } },
      is: "Quarantined",
    },
    "what is in quarantine because it can not be removed is not put there again": {
      judgement: judgementOf("Zombie", "Confirmed", { quarantined: true, removal }),
      context: { canQuarantine, rules: { minInstances: 1 } },
      is: "Quarantined",
    },
    "what is in quarantine is reported by Audit as any other": {
      judgement: judgementOf("Zombie", "Confirmed", { quarantined: true, removal }),
      context: { canQuarantine, rules: { mode: "Audit" } },
      is: "Audit",
    },
    "what is in quarantine can be evicted": {
      judgement: judgementOf("Zombie", "Confirmed", { quarantined: true }),
      is: "Evict",
    },
    "there is no quarantine in a registry without one": {
      judgement: confirmed,
      context: { rules: { action: "Quarantine" } },
      is: "RemovalNotPossible",
    },
    "the floor holds when fewer live than it asks for": {
      judgement: confirmed,
      context: { liveInService: 1, rules: { minInstances: 2 } },
      is: "MinInstances",
    },
    "the floor is kept when just as many live": {
      judgement: confirmed,
      context: { liveInService: 2, rules: { minInstances: 2 } },
      is: "Evict",
    },
    "the floor is named before a removal that is not possible": {
      judgement: judgementOf("Zombie", "Confirmed", { removal }),
      context: { rules: { minInstances: 1 } },
      is: "MinInstances",
    },
    "what can not be removed is not tried": {
      judgement: judgementOf("Zombie", "Confirmed", { removal }),
      is: "RemovalNotPossible",
    },
    "what perhaps can not be removed is not tried": {
      judgement: judgementOf("Zombie", "Confirmed", {
        removal: { effective: "Unknown", reason: "OtherNode", message: "m" },
      }),
      context: { canQuarantine },
      is: "RemovalNotPossible",
    },
    "what can not be removed is quarantined where the registry can": {
      judgement: judgementOf("Zombie", "Confirmed", { removal }),
      context: { canQuarantine },
      is: "Quarantine",
    },
    "what can be removed is removed where the registry could quarantine as well": {
      judgement: confirmed,
      context: { canQuarantine },
      is: "Evict",
    },
    "a quarantine that a report has no room for is not begun": {
      judgement: judgementOf("Zombie", "Confirmed", { removal }),
      context: { canQuarantine, quarantineHasRoom: false, rules: { budget: nothingLeft } },
      is: "QuarantineLimit",
    },
    "a report without room for quarantines stops no removal": {
      judgement: confirmed,
      context: { canQuarantine, quarantineHasRoom: false },
      is: "Evict",
    },
    "the floor holds for a quarantine": {
      judgement: judgementOf("Zombie", "Confirmed", { removal }),
      context: { canQuarantine, rules: { minInstances: 1 } },
      is: "MinInstances",
    },
    "self-preservation stops the quarantine of the unexplained": {
      judgement: judgementOf("Zombie", "Absent", { removal }),
      context: { canQuarantine, selfPreservation: active },
      is: "SelfPreservation",
    },
    "the budget holds for a quarantine": {
      judgement: judgementOf("Zombie", "Confirmed", { removal }),
      context: { canQuarantine, rules: { budget: nothingLeft } },
      is: "Budget",
    },
    "self-preservation stops the unexplained": {
      judgement: absent,
      context: { selfPreservation: active, rules: { budget: nothingLeft } },
      is: "SelfPreservation",
    },
    "self-preservation stops a death that nobody confirmed": {
      judgement: judgementOf("Zombie", "Unconfirmed"),
      context: { selfPreservation: active },
      is: "SelfPreservation",
    },
    "self-preservation lets a confirmed death through": {
      judgement: confirmed,
      context: { selfPreservation: active },
      is: "Evict",
    },
    "self-preservation lets a reused address through": {
      judgement: judgementOf("Zombie", "Reused"),
      context: { selfPreservation: active },
      is: "Evict",
    },
    "the budget holds for explained deaths as well": {
      judgement: confirmed,
      context: { rules: { budget: nothingLeft } },
      is: "Budget",
    },
  };
  for (const [sentence, { judgement, context, is }] of Object.entries(table)) {
    it(sentence, () => {
      expect(answer(plan(judgement, contextOf(context)))).toBe(is);
    });
  }

  it("draws on a budget only when it goes", () => {
    const budgets = new EvictionBudgets();
    const one = { evictionsPerSecond: 1, burst: 1, unexplainedPercentPerMinute: 15 };
    plan(confirmed, contextOf({ budgets, rules: { action: "Report", budget: one } }));
    plan(absent, contextOf({ budgets, selfPreservation: active, rules: { budget: one } }));
    expect(answer(plan(confirmed, contextOf({ budgets, rules: { budget: one } })))).toBe("Evict");
    expect(plan(confirmed, contextOf({ budgets, rules: { budget: one } }))).toMatchObject({
      blockedBy: "Budget",
      retryAfterMs: 1_000,
    });
  });
});

describe("mode Audit", () => {
  const would = (judgement: Judgement, overrides: Overrides = {}) => {
    const decision = plan(judgement, contextOf({ ...overrides, rules: { mode: "Audit", ...overrides.rules } }));
    return decision.act === "None" ? decision.would : "it acts";
  };

  it("asks for what Enforce would do to be taken up to the write, once", () => {
    expect(would(confirmed)).toBe("Evict");
    expect(would(confirmed, { canQuarantine, rules: { action: "Quarantine" } })).toBe("Quarantine");
    expect(would(confirmed, { audited: true })).toBeUndefined();
  });

  it("asks for nothing that Enforce would not do", () => {
    const active = { active: true, reason: "PodsVanished", message: "m" } as const;
    expect(would(absent, { selfPreservation: active })).toBeUndefined();
    expect(would(confirmed, { rules: { action: "Report" } })).toBeUndefined();
    const there = judgementOf("Zombie", "Confirmed", { quarantined: true });
    expect(would(there, { canQuarantine, rules: { action: "Quarantine" } })).toBeUndefined();
  });
});

describe("many judgements", () => {
  const many = (service: string, count: number, evidenceClass: EvidenceClass): Judgement[] =>
    Array.from({ length: count }, (_, i) => judgementOf("Zombie", evidenceClass, { service, id: `${service}-${i}` }));
  const evicted = (decisions: readonly Decision[]): Decision[] => decisions.filter(({ act }) => act === "Evict");

  it("let the explained go first, in their order", () => {
    const explained = many("cart", 3, "Confirmed");
    const budget = { evictionsPerSecond: 1, burst: 4, unexplainedPercentPerMinute: 100 };
    const context = contextOf({ rules: { budget } });
    const decisions = evicted(
      planAll(
        [...many("orders", 5, "Absent"), ...explained],
        () => context,
        () => 0.5,
      ),
    );
    expect(decisions.map(({ judgement }) => judgement.record.service)).toEqual(["cart", "cart", "cart", "orders"]);
    expect(decisions.slice(0, 3).map(({ judgement }) => judgement)).toEqual(explained);
  });

  it("take from each service before they take twice from one", () => {
    const context = contextOf({ rules: { budget: { ...rules.budget, unexplainedPercentPerMinute: 3 } } });
    const all = [...many("a", 10, "Absent"), ...many("b", 1, "Absent"), ...many("c", 10, "Absent")];
    const services = evicted(
      planAll(
        all,
        () => context,
        () => 0.3,
      ),
    ).map(({ judgement }) => judgement.record.service);
    expect(services.toSorted()).toEqual(["a", "b", "c"]);
  });

  it("answer every one of them", () => {
    const all = [...many("a", 4, "Absent"), ...many("b", 3, "Confirmed"), judgementOf("Live", undefined)];
    const ids = planAll(all, () => contextOf(), Math.random).map(({ judgement }) => judgement.record.id);
    expect(ids.toSorted()).toEqual(all.map(({ record }) => record.id).toSorted());
  });
});
