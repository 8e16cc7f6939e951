import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { readCrds, type Schema } from "../../scripts/generate-schema.ts";
import { parseRegistrationPolicy, parseRegistry } from "../../src/api/v1alpha1/index.ts";
import { LayoutSet } from "../../src/registry/etcd/layouts/layout-set.ts";
import { POD_RULES } from "../support/pod-rule-cases.ts";
import { type ApiAnswer, type Cluster, installCrds, ROOT, startCluster } from "./crds-cluster.ts";

const PATHS = {
  Registry: "/apis/hygeia.dev/v1alpha1/registries",
  RegistrationPolicy: "/apis/hygeia.dev/v1alpha1/registrationpolicies",
  RegistrationReport: "/apis/hygeia.dev/v1alpha1/registrationreports",
} as const;

const HTTPS = { endpoints: ["https://etcd-0.infra.svc:2379"] };
/** What an absent prefix stands for, as the rules have it. */
const DEFAULT_PREFIXES = {
  GoMicro: "/micro/registry",
  Kratos: "/microservices",
  DubboInterface: "/dubbo",
  DubboApplication: "/services",
  Kitex: "kitex/registry-etcd",
  GoFrame: "/service",
} as const;

let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster({ controllerManager: false });
  await installCrds(cluster);
});

afterAll(async () => {
  await cluster.stop();
});

function object(kind: keyof typeof PATHS, name: string, body: object = {}): object {
  return { apiVersion: "hygeia.dev/v1alpha1", kind, metadata: { name }, ...body };
}

/** A whole Registry, with some fields of its spec replaced. */
function registry(spec: object = {}): object {
  const etcd = { layouts: [{ layout: "Kratos" }] };
  return object("Registry", "main", { spec: { type: "Etcd", endpoints: ["http://10.0.0.7:2379"], etcd, ...spec } });
}

function etcd(block: object): object {
  return registry({ etcd: { layouts: [{ layout: "Kratos" }], ...block } });
}

/** A whole Registry of type Consul. */
function consul(block: object = {}, spec: object = {}): object {
  return registry({ type: "Consul", etcd: undefined, consul: block, ...spec });
}

/** A whole Registry of type Nacos. */
function nacos(block: object = {}, spec: object = {}): object {
  return registry({ type: "Nacos", etcd: undefined, nacos: block, ...spec });
}

/** A whole RegistrationPolicy, with some fields of its spec.registration replaced. */
function policy(registration: object = {}, spec: object = {}): object {
  const registries = [{ name: "main" }];
  return object("RegistrationPolicy", "main", { spec: { registration: { registries, ...registration }, ...spec } });
}

function dryRun(subject: object): Promise<ApiAnswer> {
  const { kind } = subject as { kind: keyof typeof PATHS };
  return cluster.call("POST", PATHS[kind], subject, { dryRun: "All" });
}

interface RuleCase {
  /** The beginning of the rule's message. */
  readonly message: string;
  /** Where the API server says the mistake is. */
  readonly field: string;
  readonly accepted: readonly object[];
  readonly refused: readonly object[];
}

