/** The table of cases against a real API server: it takes every pod as it is changed, and knows the site as we read it. */
import { afterAll, beforeAll, describe, expect, inject, test, vi } from "vitest";

import { mutatePod } from "../../src/admission/mutate.ts";
import { systemClock } from "../../src/clock/system.ts";
import { watchCluster } from "../../src/cluster/reflectors.ts";
import { ServerVersion } from "../../src/kube/server-version.ts";
import { KubeTransport, loadKubeConfig } from "../../src/kube/transport.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { admissionCases, SITE } from "../support/admission-cases.ts";
import { applyPatch } from "../../src/admission/json-patch.ts";
import { ClusterFixture, clusterOf } from "../support/cluster-fixture.ts";
import type { KubeApiError, KubeObject } from "../support/kube-client.ts";

let fixture: ClusterFixture;
/** One namespace for each set of labels that the cases know. */
const namespaces = new Map<string, Promise<string>>();

beforeAll(async () => {
  fixture = new ClusterFixture(clusterOf(inject("env")));
  // Cases name it, and a pod of a class that does not exist is refused.
  const runtimeClass = {
    apiVersion: "node.k8s.io/v1",
    kind: "RuntimeClass",
    metadata: { name: "kata" },
    handler: "kata",
  };
  const path = "/apis/node.k8s.io/v1/runtimeclasses";
  await fixture.client.create(path, runtimeClass).catch((error: unknown) => {
    if ((error as KubeApiError).reason !== "AlreadyExists") throw error;
  });
});

afterAll(async () => {
  await fixture.close();
});

function namespaceWith(labels: Readonly<Record<string, string>>): Promise<string> {
  const { "kubernetes.io/metadata.name": _, ...own } = labels;
  const key = JSON.stringify(own);
  let namespace = namespaces.get(key);
  if (namespace === undefined) namespaces.set(key, (namespace = fixture.namespace(own)));
  return namespace;
}

interface Pod extends KubeObject {
  readonly spec: Record<string, unknown>;
}

async function dryRun(namespace: string, pod: object): Promise<Pod> {
  return await fixture.client.create<Pod>(`/api/v1/namespaces/${namespace}/pods`, pod, {
    dryRun: "All",
    fieldValidation: "Strict",
  });
}

/** Cases for other versions can not be tried here. */
const here = Object.entries(admissionCases).filter(([, { site }]) => site.serverMinor === SITE.serverMinor);

describe("the API server takes the pod of the case", () => {
  test.each(here)("%s", async (_, { pod, policy, site, skipped }) => {
    const namespace = await namespaceWith(site.namespaceLabels);
    // The volume of a token has a random name.
    const spec = { ...pod.spec, automountServiceAccountToken: false };
    const named = { ...pod, metadata: { ...pod.metadata, name: "case" }, spec };
    // As a webhook gets it: the server has filled in its defaults.
    const stored = await dryRun(namespace, named);
    const mutation = mutatePod(stored, policy, site);
    expect(mutation.skipped.map(({ part, reason }) => [part, reason])).toEqual(skipped);
    const changed = applyPatch(named, mutatePod(named, policy, site).patch);
    const after = await dryRun(namespace, changed);
    expect(mutatePod(after, policy, site).patch).toEqual([]);
    // The patch for what the server sends leads to what it would store.
    expect(applyPatch(stored, mutation.patch).spec).toEqual(after.spec);
  });
});

test("without the rule for Pod Security the API server would refuse a pod", async () => {
  const { "Pod Security baseline pinned to v1.28 refuses them": pinned } = admissionCases;
  const { "the sysctls are set where the pod has no security context": free } = admissionCases;
  if (pinned === undefined || free === undefined) throw new Error("the cases have other names");
  const namespace = await namespaceWith(pinned.site.namespaceLabels);
  const pod = { ...free.expected, metadata: { name: "case" } };
  await expect(dryRun(namespace, pod)).rejects.toThrow(/violates PodSecurity "baseline:v1.28": .*tcp_keepalive/);
});

test("the cluster's name servers and version are read from the API server", async () => {
  const metrics = createMetrics({ version: "test" });
  const config = await loadKubeConfig(clusterOf(inject("env")).kubeconfig);
  const transport = new KubeTransport({ config, clock: systemClock });
  const stop = new AbortController();
  const cluster = watchCluster({
    transport,
    clock: systemClock,
    random: Math.random,
    metrics: metrics.reflector,
    relistEveryMs: 300_000,
    freshForMs: 15_000,
    clusterDomain: "cluster.local",
  });
  const server = new ServerVersion({ transport, clock: systemClock, random: Math.random });
  const running = [cluster.run(stop.signal), server.run(stop.signal)];
  const path = "/api/v1/namespaces/kube-system/services";
  const service = (name: string) => ({
    metadata: { name, labels: { "k8s-app": "kube-dns" } },
    spec: { ports: [{ name: "dns", port: 53, protocol: "UDP" }] },
  });
  try {
    const first = await fixture.client.create<KubeObject & { spec: { clusterIP: string } }>(path, service("test-dns"));
    await vi.waitFor(() => expect(cluster.dns.nameservers).toEqual([first.spec.clusterIP]), { timeout: 60_000 });
    await fixture.client.create(path, service("test-dns-upstream"));
    await vi.waitFor(() => expect(cluster.dns.nameservers).toBeUndefined(), { timeout: 60_000 });
    await fixture.client.delete(`${path}/test-dns-upstream`);
    await vi.waitFor(() => expect(cluster.dns.nameservers).toEqual([first.spec.clusterIP]), { timeout: 60_000 });
    await vi.waitFor(() => expect(server.minor).toBe(SITE.serverMinor), { timeout: 60_000 });
  } finally {
    await fixture.client.delete(`${path}/test-dns`);
    stop.abort();
    await Promise.all(running);
    await transport.close();
  }
});
