/** What is compiled, beyond the table of cases: any pod and policy, any text, many policies, large ones. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { celString, celStrings } from "../../src/admission/cel/literal.ts";
import {
  type AdmissionObject,
  type Compiled,
  mutatingPolicy,
  validatingPolicy,
} from "../../src/admission/cel/objects.ts";
import type { CelSource, Match } from "../../src/admission/cel/types.ts";
import { judgePod } from "../../src/admission/compliance.ts";
import { applyPatch } from "../../src/admission/json-patch.ts";
import { mutatePod } from "../../src/admission/mutate.ts";
import type { PodPolicy, Site } from "../../src/admission/types.ts";
import { type ControlPlane, Scope, startControlPlane } from "../env/index.ts";
import { arbitraryPod, arbitraryPolicy, arbitrarySite } from "../support/admission-arbitraries.ts";
import { dnsPolicy, KEEPALIVE, SITE } from "../support/admission-cases.ts";
import { expectedOf, toldBy } from "../support/admission-warnings.ts";
import { compiledPlurals, factsOf, installCompiled } from "../support/compiled-case.ts";
import { mapBounded } from "../support/concurrency.ts";
import { KubeApiError, KubeClient, type KubeObject } from "../support/kube-client.ts";
import { eventually } from "../support/operator-wait.ts";

interface Pod extends KubeObject {
  readonly spec: Readonly<Record<string, unknown>>;
}

const API = "/apis/admissionregistration.k8s.io/v1";
const UID = "00000000-0000-4000-8000-000000000000";
const scope = new Scope();
let controlPlane: ControlPlane;
let client: KubeClient;
const namespaces = new Map<string, Promise<string>>();

beforeAll(async () => {
  controlPlane = await startControlPlane({
    scope,
    controllerManager: false,
    scheduler: false,
    apiserverFlags: ["--disable-admission-plugins=ServiceAccount"],
  });
  client = new KubeClient(controlPlane);
  await client.create("/apis/node.k8s.io/v1/runtimeclasses", { metadata: { name: "kata" }, handler: "kata" });
}, 120_000);

afterAll(async () => {
  await client.close();
  await scope.stop();
});

/** A namespace with these labels, but for those that the API server refuses. */
async function namespaceWith(wanted: Readonly<Record<string, string>>): Promise<string> {
  const labels = Object.fromEntries(
    Object.entries(wanted).filter(([name, value]) => name.endsWith("-version") === /^(latest|v\d)/.test(value)),
  );
  const key = JSON.stringify(Object.entries(labels).toSorted());
  let made = namespaces.get(key);
  if (made === undefined) {
    const name = `n${namespaces.size}`;
    made = client.create("/api/v1/namespaces", { metadata: { name, labels } }).then(() => name);
    namespaces.set(key, made);
  }
  return made;
}

async function install(compiled: Compiled | undefined): Promise<void> {
  if (compiled === undefined) throw new Error("it was not compiled");
  await installCompiled(client, compiled);
}

async function remove(names: readonly string[]): Promise<void> {
  for (const plural of compiledPlurals) {
    await mapBounded(names, 8, async (name) => client.delete(`${API}/${plural}/hygeia-${name}`));
  }
}

function source(name: string, policy: PodPolicy, fields: Partial<CelSource> = {}): CelSource {
  return {
    policy: { ...policy, name },
    uid: UID,
    match: labelled(name),
    before: [],
    facts: factsOf(SITE),
    excluded: new Set(["kube-system"]),
    ...fields,
  };
}

function labelled(name: string): Match {
  return { namespaceSelector: undefined, podSelector: { matchLabels: { case: name } } };
}

const DRY_RUN = { dryRun: "All" };

const podsOf = (namespace: string): string => `/api/v1/namespaces/${namespace}/pods`;

function labelledPod(pod: object, labels: Readonly<Record<string, string>>): object {
  const { metadata = {}, spec } = pod as { metadata?: { labels?: object }; spec: object };
  const named = { ...metadata, name: "case", labels: { ...metadata.labels, ...labels } };
  return { apiVersion: "v1", kind: "Pod", metadata: named, spec };
}

async function create(pod: object, labels: Readonly<Record<string, string>>, namespace: string): Promise<Pod> {
  return await client.create<Pod>(podsOf(namespace), labelledPod(pod, labels), DRY_RUN);
}

