import { describe, expect, test } from "vitest";

import {
  admission,
  badSelector,
  brief,
  counted,
  dns,
  keepalive,
  lost,
  message,
  podsOnly,
  policy,
  registry,
} from "../../../test/support/policy-facts.ts";
import type { ComplianceCount } from "./compliance-count.ts";
import type { PolicyFacts } from "./status.ts";

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
