import { describe, expect, test } from "vitest";

import {
  admission,
  badSelector,
  counted,
  dns,
  facts,
  keepalive,
  lost,
  message,
  podsOnly,
  policy,
  registry,
} from "../../../test/support/policy-facts.ts";
import { POLICY_CONDITIONS } from "../../api/v1alpha1/conditions.ts";
import { conditionChanges, conditionStatus } from "../status/conditions.ts";
import { policyEvents } from "./events.ts";
import { policyConditions, policyFigures, type PolicyFacts } from "./status.ts";

describe("the figures of a policy", () => {
  test("are what a person reads at a glance", () => {
    expect(policyFigures(facts())).toEqual({
      pods: { matched: 9 },
      instances: {
        live: 1,
        draining: 2,
        zombie: 3,
        suspect: 4,
        contested: 5,
        resurrected: 6,
        foreign: 7,
        unknown: 8,
      },
      evicted: 12,
      lastEviction: "2026-01-01T00:00:05Z",
      registries: "main",
    });
  });

  test("leave out what is not known", () => {
    const figures = policyFigures(facts({ pods: undefined, evicted: undefined }));
    expect(Object.keys(figures)).toEqual(["instances", "registries"]);
    expect(policyFigures(facts({ evicted: { total: 0, last: undefined } }))).not.toHaveProperty("lastEviction");
  });

  test("say how many pods obey a policy that wants something of them, of those that could", () => {
    const pods = counted(9, new Map(), { compliant: 4, drifted: 2, exempt: 3 });
    const wishing = { object: policy({ dns: { ndots: 2 } }), pods };
    expect(policyFigures(facts(wishing)).pods).toEqual({
      matched: 9,
      compliant: 4,
      drifted: 2,
      exempt: 3,
      compliance: "4/6",
    });
    expect(policyFigures(facts({ pods })).pods).toEqual({ matched: 9 });
    expect(policyFigures(facts({ ...wishing, pods: { ...pods, generation: 0 } })).pods).toEqual({ matched: 9 });
  });

  test("have nothing of registrations for a policy about pods only, but what it evicted when it was not", () => {
    const pods = counted(3, new Map(), { compliant: 3 });
    const figures = { pods: { matched: 3, compliant: 3, drifted: 0, exempt: 0, compliance: "3/3" } };
    expect(policyFigures(facts({ ...podsOnly(), pods }))).toEqual(figures);
    const evicted = { total: 2, last: new Date("2026-01-01T00:00:05Z") };
    expect(policyFigures(facts({ ...podsOnly(), pods, evicted }))).toEqual({
      ...figures,
      evicted: 2,
      lastEviction: "2026-01-01T00:00:05Z",
    });
  });

  test("say which registries do not work", () => {
    const registries = [
      registry("main", "Ready"),
      registry("backup", "Down", "Backup"),
      registry("new", "Starting"),
      registry("typo", "NotFound"),
    ];
    expect(policyFigures(facts({ registries })).registries).toBe("main, backup(Down), new(Starting), typo(NotFound)");
  });

  test("keep the registries within the schema's bound", () => {
    const registries = Array.from({ length: 8 }, (_, i) => registry(`${i}`.repeat(350), "NotFound"));
    expect(policyFigures(facts({ registries })).registries).toHaveLength(2_500);
  });
});

describe("the Events of a policy", () => {
  const regarding = { apiVersion: "hygeia.dev/v1alpha1", kind: "RegistrationPolicy", name: "p", uid: "u" };
  const blocked = (reason: string): Partial<PolicyFacts> => ({ blocked: { reason, message: "m" } });
  const table: Record<
    string,
    { before: Partial<PolicyFacts> | undefined; after: Partial<PolicyFacts>; reasons: string[] }
  > = {
    "are none when all is well": { before: undefined, after: {}, reasons: [] },
    "tell that it is not accepted": {
      before: undefined,
      after: { object: badSelector, registries: [] },
      reasons: ["PolicyNotAccepted"],
    },
    "tell that a registry does not exist": {
      before: {},
      after: { registries: [registry("main", "NotFound")] },
      reasons: ["RegistryNotFound"],
    },
    "tell that others took its pods": {
      before: {},
      after: { pods: counted(1, lost(["other", 1])) },
      reasons: ["PolicySuperseded"],
    },
    "tell what holds evictions back": {
      before: {},
      after: blocked("SelfPreservation"),
      reasons: ["EvictionBlockedBySelfPreservation"],
    },
    "tell that evictions go on": { before: blocked("SelfPreservation"), after: {}, reasons: ["EvictionsResumed"] },
    "tell that a keepalive would cut connections": {
      before: keepalive({ preset: "IPVS" }),
      after: keepalive({ preset: "AWSNLB" }),
      reasons: ["KeepaliveNotNested"],
    },
    "tell nothing of a keepalive that fits": {
      before: {},
      after: keepalive({ preset: "IPVS" }),
      reasons: [],
    },
    "tell that names are lost": { before: {}, after: dns({ ndots: 2 }), reasons: ["DNSNotSafe"] },
    "tell it once": { before: dns({ ndots: 2 }), after: dns({ ndots: 2 }), reasons: [] },
    "tell nothing of names that are safe": { before: dns({ ndots: 2 }), after: dns({ ndots: 4 }), reasons: [] },
    "tell nothing of what the policy itself asks for": {
      before: {},
      after: { object: policy({ mode: "Audit" }) },
      reasons: [],
    },
    "tell nothing of a policy that is about pods only from now on": { before: {}, after: podsOnly(), reasons: [] },
    "tell nothing of one that was": { before: podsOnly(), after: {}, reasons: [] },
    "tell nothing of the end of an audit": { before: { object: policy({ mode: "Audit" }) }, after: {}, reasons: [] },
  };
  for (const [sentence, { before, after, reasons }] of Object.entries(table)) {
    test(sentence, () => {
      const said =
        before &&
        policyConditions(facts(before)).map((text) => ({
          ...text,
          status: conditionStatus(POLICY_CONDITIONS, text.type, text.reason),
        }));
      const changes = conditionChanges(said, policyConditions(facts(after)), POLICY_CONDITIONS);
      expect(policyEvents(regarding, changes).map(({ reason }) => reason)).toEqual(reasons);
    });
  }
});

describe("what stays in quarantine where nothing is written", () => {
  for (const [what, fields] of Object.entries({
    Audit: { object: policy({ mode: "Audit" }) },
    Paused: { object: policy({ mode: "Paused" }) },
    "a dry run": { dryRun: true },
  })) {
    test(`is named by condition EvictionBlocked under ${what}`, () => {
      expect(message({ ...fields, quarantined: 2 }, "EvictionBlocked")).toMatch(
        /; 2 entries stay in quarantine meanwhile: see the report$/,
      );
      expect(message({ ...fields, quarantined: 1 }, "EvictionBlocked")).toContain("; 1 entry stays in quarantine");
      expect(message(fields, "EvictionBlocked")).not.toContain("quarantine");
    });
  }
});

test("what could not be compiled, and that nobody is warned, stands in the message", () => {
  const standing = admission({ leftOut: ["spec.keepalive: NodeTooOld: n1"], checkProblem: "it may not be written" });
  expect(message({ ...dns({ ndots: 2 }), admission: standing }, "AppliedToNewPods")).toBe(
    "MutatingAdmissionPolicy hygeia-p changes new pods; spec.keepalive: NodeTooOld: n1; nobody is warned of pods that escape: it may not be written",
  );
});