const RULES: Record<string, RuleCase> = {
  "an endpoint is scheme, host and port, nothing else": {
    message: "spec.endpoints must hold addresses as scheme://host:port",
    field: "spec.endpoints[0]",
    accepted: ["http://etcd:2379", "https://10.0.0.7:1", "https://[fd00::7]:65535"].map((e) =>
      registry({ endpoints: [e] }),
    ),
    refused: [
      "http://etcd.infra.svc",
      "http://user:secret@etcd:2379",
      "http://etcd:2379/",
      "http://etcd:2379?x=1",
      "http://etcd:2379#x",
      "http://etcd:0000",
      "http://etcd:65536",
      "http://[fd00::7:2379",
    ].map((e) => registry({ endpoints: [e] })),
  },
  "endpoints share one scheme": {
    message: "spec.endpoints must all use the same scheme",
    field: "spec",
    accepted: [registry({ endpoints: ["http://etcd-0:2379", "http://etcd-1:2379"] })],
    refused: [registry({ endpoints: ["http://etcd-0:2379", "https://etcd-1:2379"] })],
  },
  "TLS settings need https": {
    message: "spec.tls needs https endpoints",
    field: "spec",
    accepted: [registry({ ...HTTPS, tls: { serverName: "etcd" } })],
    refused: [registry({ tls: { serverName: "etcd" } })],
  },
  "the block of the registry's type is there": {
    message: "spec.etcd must be set when spec.type is Etcd",
    field: "spec",
    accepted: [registry()],
    refused: [registry({ etcd: undefined })],
  },
  "the block of Consul is there for Consul alone": {
    message: "spec.consul must be set when spec.type is Consul",
    field: "spec",
    accepted: [
      consul(),
      consul({
        datacenter: "dc-1",
        servicePrefixes: ["shop-"],
        tokenSecretRef: { name: "consul" },
        recordPrefix: "a/b",
      }),
    ],
    refused: [registry({ type: "Consul", etcd: undefined }), registry({ consul: {} })],
  },
  "the block of Nacos is there for Nacos alone": {
    message: "spec.nacos must be set when spec.type is Nacos",
    field: "spec",
    accepted: [
      nacos(),
      nacos({ namespace: "3ac1-b", groups: ["DEFAULT_GROUP", "shop:a.b"], servicePrefixes: ["shop-"] }),
      nacos({}, { credentials: { secretRef: { name: "login" } } }),
    ],
    refused: [registry({ type: "Nacos", etcd: undefined }), registry({ nacos: {} }), consul({}, { nacos: {} })],
  },
  "Consul knows tokens, and no passwords": {
    message: "spec.credentials can not be used when spec.type is Consul",
    field: "spec",
    accepted: [consul({ tokenSecretRef: { name: "consul", key: "secret" } })],
    refused: [consul({}, { credentials: { secretRef: { name: "login" } } })],
  },
  "a name for agents needs their port": {
    message: "spec.consul.agentServerName needs spec.consul.agentPort",
    field: "spec.consul.agentServerName",
    accepted: [consul({ agentPort: 8501, agentServerName: "client.dc1.consul" }, HTTPS)],
    refused: [consul({ agentServerName: "client.dc1.consul" }, HTTPS)],
  },
  "a token goes to agents over TLS only": {
    message: "spec.consul.agentPort needs https endpoints",
    field: "spec",
    accepted: [consul({ agentPort: 8501 }, HTTPS)],
    refused: [consul({ agentPort: 8500 })],
  },
  "the prefix of a layout without default is given": {
    message: "prefix must be set for the layouts GoZero and EtcdNaming",
    field: "spec.etcd.layouts[0].prefix",
    accepted: [
      etcd({ layouts: [{ layout: "GoZero", prefix: "user.rpc" }] }),
      etcd({ layouts: [{ layout: "EtcdNaming", prefix: "foo/bar/my-service" }] }),
      etcd({ layouts: Object.keys(DEFAULT_PREFIXES).map((layout) => ({ layout })) }),
    ],
    refused: [etcd({ layouts: [{ layout: "GoZero" }] }), etcd({ layouts: [{ layout: "EtcdNaming" }] })],
  },
  "two layouts do not share a prefix, defaults counted": {
    message: "spec.etcd.layouts must not hold one prefix twice",
    field: "spec.etcd.layouts",
    accepted: [
      etcd({
        layouts: [
          { layout: "GoZero", prefix: "user.rpc" },
          { layout: "GoZero", prefix: "user.rpc2" },
        ],
      }),
    ],
    refused: [
      etcd({ layouts: [{ layout: "Kratos" }, { layout: "Kratos" }] }),
      etcd({
        layouts: [
          { layout: "GoZero", prefix: "user.rpc" },
          { layout: "EtcdNaming", prefix: "user.rpc" },
        ],
      }),
      ...Object.entries(DEFAULT_PREFIXES).map(([layout, prefix]) =>
        etcd({ layouts: [{ layout }, { layout: "EtcdNaming", prefix }] }),
      ),
    ],
  },
  "our own records do not lie where a framework looks": {
    message: "spec.etcd.recordPrefix must not lie inside the prefix of a layout",
    field: "spec.etcd.recordPrefix",
    accepted: [etcd({ recordPrefix: "/microservices-undo" }), etcd({ recordPrefix: "/ops/hygeia" })],
    refused: [
      etcd({ recordPrefix: "/microservices/undo" }),
      etcd({ recordPrefix: "user.rpc/undo", layouts: [{ layout: "GoZero", prefix: "user.rpc" }] }),
    ],
  },
  "no framework writes where our own records lie": {
    message: "spec.etcd.recordPrefix must not hold the prefix of a layout",
    field: "spec.etcd.recordPrefix",
    accepted: [etcd({ recordPrefix: "/micro" })],
    refused: [etcd({ recordPrefix: "/ops", layouts: [{ layout: "EtcdNaming", prefix: "/ops/services" }] })],
  },
  "pod networks are networks": {
    message: "spec.ownership.podCIDRs must hold networks with their length",
    field: "spec.ownership.podCIDRs[0]",
    accepted: [
      registry({ ownership: { podCIDRs: ["Auto"] } }),
      registry({ ownership: { podCIDRs: ["10.42.0.0/16", "fd00:10::/56"] } }),
    ],
    refused: ["10.42.0.0", "10.42.0.0/33", "auto", "300.0.0.0/8"].map((c) =>
      registry({ ownership: { podCIDRs: [c] } }),
    ),
  },
  "Auto stands alone": {
    message: "spec.ownership.podCIDRs must be Auto alone or networks alone",
    field: "spec.ownership.podCIDRs",
    accepted: [registry({ ownership: { podCIDRs: ["10.42.0.0/16", "10.43.0.0/16"] } })],
    refused: [registry({ ownership: { podCIDRs: ["Auto", "10.42.0.0/16"] } })],
  },
  "slow is a time that can pass": {
    message: "spec.breaker.slowAfter must be a duration from 1ms to 1m",
    field: "spec.breaker.slowAfter",
    accepted: ["1ms", "200ms", "1s500ms"].map((slowAfter) => registry({ breaker: { slowAfter } })),
    refused: ["0s", "2m", "200", "0.2s"].map((slowAfter) => registry({ breaker: { slowAfter } })),
  },
  "a request has a time to end in": {
    message: "spec.requestTimeout must be a duration from 100ms to 1m",
    field: "spec.requestTimeout",
    accepted: ["200ms", "3s", "1m"].map((requestTimeout) => registry({ requestTimeout })),
    refused: ["99ms", "61s", "3"].map((requestTimeout) => registry({ requestTimeout })),
  },
  "slow is noticed before the request is given up": {
    message: "spec.breaker.slowAfter must not be longer than spec.requestTimeout",
    field: "spec",
    accepted: [registry({ requestTimeout: "1s", breaker: { slowAfter: "1s" } })],
    refused: [registry({ requestTimeout: "1s", breaker: { slowAfter: "1001ms" } })],
  },
  "a label selector's keys are label names": {
    message: "matchLabels must have label names as keys",
    field: "spec.match.podSelector.matchLabels",
    accepted: [policy({}, { match: { podSelector: { matchLabels: { "app.kubernetes.io/name": "shop", team: "" } } } })],
    refused: ["a b", "/name", "-a", "a/b/c"].map((key) =>
      policy({}, { match: { podSelector: { matchLabels: { [key]: "x" } } } }),
    ),
  },
  "a requirement has values exactly when its operator needs them": {
    message: "values must be set for the operators In and NotIn",
    field: "spec.match.namespaceSelector.matchExpressions[0].values",
    accepted: [
      { key: "team", operator: "In", values: ["shop"] },
      { key: "team", operator: "Exists" },
    ].map((requirement) => policy({}, { match: { namespaceSelector: { matchExpressions: [requirement] } } })),
    refused: [
      { key: "team", operator: "In" },
      { key: "team", operator: "NotIn", values: [] },
      { key: "team", operator: "Exists", values: ["shop"] },
      { key: "team", operator: "DoesNotExist", values: ["shop"] },
    ].map((requirement) => policy({}, { match: { namespaceSelector: { matchExpressions: [requirement] } } })),
  },
  "a policy is about something": {
    message: "spec must have at least one of registration, dns, keepalive and lifecycle",
    field: "spec",
    accepted: [
      policy(),
      ...[
        { dns: { ndots: 2 } },
        { keepalive: { time: "60s", interval: "10s", probes: 3 } },
        { lifecycle: { preStopSleepSeconds: 5 } },
      ].map((spec) => object("RegistrationPolicy", "main", { spec })),
    ],
    refused: [{}, { mode: "Enforce", priority: 3 }].map((spec) => object("RegistrationPolicy", "main", { spec })),
  },
  "a policy has a primary registry": {
    message: "spec.registration.registries must hold at least one registry with role Primary",
    field: "spec.registration.registries",
    accepted: [policy({ registries: [{ name: "main" }, { name: "old", role: "Backup" }] })],
    refused: [policy({ registries: [{ name: "old", role: "Backup" }] })],
  },
  "the service name comes from one place": {
    message: "spec.registration.service must have key and no value",
    field: "spec.registration.service",
    accepted: [
      policy({ service: { from: "Label", key: "app.kubernetes.io/name" } }),
      policy({ service: { from: "Annotation", key: "hygeia.dev/service" } }),
      policy({ service: { from: "Fixed", value: "greeter" } }),
    ],
    refused: [
      { from: "Label" },
      { from: "Annotation", value: "greeter" },
      { from: "Label", key: "app", value: "greeter" },
      { from: "Fixed", key: "app" },
      { from: "Fixed" },
      { from: "Fixed", key: "app", value: "greeter" },
    ].map((service) => policy({ service })),
  },
  "a port is a number or a name of a container port": {
    message: "spec.registration.service.port must be a number from 1 to 65535 or the name",
    field: "spec.registration.service.port",
    accepted: [1, 65535, "grpc", "http-2"].map((port) => policy({ service: { from: "Fixed", value: "a", port } })),
    refused: [0, 65536, "8080", "GRPC", "-a", "a-very-long-port-name"].map((port) =>
      policy({ service: { from: "Fixed", value: "a", port } }),
    ),
  },
  "absence is believed after two lists at the earliest": {
    message: "spec.registration.zombies.absentFor must be a duration from 30s to 24h",
    field: "spec.registration.zombies.absentFor",
    accepted: ["30s", "2m", "24h"].map((absentFor) => policy({ zombies: { absentFor } })),
    refused: ["29s999ms", "24h1ms", "2 minutes", "120"].map((absentFor) => policy({ zombies: { absentFor } })),
  },
  "silence is believed after some time": {
    message: "spec.registration.zombies.silentFor must be a duration from 5s to 24h",
    field: "spec.registration.zombies.silentFor",
    accepted: ["5s", "30s", "24h"].map((silentFor) => policy({ zombies: { silentFor } })),
    refused: ["4s", "25h", "long"].map((silentFor) => policy({ zombies: { silentFor } })),
  },
  ...Object.fromEntries(
    Object.entries(POD_RULES).map(([sentence, { accepted, refused, ...rule }]): [string, RuleCase] => [
      sentence,
      { ...rule, accepted: accepted.map((spec) => policy({}, spec)), refused: refused.map((spec) => policy({}, spec)) },
    ]),
  ),
};

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
        certificateExpiry: "2036-01-02T03:04:05Z",
        conditions: [condition("Synced", "True", "Current"), condition("Ready", "True", "Ready")],
      },
    );
    const [head, row] = await columns("reg", "shown");
    expect(head).toEqual(["NAME", "TYPE", "MODE", "READY", "INSTANCES", "AGE"]);
    expect(row?.slice(0, 5)).toEqual(["shown", "Etcd", "Normal", "True", "180"]);
    const [wideHead, wideRow] = await columns("registries.hygeia.dev", "shown", "-o", "wide");
    expect(wideHead?.slice(5)).toEqual(["REASON", "VERSION", "ENDPOINTS", "CERT-EXPIRY", "AGE"]);
    expect(wideRow?.slice(5, 9)).toEqual(["Ready", "3.6.8", JSON.stringify(HTTPS.endpoints), "2036-01-02T03:04:05Z"]);
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
      restore: { format: "GoMicro", value: "é".repeat(4096), encoding: "UTF8", ttlMilliseconds: 90_000 },
    };
    const status = {
      policy: "shown",
      summary: { findings: 212, omitted: 12, evictions: 100 },
      findings: Array.from({ length: 200 }, () => finding),
      evictions: Array.from({ length: 100 }, () => eviction),
    };
    await create("RegistrationReport", object("RegistrationReport", "shown"), status);
    const [head, row] = await columns("rrep", "shown", "-o", "wide");
    expect(head).toEqual(["NAME", "FINDINGS", "WORST", "EVICTIONS", "LAST-EVICTION", "POLICY", "AGE"]);
    expect(row?.slice(0, 4)).toEqual(["shown", "212", "Zombie", "100"]);

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
