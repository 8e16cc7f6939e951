import { describe, expect, test } from "vitest";

import { POLICY_CONDITIONS } from "../../api/v1alpha1/conditions.ts";
import { conditionChanges, conditionStatus } from "../status/conditions.ts";
import type { AdmissionStanding } from "../admission/standing.ts";
import type { InstanceCounts } from "../types.ts";
import type { ComplianceCount } from "./compliance-count.ts";
import { projectPolicy } from "./compile.ts";
import { policyEvents } from "./events.ts";
import type { RegistryStanding } from "./standing.ts";
import { policyConditions, policyFigures, type PolicyFacts } from "./status.ts";

const counts: InstanceCounts = {
  Live: 1,
  Draining: 2,
  Zombie: 3,
  Suspect: 4,
  Contested: 5,
  Resurrected: 6,
  Foreign: 7,
  Unknown: 8,
};

function policy(spec: Record<string, unknown> = {}) {
  return projectPolicy({
    metadata: { name: "p", uid: "u", resourceVersion: "1", generation: 1, creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { mode: "Enforce", registration: { registries: [{ name: "main" }] }, ...spec },
  });
}

function registry(name: string, state: RegistryStanding["state"], role: RegistryStanding["role"] = "Primary") {
  return { name, role, state, message: `it is ${state}` };
}

function counted(matched: number, lost: ReadonlyMap<string, number>, compliance: Partial<ComplianceCount> = {}) {
  const none: ComplianceCount = { compliant: 0, drifted: 0, exempt: 0, unknown: 0, findings: [] };
  return { matched, lost, generation: 1, compliance: { ...none, ...compliance } };
}

function facts(part: Partial<PolicyFacts> = {}): PolicyFacts {
  return {
    object: policy(),
    registries: [registry("main", "Ready")],
    clusterProblem: undefined,
    pods: counted(9, new Map()),
    instances: counts,
    blocked: undefined,
    quarantined: 0,
    shortestTtlMs: undefined,
    evicted: { total: 12, last: new Date("2026-01-01T00:00:05.900Z") },
    podsOnly: new Set(),
    rollout: undefined,
    dryRun: false,
    clusterDomain: "cluster.local",
    admission: admission(),
    ...part,
  };
}

function admission(part: Partial<AdmissionStanding> = {}): AdmissionStanding {
  return {
    way: "Policy",
    generation: 1,
    changedAt: 0,
    leftOut: [],
    isTooDeep: false,
    problem: undefined,
    checkProblem: undefined,
    ...part,
  };
}

function brief(part: Partial<PolicyFacts>): Record<string, string> {
  return Object.fromEntries(
    policyConditions(facts(part)).map(({ type, reason }) => [
      type,
      `${conditionStatus(POLICY_CONDITIONS, type, reason)} ${reason}`,
    ]),
  );
}

function message(part: Partial<PolicyFacts>, type: string): string {
  return policyConditions(facts(part)).find((condition) => condition.type === type)?.message ?? "";
}

/** A policy that asks for a keepalive of 300s and 30s through one path. */
function keepalive(path: object, fields: Record<string, unknown> = {}): Partial<PolicyFacts> {
  const paths = [{ name: "hop", ...path }];
  return { object: policy({ keepalive: { time: "300s", interval: "30s", probes: 5, paths }, ...fields }) };
}

function dns(fields: object): Partial<PolicyFacts> {
  return { object: policy({ dns: fields }) };
}

/** A policy without spec.registration. */
function podsOnly(fields: Record<string, unknown> = {}): Pick<PolicyFacts, "object" | "registries" | "evicted"> {
  const object = policy({ registration: undefined, dns: { ndots: 2, libc: "Glibc" }, ...fields });
  return { object, registries: [], evicted: { total: 0, last: undefined } };
}

const badSelector = policy({ match: { podSelector: { matchLabels: { "a..b/x": "y" } } } });
const lost = (...names: [string, number][]) => new Map(names);

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

describe("the conditions of a policy", () => {
  const table: Record<string, { facts: Partial<PolicyFacts>; conditions: Record<string, string> }> = {
    "are all well": {
      facts: {},
      conditions: {
        Ready: "True Ready",
        Accepted: "True Accepted",
        EvictionBlocked: "False NotBlocked",
        Superseded: "False NotSuperseded",
        PodsCompliant: "True NothingWanted",
        AppliedToNewPods: "True NothingWanted",
        KeepaliveNested: "True NotConfigured",
        DNSSafe: "True NotConfigured",
      },
    },
    "say that a selector is bad": {
      facts: { object: badSelector, registries: [] },
      conditions: {
        Ready: "False NotAccepted",
        Accepted: "False InvalidSelector",
        EvictionBlocked: "True NotAccepted",
        Superseded: "False NotSuperseded",
        PodsCompliant: "Unknown NotAccepted",
        AppliedToNewPods: "Unknown NotAccepted",
        KeepaliveNested: "Unknown NotAccepted",
        DNSSafe: "Unknown NotAccepted",
      },
    },
    "say that all pods obey": {
      facts: { ...dns({ ndots: 2, libc: "Glibc" }), pods: counted(9, new Map(), { compliant: 9 }) },
      conditions: { PodsCompliant: "True AllCompliant" },
    },
    "say that pods drifted": {
      facts: { ...dns({ ndots: 2, libc: "Glibc" }), pods: counted(9, new Map(), { compliant: 8, drifted: 1 }) },
      conditions: { PodsCompliant: "False PodsDrifted", Ready: "True Ready" },
    },
    "can not say so of pods that were judged by an earlier generation": {
      facts: { ...dns({ ndots: 2 }), pods: { ...counted(9, new Map(), { drifted: 9 }), generation: 0 } },
      conditions: { PodsCompliant: "Unknown NotJudgedYet" },
    },
    "can not say so while a pod is not judged": {
      facts: { ...dns({ ndots: 2 }), pods: counted(9, new Map(), { compliant: 8, unknown: 1 }) },
      conditions: { PodsCompliant: "Unknown NotJudgedYet" },
    },
    "can not say so before pods were counted": {
      facts: { ...dns({ ndots: 2 }), pods: undefined },
      conditions: { PodsCompliant: "Unknown NotJudgedYet" },
    },
    "do not say so of a policy that is paused": {
      facts: { object: policy({ mode: "Paused", dns: { ndots: 2 } }), pods: counted(9, new Map(), { drifted: 9 }) },
      conditions: { PodsCompliant: "Unknown Paused" },
    },
    "say that the webhook changes new pods": {
      facts: { ...dns({ ndots: 2 }), admission: admission({ way: "Webhook" }) },
      conditions: { AppliedToNewPods: "True Webhook" },
    },
    "say that the API server changes new pods": {
      facts: dns({ ndots: 2 }),
      conditions: { AppliedToNewPods: "True AdmissionPolicy" },
    },
    "say that a part is left out for all pods": {
      facts: { ...dns({ ndots: 2 }), admission: admission({ leftOut: ["spec.keepalive: NodeTooOld: n1"] }) },
      conditions: { AppliedToNewPods: "True PartlyLeftOut" },
    },
    "say that it is not known how new pods are changed": {
      facts: { ...dns({ ndots: 2 }), admission: undefined },
      conditions: { AppliedToNewPods: "Unknown NotKnownYet" },
    },
    "say that new pods are changed in no way": {
      facts: { ...dns({ ndots: 2 }), admission: admission({ way: "None" }) },
      conditions: { AppliedToNewPods: "False NoWay" },
    },
    "say that the API server serves no such kind": {
      facts: { ...dns({ ndots: 2 }), admission: admission({ way: "NotServed" }) },
      conditions: { AppliedToNewPods: "False NotServed" },
    },
    "say that it may not be written": {
      facts: { ...dns({ ndots: 2 }), admission: admission({ way: "NotAllowed" }) },
      conditions: { AppliedToNewPods: "False NotWritten" },
    },
    "say that it could not be written": {
      facts: { ...dns({ ndots: 2 }), admission: admission({ problem: "Invalid: too large" }) },
      conditions: { AppliedToNewPods: "False NotWritten" },
    },
    "say that too many policies come before it": {
      facts: { ...dns({ ndots: 2 }), admission: admission({ isTooDeep: true }) },
      conditions: { AppliedToNewPods: "False TooManyPolicies" },
    },
    "say that a policy in mode Audit changes no pod": {
      facts: { object: policy({ mode: "Audit", dns: { ndots: 2 } }) },
      conditions: { AppliedToNewPods: "False NotEnforced" },
    },
    "say that a dry run changes no pod": {
      facts: { ...dns({ ndots: 2 }), dryRun: true },
      conditions: { AppliedToNewPods: "False NotEnforced" },
    },
    "say that the keepalive fits": {
      facts: keepalive({ preset: "IPVS" }),
      conditions: { KeepaliveNested: "True Nested", Ready: "True Ready" },
    },
    "say that the keepalive fits with a narrow margin": {
      facts: keepalive({ idleTimeout: "400s" }),
      conditions: { KeepaliveNested: "True NestedWithWarnings" },
    },
    "say that a dead peer is found out late": {
      facts: keepalive(
        { preset: "IPVS" },
        { registration: { registries: [{ name: "main" }], zombies: { silentFor: "449s" } } },
      ),
      conditions: { KeepaliveNested: "True NestedWithWarnings" },
    },
    "say that a dead peer is found out in time": {
      facts: keepalive(
        { preset: "IPVS" },
        { registration: { registries: [{ name: "main" }], zombies: { silentFor: "450s" } } },
      ),
      conditions: { KeepaliveNested: "True Nested" },
    },
    "say that a dead peer is found out later than a registry forgets one": {
      facts: { ...keepalive({ preset: "IPVS" }), shortestTtlMs: 449_000 },
      conditions: { KeepaliveNested: "True NestedWithWarnings" },
    },
    "say that a dead peer is found out before a registry forgets one": {
      facts: { ...keepalive({ preset: "IPVS" }), shortestTtlMs: 450_000 },
      conditions: { KeepaliveNested: "True Nested" },
    },
    "go by the silence that the policy asks for, and not by a TTL": {
      facts: {
        ...keepalive(
          { preset: "IPVS" },
          { registration: { registries: [{ name: "main" }], zombies: { silentFor: "450s" } } },
        ),
        shortestTtlMs: 10_000,
      },
      conditions: { KeepaliveNested: "True Nested" },
    },
    "say that the keepalive would cut connections": {
      facts: keepalive({ preset: "AWSNLB" }),
      conditions: { KeepaliveNested: "False CutsConnections", Ready: "True Ready" },
    },
    "can not say whether a keepalive fits into nothing": {
      facts: { object: policy({ keepalive: { time: "300s", interval: "30s", probes: 5 } }) },
      conditions: { KeepaliveNested: "Unknown NoPaths" },
    },
    "say that names are safe": { facts: dns({ ndots: 2, libc: "Glibc" }), conditions: { DNSSafe: "True Safe" } },
    "say that rare names are not": { facts: dns({ ndots: 3 }), conditions: { DNSSafe: "True SafeWithWarnings" } },
    "say that names are lost": {
      facts: dns({ ndots: 2 }),
      conditions: { DNSSafe: "False NamesLost", Ready: "True Ready" },
    },
    "say that musl would not search": {
      facts: dns({ searches: ["d".repeat(200)] }),
      conditions: { DNSSafe: "False MuslSearchIgnored" },
    },
    "say that a kubelet would cut": {
      facts: dns({ searches: Array.from({ length: 30 }, (_, i) => `d${i}`), libc: "Glibc" }),
      conditions: { DNSSafe: "False SearchesTruncated" },
    },
    "say that name servers race": {
      facts: dns({ nameservers: ["192.0.2.1"] }),
      conditions: { DNSSafe: "False NameserversRaced" },
    },
    "say that names leave the cluster": {
      facts: dns({ ndots: 1, libc: "Glibc" }),
      conditions: { DNSSafe: "False AskedUpstreamFirst" },
    },
    "say that a registry does not exist, of a policy that is in force": {
      facts: { registries: [registry("main", "Ready"), registry("typo", "NotFound", "Backup")] },
      conditions: { Ready: "False RegistryNotFound", Accepted: "True Accepted" },
    },
    "say that a primary registry is down": {
      facts: { registries: [registry("main", "Down")] },
      conditions: { Ready: "False RegistryNotReady" },
    },
    "stay well while a backup is down": {
      facts: { registries: [registry("main", "Ready"), registry("backup", "Down", "Backup")] },
      conditions: { Ready: "True Ready" },
    },
    "are not known while a primary registry starts": {
      facts: { registries: [registry("main", "Starting")] },
      conditions: { Ready: "Unknown Starting" },
    },
    "are not known before pods were counted": { facts: { pods: undefined }, conditions: { Ready: "Unknown Starting" } },
    "say that the cluster is not known": {
      facts: { clusterProblem: { reason: "Forbidden", message: "pods" } },
      conditions: { Ready: "False ClusterViewNotFresh", EvictionBlocked: "True ViewNotFresh" },
    },
    "say that it is paused": {
      facts: { object: policy({ mode: "Paused" }) },
      conditions: { Ready: "False Paused", EvictionBlocked: "True Paused" },
    },
    "say that it only audits, and that is well": {
      facts: { object: policy({ mode: "Audit" }) },
      conditions: { Ready: "True Ready", EvictionBlocked: "True Audit" },
    },
    "say that the operator only audits": { facts: { dryRun: true }, conditions: { EvictionBlocked: "True Audit" } },
    "say that it only reports": {
      facts: { object: policy({ registration: { registries: [{ name: "main" }], zombies: { action: "Report" } } }) },
      conditions: { EvictionBlocked: "True ReportOnly" },
    },
    "say what holds evictions back": {
      facts: { blocked: { reason: "SelfPreservation", message: "m" } },
      conditions: { Ready: "True Ready", EvictionBlocked: "True SelfPreservation" },
    },
    "say that a view holds evictions back, whatever its problem is called": {
      facts: { blocked: { reason: "RegistryViewNotFresh", message: "m" } },
      conditions: { EvictionBlocked: "True ViewNotFresh" },
    },
    "say that a policy is about pods only, and that is well": {
      facts: { ...podsOnly(), pods: counted(9, new Map(), { compliant: 9 }) },
      conditions: {
        Ready: "True Ready",
        Accepted: "True Accepted",
        EvictionBlocked: "True NotConfigured",
        PodsCompliant: "True AllCompliant",
      },
    },
    "say so of one that is paused, and whatever holds others back": {
      facts: { ...podsOnly({ mode: "Paused" }), dryRun: true, blocked: { reason: "Budget", message: "m" } },
      conditions: { Ready: "False Paused", EvictionBlocked: "True NotConfigured" },
    },
    "say that others have some of its pods": {
      facts: { pods: counted(9, lost(["other", 1])) },
      conditions: { Ready: "True Ready", Superseded: "True PartlySuperseded" },
    },
    "say that others have all of its pods": {
      facts: { pods: counted(0, lost(["other", 1])) },
      conditions: { Ready: "False Superseded", Superseded: "True WhollySuperseded" },
    },
    "are well where there is no pod to be in charge of": {
      facts: { pods: counted(0, lost()) },
      conditions: { Ready: "True Ready", Superseded: "False NotSuperseded" },
    },
  };
  for (const [sentence, { facts: part, conditions }] of Object.entries(table)) {
    test(sentence, () => expect(brief(part)).toMatchObject(conditions));
  }

  test("name policies about pods only that leave registrations unjudged", () => {
    const pods = counted(3, lost(["dns", 2], ["other", 5], ["sysctls", 1]));
    const said = (names: string[], part: Partial<PolicyFacts> = {}): string =>
      message({ pods, podsOnly: new Set(names), ...part }, "Superseded");
    expect(said(["dns"])).toMatch(/; "dns" has no spec\.registration, so what 2 pods register is judged by nobody$/);
    expect(said(["dns", "sysctls", "elsewhere"])).toMatch(/; 2 of them have no spec\.registration, so what 3 pods/);
    expect(said([])).not.toContain("spec.registration");
    expect(said(["dns"], { object: podsOnly().object })).not.toContain("spec.registration");
  });

  test("tell of quarantines that a policy about pods only will not end", () => {
    const said = (mode: string, dryRun = false): string =>
      message({ ...podsOnly({ mode }), quarantined: 1, dryRun }, "EvictionBlocked");
    expect(said("Enforce")).toMatch(/is judged by nobody$/);
    expect(said("Audit")).toMatch(/; 1 entry stays in quarantine meanwhile: see the report$/);
    expect(said("Enforce", true)).toContain("1 entry stays");
  });

  test("name the field of a bad selector", () => {
    const text = 'spec.match.podSelector.matchLabels[a..b/x]: "a..b/x" is not a label key';
    expect(message({ object: badSelector }, "Accepted")).toBe(text);
    expect(message({ object: badSelector }, "Ready")).toBe(`InvalidSelector: ${text}`);
  });

  test("name the field of an unknown registry and what to do", () => {
    const registries = [registry("main", "Ready"), registry("typo", "NotFound")];
    expect(message({ registries }, "Ready")).toBe(
      'spec.registration.registries[1].name: there is no Registry "typo": create it, or correct the name',
    );
  });

  test("name the pods that drifted and what they have, and why others are exempt", () => {
    const skipped = { part: "keepalive", reason: "HostNetwork", message: "it is on the host network" } as const;
    const finding = { namespace: "shop", workload: "shop/Deployment/web" };
    const findings: ComplianceCount["findings"] = [
      {
        ...finding,
        pods: 2,
        example: "web-1",
        compliance: {
          state: "Drifted",
          differences: [
            { field: "spec.dnsConfig.options[ndots]", have: "5", want: "2" },
            { field: "spec.dnsConfig.searches", have: undefined, want: "a.example" },
          ],
          skipped: [],
        },
      },
      {
        ...finding,
        pods: 1,
        example: "host",
        compliance: { state: "Exempt", differences: [], skipped: [skipped] },
      },
    ];
    const pods = counted(6, new Map(), { compliant: 3, drifted: 2, exempt: 1, findings });
    expect(message({ ...dns({ ndots: 2 }), pods }, "PodsCompliant")).toBe(
      "2 pods of 5 differ: shop/web-1 and 1 like it: spec.dnsConfig.options[ndots] is 5, not 2, " +
        "spec.dnsConfig.searches is not a.example; 1 pod exempt (keepalive: HostNetwork)",
    );
  });

  test("give the numbers of a keepalive", () => {
    expect(message(keepalive({ preset: "IPVS" }), "KeepaliveNested")).toBe(
      "a dead peer is found out after 450s; 1000 idle sockets send 3.3 probes a second; effective only for sockets with " +
        "SO_KEEPALIVE and no times of their own; path hop (IPVS, idle timeout 900s): time + 2 x interval = 360s, which " +
        "leaves 540s",
    );
    const noPaths = policy({ keepalive: { time: "300s", interval: "30s", probes: 5 } });
    expect(message({ object: noPaths, shortestTtlMs: 15_000 }, "KeepaliveNested")).toMatch(
      /^spec\.keepalive\.paths is absent: .*= 450s, later than the 15s of silence \(the shortest TTL of the policy's/,
    );
    expect(message(keepalive({ preset: "AWSNLB" }), "KeepaliveNested")).toMatch(
      /^the sysctls are not set; path hop \(AWSNLB, idle timeout 350s\): time \+ 3 x interval = .* = 390s is not below 350s/,
    );
  });

  test("give the numbers of lookups", () => {
    expect(message(dns({ ndots: 2, libc: "Glibc" }), "DNSSafe")).toBe(
      "queries for a lookup with glibc, before -> after: api.other.svc 6 -> 8, db-0.db.other 4 -> 6, db-0.db.other.svc " +
        "6 -> 8, api.other.svc.cluster.local 8 -> 2, s3.us-east-1.amazonaws.com 8 -> 2",
    );
    expect(message(dns({ options: [{ name: "use-vc" }], libc: "Musl" }), "DNSSafe")).toBe(
      "lookups cost as many queries as before with musl",
    );
    expect(message(dns({ ndots: 2, libc: "Musl" }), "DNSSafe")).toMatch(/^no longer found with musl: .*; queries for/);
  });

  test("count lookups in the cluster's own domain", () => {
    const said = message({ ...dns({ ndots: 3, libc: "Glibc" }), clusterDomain: "k8s" }, "DNSSafe");
    expect(said).toContain("api.other.svc.k8s 8 -> 2");
  });

  test("name the winning policies, the one with most pods first, and count the rest", () => {
    const seven = lost(["a", 1], ["b", 7], ["c", 3], ["d", 3], ["e", 2], ["f", 1], ["g", 1]);
    expect(message({ pods: counted(2, seven) }, "Superseded")).toBe(
      'of some pods that spec.match selects others are in charge, by a higher spec.priority or, where it is equal, by age: "b" (7 pods), "c" (3 pods), "d" (3 pods), "e" (2 pods), "a" (1 pod) and 2 more',
    );
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