/** The API server reads its policies in the order in which they were made: the last tells of all. */
async function untilRead(name: string): Promise<void> {
  const marker: PodPolicy = { ...KEEPALIVE, sysctls: undefined, gracePeriod: 77 };
  await install(mutatingPolicy(source(name, marker)));
  const namespace = await namespaceWith({});
  await eventually("the API server has read the last of the policies", async () => {
    const { spec } = await create({ spec: { containers: [{ name: "app", image: "app" }] } }, { case: name }, namespace);
    return spec["terminationGracePeriodSeconds"] === 77;
  });
}

/** The pod without what no API server takes: drawn at random, most are refused for something beside the point. */
function acceptable(pod: PodOf<typeof arbitraryPod>): object {
  const { runtimeClassName, dnsPolicy, dnsConfig, initContainers = [], containers, ...spec } = pod.spec;
  const names = new Set(containers.map(({ name }) => name));
  const searches = dnsConfig?.searches?.filter((domain) => domain === domain.toLowerCase()) ?? [];
  const isBare = dnsPolicy === "None" && (dnsConfig?.nameservers ?? []).length === 0;
  return {
    ...pod,
    spec: {
      ...spec,
      containers,
      initContainers: initContainers.filter(({ name }) => !names.has(name)).map(({ lifecycle: _, ...rest }) => rest),
      ...(runtimeClassName === "kata" ? { runtimeClassName } : {}),
      ...(dnsPolicy === undefined || isBare ? {} : { dnsPolicy }),
      ...(dnsConfig === undefined ? {} : { dnsConfig: { ...dnsConfig, searches: [...new Set(searches)] } }),
      ...(spec.hostNetwork === true || spec.os?.name === "windows" ? { securityContext: {}, hostUsers: true } : {}),
    },
  };
}

type PodOf<T> = T extends fc.Arbitrary<infer Value> ? Value : never;

test("any pod comes out of any policy as mutatePod has it, is taken by the API server, and who escapes is warned of", async () => {
  // Drawn once: each policy has to be written and read before its pods are tried.
  const policies = fc.sample(
    fc.tuple(arbitraryPolicy, arbitrarySite, fc.array(arbitraryPod, { minLength: 6, maxLength: 6 })),
    40,
  );
  const drawn = policies.map(([policy, site, pods], i) => ({
    name: `any-${i}`,
    policy: { ...policy, name: `any-${i}` },
    site,
    pods,
  }));
  await mapBounded(drawn, 4, async ({ name, policy, site }) => {
    const { name: _name, generation: _generation, ...parts } = policy;
    if (Object.values(parts).every((part) => part === undefined)) return;
    const match = { namespaceSelector: undefined, podSelector: { matchLabels: { check: name } } };
    await install(validatingPolicy(source(name, policy, { facts: factsOf(site), match })));
    await install(mutatingPolicy(source(name, policy, { facts: factsOf(site) })));
  });
  await untilRead("any-last");
  const outcomes = { refused: 0, changed: 0, same: 0 };
  await mapBounded(drawn, 8, async ({ name, policy, site, pods }) => {
    const namespace = await namespaceWith(site.namespaceLabels);
    const { metadata } = await client.get(`/api/v1/namespaces/${namespace}`);
    const here = { ...site, namespaceLabels: metadata.labels ?? {} };
    for (const pod of pods) await compareOne(name, policy, here, acceptable(pod), namespace, outcomes);
  });
  // Most are taken, and most of these are changed: else nothing would be tried here.
  expect(outcomes.changed).toBeGreaterThan(40);
  await remove([...drawn.map(({ name }) => name), "any-last"]);
}, 180_000);

async function compareOne(
  name: string,
  policy: PodPolicy,
  site: Site,
  pod: object,
  namespace: string,
  outcomes: { refused: number; changed: number; same: number },
): Promise<void> {
  // As a webhook would get it: with the server's defaults, and no policy of ours on it.
  let sent: Pod;
  try {
    sent = await create(pod, {}, namespace);
  } catch (error) {
    if (!(error instanceof KubeApiError)) throw error;
    outcomes.refused++;
    return;
  }
  const { patch } = mutatePod(sent, policy, site);
  const wanted = applyPatch(sent, patch);
  // What the API server takes without the policy it takes with it.
  const got = await create(pod, { case: name }, namespace).catch((error: unknown) => {
    throw new Error(`refused: ${JSON.stringify({ policy, pod })}`, { cause: error });
  });
  expect({ policy, pod, spec: got.spec }).toEqual({ policy, pod, spec: wanted.spec });
  expect({ policy, pod, told: got.metadata.annotations }).toEqual({ policy, pod, told: wanted.metadata.annotations });
  const warned = async (labels: Readonly<Record<string, string>>): Promise<string[]> =>
    toldBy(`hygeia-${name}`, name, await client.warningsOf(podsOf(namespace), labelledPod(pod, labels), DRY_RUN));
  const { differences } = judgePod(sent, policy, site);
  expect({ policy, pod, warned: await warned({ check: name }) }).toEqual({
    policy,
    pod,
    warned: expectedOf(differences),
  });
  expect({ policy, pod, warned: await warned({ check: name, case: name }) }).toEqual({ policy, pod, warned: [] });
  if (patch.length > 0) outcomes.changed++;
  else outcomes.same++;
}

