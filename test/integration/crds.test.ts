import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { readCrds, type Schema } from "../../scripts/generate-schema.ts";
import { parseRegistrationPolicy, parseRegistry } from "../../src/api/v1alpha1/index.ts";
import { LayoutSet } from "../../src/registry/etcd/layouts/layout-set.ts";
import { etcd, HTTPS, object, PATHS, policy, registry } from "../support/crd-objects.ts";
import type { RuleCase } from "../support/crd-rule-case.ts";
import { POD_RULES } from "../support/pod-rule-cases.ts";
import { POLICY_RULES } from "../support/policy-rule-cases.ts";
import { DEFAULT_PREFIXES, REGISTRY_RULES } from "../support/registry-rule-cases.ts";
import { type ApiAnswer, type Cluster, installCrds, ROOT, startCluster } from "./crds-cluster.ts";

let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster({ controllerManager: false });
  await installCrds(cluster);
});

afterAll(async () => {
  await cluster.stop();
});

function dryRun(subject: object): Promise<ApiAnswer> {
  const { kind } = subject as { kind: keyof typeof PATHS };
  return cluster.call("POST", PATHS[kind], subject, { dryRun: "All" });
}

/** By what they demand. */
const RULES: Readonly<Record<string, RuleCase>> = { ...REGISTRY_RULES, ...POLICY_RULES };

/** Judged when an object changes, and tested by itself. */
const TRANSITION_RULE = "spec.type can not be changed";

function messagesOf(schema: Schema): string[] {
  const children = [...Object.values(schema.properties ?? {}), schema.items, schema.additionalProperties];
  const own = (schema["x-kubernetes-validations"] ?? []).map((rule) => rule.message);
  return [...own, ...children.flatMap((child) => (child ? messagesOf(child) : []))];
}

describe("rules between fields", () => {
  test("each has a case here, and each case a rule", () => {
    const messages = new Set(readCrds(join(ROOT, "crds")).flatMap((crd) => messagesOf(crd.schema)));
    const cases = [TRANSITION_RULE, ...Object.values(RULES).map((rule) => rule.message)];
    const covered = [...messages].map((message) => cases.filter((beginning) => message.startsWith(beginning)));
    expect(covered.map((beginnings) => beginnings.length)).toEqual(covered.map(() => 1));
    expect(new Set(covered.flat())).toEqual(new Set(cases));
  });

  describe.each(Object.entries(RULES))("%s", (_, rule) => {
    test("accepts what follows it", async () => {
      for (const subject of rule.accepted) {
        const { status, body } = await dryRun(subject);
        expect({ subject, status, message: body.message }).toEqual({ subject, status: 201, message: undefined });
      }
    });

    test("refuses what breaks it, and says where and what to write instead", async () => {
      for (const subject of rule.refused) {
        const { status, body } = await dryRun(subject);
        const causes = (body.details?.causes ?? []).filter((cause) => cause.message.includes(rule.message));
        const fields = causes.map((cause) => cause.field);
        expect({ subject, status, fields }).toEqual({ subject, status: 422, fields: [rule.field] });
        // No rule may stumble over what another one refuses.
        expect(body.message).not.toContain("evaluating rule");
      }
    });
  });

  test.each(Object.entries(DEFAULT_PREFIXES))(
    "%s is read under the prefix that the rules suppose",
    (layout, prefix) => {
      const rule = { layout: layout as keyof typeof DEFAULT_PREFIXES };
      expect(new LayoutSet([rule]).prefixes).toEqual([`${prefix}/`]);
    },
  );

  test("the type of a registry stays what it was", async () => {
    const created = await cluster.call("POST", PATHS.Registry, { ...registry(), metadata: { name: "typed" } });
    expect(created.status).toBe(201);
    const change = (spec: object) => cluster.call("PATCH", `${PATHS.Registry}/typed`, { spec }, { dryRun: "All" });
    const refused = await change({ type: "Consul", etcd: null, consul: {} });
    expect(refused.body.details?.causes).toEqual([
      expect.objectContaining({ field: "spec.type", message: expect.stringContaining(TRANSITION_RULE) as string }),
    ]);
    expect((await change({ requestTimeout: "5s" })).status).toBe(200);
  });
});

describe("limits", () => {
  const refused: Record<string, [subject: object, field: string]> = {
    "a mode nobody knows": [policy({}, { mode: "Delete" }), "spec.mode"],
    "a policy without registries": [policy({ registries: [] }), "spec.registration.registries"],
    "one registry twice": [policy({ registries: [{ name: "a" }, { name: "a" }] }), "spec.registration.registries[1]"],
    "more than all in a minute": [
      policy({ zombies: { budget: { unexplainedPercentPerMinute: 101 } } }),
      "spec.registration.zombies.budget.unexplainedPercentPerMinute",
    ],
    "a negative floor": [policy({ zombies: { minInstances: -1 } }), "spec.registration.zombies.minInstances"],
    "one endpoint twice": [registry({ endpoints: ["http://a:2379", "http://a:2379"] }), "spec.endpoints[1]"],
    "no layouts": [etcd({ layouts: [] }), "spec.etcd.layouts"],
    "a prefix with a slash at the end": [
      etcd({ layouts: [{ layout: "Kratos", prefix: "/microservices/" }] }),
      "spec.etcd.layouts[0].prefix",
    ],
    "more dots than resolvers count": [policy({}, { dns: { ndots: 16 } }), "spec.dns.ndots"],
    "a search domain with a dot at the end": [
      policy({}, { dns: { searches: ["svc.cluster.local."] } }),
      "spec.dns.searches[0]",
    ],
    "four name servers": [
      policy({}, { dns: { nameservers: ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"] } }),
      "spec.dns.nameservers",
    ],
    "an option that has a field of its own": [
      policy({}, { dns: { options: [{ name: "ndots", value: "2" }] } }),
      "spec.dns.options[0].name",
    ],
    "a keepalive without times": [policy({}, { keepalive: { probes: 3 } }), "spec.keepalive.time"],
    "a product nobody knows": [
      policy({}, { keepalive: { time: "60s", interval: "10s", probes: 3, paths: [{ name: "a", preset: "AWS" }] } }),
      "spec.keepalive.paths[0].preset",
    ],
    "a lifecycle that asks for nothing": [policy({}, { lifecycle: {} }), "spec.lifecycle"],
    "a Secret in another namespace": [
      registry({ ...HTTPS, tls: { caSecretRef: { name: "kube-system/ca" } } }),
      "spec.tls.caSecretRef.name",
    ],
  };
  test.each(Object.entries(refused))("refuses %s", async (_, [subject, field]) => {
    const answer = await dryRun(subject);
    expect(answer.status).toBe(422);
    expect(answer.body.details?.causes?.map((cause) => cause.field)).toContain(field);
  });

  test("a field that does not exist is refused by name", async () => {
    const answer = await dryRun(policy({ zombies: { dryRun: true } }));
    expect(answer.status).toBe(400);
    expect(answer.body.message).toContain('unknown field "spec.registration.zombies.dryRun"');
  });

  test("the largest registry that the limits allow is within the rules' cost budget", async () => {
    const layouts = Array.from({ length: 64 }, (_, i) => ({
      layout: "EtcdNaming",
      prefix: `${"p".repeat(250)}${String(i).padStart(6, "0")}`,
    }));
    const podCIDRs = Array.from({ length: 64 }, (_, i) => `10.${i}.0.0/16`);
    const answer = await dryRun(registry({ etcd: { layouts }, ownership: { podCIDRs } }));
    expect(answer.body.message).toBeUndefined();
  });

  test("the largest policy that the limits allow is within the rules' cost budget", async () => {
    const each = (count: number, item: (index: number) => unknown) => Array.from({ length: count }, (_, i) => item(i));
    const requirements = each(16, (i) => ({ key: `k${i}`, operator: "In", values: each(16, (j) => `v${j}`) }));
    const selector = { matchExpressions: requirements };
    const { searches } = POD_RULES["search domains are within what a kubelet writes"]?.accepted.at(-1)?.dns as {
      searches: string[];
    };
    const subject = policy(
      { registries: each(8, (i) => ({ name: `r${i}` })) },
      {
        match: { namespaceSelector: selector, podSelector: selector },
        dns: {
          ndots: 15,
          searches,
          searchMode: "Replace",
          nameservers: ["10.0.0.1", "10.0.0.2", "fd00::3"],
          options: [{ name: "timeout", value: "30" }, { name: "attempts", value: "5" }, { name: "rotate" }],
          goResolver: "Go",
          goContainers: each(16, (i) => `container-${i}`),
        },
        keepalive: {
          time: "00001h00001m00001s",
          interval: "00000h00001m00001s",
          probes: 127,
          finTimeout: "00000h00001m00060s",
          paths: each(16, (i) => ({ name: `path-${i}`, idleTimeout: "00100h00001m00001s", tcpKeepalive: "Counts" })),
        },
        lifecycle: { terminationGracePeriodSeconds: 3600, preStopSleepSeconds: 3000 },
        rollout: {
          strategy: "Evict",
          maxConcurrentWorkloads: 5,
          perHour: 1000,
          availableWithin: "00000h00010m00001s",
          maintenanceWindow: {
            schedule: "*/5 0-23 1-31 1-12 0-6",
            timeZone: "Europe/Berlin",
            duration: "00001h00001m",
          },
        },
      },
    );
    const answer = await dryRun(subject);
    expect(answer.body.message).toBeUndefined();
  });
});

describe("defaults", () => {
  test("the API server and our own parser fill in the same ones for a registry", async () => {
    const subject = registry({ ...HTTPS, tls: { caSecretRef: { name: "ca" } } });
    const parsed = parseRegistry(subject);
    expect(parsed.ok && parsed.object.spec).toEqual((await dryRun(subject)).body.spec);
  });

  test("the API server and our own parser fill in the same ones for a policy", async () => {
    const subject = policy({}, { dns: { ndots: 2 }, keepalive: { time: "60s", interval: "10s", probes: 3 } });
    const parsed = parseRegistrationPolicy(subject);
    expect(parsed.ok && parsed.object.spec).toEqual((await dryRun(subject)).body.spec);
  });
});

describe("kubectl", () => {
  const NOW = "2026-01-02T03:04:05Z";

  function condition(type: string, status: string, reason: string): object {
    return { type, status, reason, message: "For a test.", lastTransitionTime: NOW };
  }

  /** Creates an object and writes its status as the operator does, through the subresource. */
  async function create(kind: keyof typeof PATHS, subject: object, status: object): Promise<void> {
    expect((await cluster.call("POST", PATHS[kind], subject)).status).toBe(201);
    const { name } = (subject as { metadata: { name: string } }).metadata;
    const written = await cluster.call("PATCH", `${PATHS[kind]}/${name}/status`, { status });
    expect(written.body.message).toBeUndefined();
  }

  /** Header and row of a table, split at runs of two or more spaces. */
  async function columns(...args: string[]): Promise<string[][]> {
    const { stdout } = await cluster.kubectl("get", ...args);
    const lines = stdout.trimEnd().split("\n");
    return lines.map((line) => line.trimEnd().split(/ {2,}/));
  }

  test("get shows a registry at a glance, and more with -o wide", async () => {
    await create(
      "Registry",
      { ...registry(HTTPS), metadata: { name: "shown" } },
      {
        mode: "Normal",
        serverVersion: "3.6.8",
        clusterId: "cdf818194e3a8c32",
        instances: 180,
        ignoredEntries: 7,
        viewAge: "5s",
        certificateExpiry: "2036-01-02T03:04:05Z",
        conditions: [condition("Synced", "True", "Current"), condition("Ready", "True", "Ready")],
      },
    );
    const [head, row] = await columns("reg", "shown");
    expect(head).toEqual(["NAME", "TYPE", "MODE", "READY", "INSTANCES", "AGE"]);
    expect(row?.slice(0, 5)).toEqual(["shown", "Etcd", "Normal", "True", "180"]);
    const [wideHead, wideRow] = await columns("registries.hygeia.dev", "shown", "-o", "wide");
    expect(wideHead?.slice(5)).toEqual(["REASON", "VERSION", "ENDPOINTS", "VIEW-AGE", "CERT-EXPIRY", "AGE"]);
    const wide = ["Ready", "3.6.8", JSON.stringify(HTTPS.endpoints), "5s", "2036-01-02T03:04:05Z"];
    expect(wideRow?.slice(5, 10)).toEqual(wide);
  });

  test("get shows a policy at a glance, and more with -o wide", async () => {
    await create(
      "RegistrationPolicy",
      { ...policy({}, { mode: "Enforce", priority: 7 }), metadata: { name: "shown" } },
      {
        observedGeneration: 1,
        pods: { matched: 181, compliant: 170, drifted: 8, exempt: 3, compliance: "170/178" },
        instances: {
          live: 180,
          zombie: 3,
          suspect: 2,
          contested: 1,
          unknown: 4,
          draining: 5,
          foreign: 6,
          resurrected: 0,
        },
        rollouts: { state: "Waiting", done: 12, pending: 288, progress: "12/300", current: ["shop/Deployment/web"] },
        evicted: 42,
        lastEviction: NOW,
        registries: "main, backup(Down)",
        conditions: [
          condition("Accepted", "True", "Accepted"),
          condition("Ready", "True", "Ready"),
          condition("EvictionBlocked", "True", "UnexplainedBudget"),
          condition("Superseded", "False", "NotSuperseded"),
        ],
      },
    );
    const [head, row] = await columns("rpol", "shown");
    expect(head).toEqual(["NAME", "MODE", "READY", "REGISTRIES", "LIVE", "ZOMBIE", "EVICTED", "COMPLIANT", "AGE"]);
    const shown = ["shown", "Enforce", "True", "main, backup(Down)", "180", "3", "42", "170/178"];
    expect(row?.slice(0, 8)).toEqual(shown);
    const [wideHead, wideRow] = await columns("rpol", "shown", "-o", "wide");
    const wide = [
      "ROLLOUT",
      "PRIORITY",
      "MATCHED",
      "SUSPECT",
      "CONTESTED",
      "UNKNOWN",
      "BLOCKED",
      "LAST-EVICTION",
      "AGE",
    ];
    expect(wideHead?.slice(8)).toEqual(wide);
    expect(wideRow?.slice(8, 15)).toEqual(["12/300", "7", "181", "2", "1", "4", "UnexplainedBudget"]);
    expect(wideRow?.[15]).toMatch(/^\d+[dy]/);
  });

  test("get shows a report at a glance; a full one is accepted, a larger one refused", async () => {
    const finding = {
      registry: "main",
      service: "greeter",
      instance: "greeter-1",
      id: "/micro/registry/greeter/greeter-1",
      address: "10.42.3.17:8080",
      verdict: "Zombie",
      reason: "OwnerFinished",
      evidence: "Confirmed",
      message: "Pod shop/greeter-1 has finished.",
      firstSeen: NOW,
      action: "None",
      blockedBy: "Audit",
    };
    const eviction = {
      time: NOW,
      registry: "main",
      service: "greeter",
      instance: "greeter-1",
      id: "/micro/registry/greeter/greeter-1",
      address: "10.42.3.17:8080",
      evidence: "Confirmed",
      reason: "OwnerFinished",
      pod: { namespace: "shop", name: "greeter-1", uid: "7f6a1f0e-0000-4000-8000-000000000000" },
      traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
      result: "Verified",
      restore: {
        format: "GoMicro",
        value: "é".repeat(4096),
        encoding: "UTF8",
        ttlMilliseconds: 90_000,
        lease: "7587869",
      },
    };
    const status = {
      policy: "shown",
      summary: { findings: 212, worst: "Zombie", omitted: 12, evictions: 100 },
      findings: Array.from({ length: 200 }, () => finding),
      evictions: Array.from({ length: 100 }, () => eviction),
    };
    await create("RegistrationReport", object("RegistrationReport", "shown"), status);
    const [head, row] = await columns("rrep", "shown", "-o", "wide");
    expect(head).toEqual(["NAME", "FINDINGS", "WORST", "EVICTIONS", "LAST-EVICTION", "POLICY", "AGE"]);
    expect(row?.slice(0, 4)).toEqual(["shown", "212", "Zombie", "100"]);

    const foreign = {
      summary: { findings: 0, omitted: 0, evictions: 0 },
      findings: [{ ...finding, verdict: "Foreign" }],
    };
    await create("RegistrationReport", object("RegistrationReport", "quiet"), foreign);
    const [, quiet] = await columns("rrep", "quiet");
    expect(quiet?.slice(0, 3)).toEqual(["quiet", "0", "0"]);

    const tooMany = { status: { findings: [...status.findings, finding] } };
    const refused = await cluster.call("PATCH", `${PATHS.RegistrationReport}/shown/status`, tooMany);
    expect(refused.body.details?.causes?.map((cause) => cause.field)).toEqual(["status.findings"]);
  });

  test("status is written through its subresource only", async () => {
    const subject = { ...registry(), metadata: { name: "unheard" }, status: { mode: "Fallback" } };
    const created = await cluster.call("POST", PATHS.Registry, subject);
    expect(created.status).toBe(201);
    expect(created.body.status).toBeUndefined();
  });

  test("get hygeia lists all three kinds", async () => {
    const { stdout, code } = await cluster.kubectl("get", "hygeia", "-o", "name");
    expect(code).toBe(0);
    expect(
      new Set(
        stdout
          .trim()
          .split("\n")
          .map((line) => line.split("/")[0]),
      ),
    ).toEqual(new Set(["registry.hygeia.dev", "registrationpolicy.hygeia.dev", "registrationreport.hygeia.dev"]));
  });

  test.each([
    ["rpol.spec.registration.zombies.absentFor", "no pod may have had the instance's address"],
    ["rpol.spec.keepalive.paths.tcpKeepalive", "load balancers of layer 7"],
    ["reg.spec.etcd.layouts.prefix", "kitex/registry-etcd"],
    ["rrep.status.evictions.restore", "register the instance again"],
  ])("explain %s says what it means", async (path, words) => {
    const { stdout } = await cluster.kubectl("explain", path);
    expect(stdout.replaceAll(/\s+/g, " ")).toContain(words);
  });

  test("registries can be selected by type, policies by mode", async () => {
    const byType = await cluster.kubectl("get", "reg", "--field-selector", "spec.type=Etcd", "-o", "name");
    expect(byType.stdout).toContain("registry.hygeia.dev/shown");
    const paused = await cluster.kubectl("get", "rpol", "--field-selector", "spec.mode=Paused", "-o", "name");
    expect(paused).toMatchObject({ code: 0, stdout: "" });
  });
});