test("any text comes out of its literal as it went in", async () => {
  const sampled = fc.sample(fc.string({ unit: "binary", maxLength: 40 }), 300).map((text) => text.toWellFormed());
  const texts = [...sampled, '"', "\\", "\n", "'''", '" + object.metadata.name + "', "${x}", "\u0000", "\u2028", "😀"];
  const [policy, binding] = mutatingPolicy(source("texts", { ...KEEPALIVE, sysctls: undefined, gracePeriod: 1 })) ?? [];
  if (policy === undefined || binding === undefined) throw new Error("it was not compiled");
  const entries = texts.map(
    (text, i) => `JSONPatch{op: "add", path: "/metadata/annotations/t${i}", value: ${celString(text)}}`,
  );
  const list = `JSONPatch{op: "add", path: "/metadata/annotations/all", value: string(${celStrings(texts)}.size())}`;
  const expression = `[JSONPatch{op: "add", path: "/metadata/annotations", value: {}}, ${[...entries, list].join(", ")}]`;
  const spec = { ...policy.spec, mutations: [{ patchType: "JSONPatch", jsonPatch: { expression } }] };
  await install([{ ...policy, spec } satisfies AdmissionObject, binding]);
  const namespace = await namespaceWith({});
  const pod = await eventually("the API server has read it", async () => {
    const created = await create(
      { spec: { containers: [{ name: "app", image: "app" }] } },
      { case: "texts" },
      namespace,
    );
    return created.metadata.annotations?.["all"] !== undefined && created;
  });
  expect(texts.map((_, i) => pod.metadata.annotations?.[`t${i}`])).toEqual(texts);
  expect(pod.metadata.annotations?.["all"]).toBe(`${texts.length}`);
  await remove(["texts"]);
}, 60_000);

describe("of several policies that match a pod", () => {
  const grace = (seconds: number): PodPolicy => ({ ...KEEPALIVE, sysctls: undefined, gracePeriod: seconds });
  const shop = { podSelector: { matchLabels: { app: "shop" } } };
  const odd: Match = {
    namespaceSelector: { matchExpressions: [{ key: "kubernetes.io/metadata.name", operator: "Exists" }] },
    podSelector: {
      matchLabels: { "example.com/tier": "front" },
      matchExpressions: [
        { key: "app", operator: "In", values: ["web", "shop"] },
        { key: "off", operator: "DoesNotExist" },
        { key: "env", operator: "NotIn", values: ["test"] },
      ],
    },
  };
  const all: Match = {
    namespaceSelector: undefined,
    podSelector: { matchExpressions: [{ key: "prio", operator: "Exists" }] },
  };
  const second: Match = { namespaceSelector: undefined, podSelector: shop.podSelector };
  const elsewhere: Match = {
    namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "nowhere" } },
    podSelector: undefined,
  };
  const rows: Readonly<Record<string, readonly [labels: Readonly<Record<string, string>>, seconds: number]>> = {
    "the first wins whole": [{ prio: "", app: "shop", "example.com/tier": "front" }, 101],
    "the second wins where a label of the first is missing": [{ prio: "", app: "shop" }, 102],
    "the second wins where the first excludes a label": [
      { prio: "", app: "shop", "example.com/tier": "front", off: "" },
      102,
    ],
    "the second wins where the first excludes a value": [
      { prio: "", app: "shop", "example.com/tier": "front", env: "test" },
      102,
    ],
    "the first wins with another value": [{ prio: "", app: "web", "example.com/tier": "front", env: "live" }, 101],
    "the last has the rest": [{ prio: "", app: "web" }, 103],
    "none has what none matches": [{ app: "other" }, 30],
    "one that comes after a policy of another namespace has its own": [{ case: "elsewhere" }, 104],
  };

  beforeAll(async () => {
    await install(mutatingPolicy(source("first", grace(101), { match: odd })));
    await install(mutatingPolicy(source("second", grace(102), { match: second, before: [odd] })));
    await install(mutatingPolicy(source("third", grace(103), { match: all, before: [odd, second] })));
    await install(mutatingPolicy(source("elsewhere", grace(104), { before: [elsewhere] })));
    await untilRead("priority");
  });
  afterAll(async () => remove(["first", "second", "third", "elsewhere", "priority"]));

  test.each(Object.entries(rows))("%s", async (_, [labels, seconds]) => {
    const namespace = await namespaceWith({});
    const { spec, metadata } = await create(
      { spec: { containers: [{ name: "app", image: "app" }] } },
      labels,
      namespace,
    );
    expect(spec["terminationGracePeriodSeconds"]).toBe(seconds);
    const applied = { 101: "first@3", 102: "second@3", 103: "third@3", 104: "elsewhere@3" }[seconds];
    expect(metadata.annotations?.["hygeia.dev/applied"]).toBe(applied);
  });
});

test("fifty large policies are taken, and a large pod is changed by the last of them within its cost", async () => {
  const domains = (count: number, suffix: string) =>
    Array.from({ length: count }, (_, i) => `${"s".repeat(40)}${i}.${suffix}`);
  const options = ["timeout", "attempts", "rotate", "use-vc", "edns0", "trust-ad", "no-aaaa", "no-reload"].map(
    (name) => ({ name, value: undefined }),
  );
  const large: PodPolicy = {
    ...dnsPolicy({
      options: [{ name: "ndots", value: "2" }, ...options],
      searches: domains(24, "example"),
      replacesSearches: true,
      nameservers: ["192.0.2.1", "192.0.2.2", "2001:db8::3"],
      overrides: true,
    }),
    goResolver: { netdns: "go", containers: Array.from({ length: 16 }, (_, i) => `c${i}`) },
    sysctls: [...(KEEPALIVE.sysctls ?? []), { name: "net.ipv4.tcp_fin_timeout", value: "30" }],
    gracePeriod: 90,
    preStopSleep: 15,
  };
  const values = Array.from({ length: 20 }, (_, i) => `value-${i}`);
  const match = (i: number): Match => ({
    namespaceSelector: { matchExpressions: [{ key: `n${i}`, operator: "NotIn", values }] },
    podSelector: { matchExpressions: [{ key: "large", operator: "In", values: [`p${i}`, ...values] }] },
  });
  const matches = Array.from({ length: 50 }, (_, i) => match(i));
  const names = matches.map((_, i) => `large-${i}`);
  await mapBounded(matches, 4, async (own, i) => {
    const fields = { match: own, before: matches.slice(0, i) };
    await install(mutatingPolicy(source(`large-${i}`, large, fields)));
    await install(validatingPolicy(source(`large-${i}`, large, fields)));
  });
  await untilRead("large-last");
  const env = Array.from({ length: 60 }, (_, i) => ({ name: `V${i}`, value: "x".repeat(50) }));
  const godebug = { name: "GODEBUG", value: Array.from({ length: 40 }, (_, i) => `setting${i}=1`).join(",") };
  const pod = {
    metadata: { annotations: { notes: "n".repeat(100_000) } },
    spec: {
      containers: Array.from({ length: 20 }, (_, i) => ({ name: `c${i}`, image: "app", env: [...env, godebug] })),
      dnsConfig: { searches: domains(8, "test"), options: [{ name: "ndots", value: "5" }] },
      securityContext: { sysctls: [{ name: "net.ipv4.ip_local_port_range", value: "1024 65535" }] },
    },
  };
  const namespace = await namespaceWith({});
  const sent = await create(pod, {}, namespace);
  const got = await create(pod, { large: "p49" }, namespace);
  const wanted = applyPatch(sent, mutatePod(sent, { ...large, name: "large-49" }, SITE).patch);
  expect(got.spec).toEqual(wanted.spec);
  expect(got.metadata.annotations).toEqual(wanted.metadata.annotations);
  expect(got.metadata.annotations?.["hygeia.dev/applied"]).toBe("large-49@3");
  await remove([...names, "large-last"]);
}, 180_000);
