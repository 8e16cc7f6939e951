import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";

import { systemClock } from "../../src/clock/system.ts";
import type { ClusterEvent } from "../../src/cluster/changes.ts";
import { watchCluster, type WatchedCluster } from "../../src/cluster/reflectors.ts";
import type { DeathReason } from "../../src/cluster/types.ts";
import { Predictions } from "../../src/controllers/instance/predictions.ts";
import { projectPolicy } from "../../src/controllers/policy/compile.ts";
import { keepNamingAnnotations } from "../../src/controllers/policy/kept-annotations.ts";
import { Policies } from "../../src/controllers/policy/policy-set.ts";
import type { ReflectorMetrics } from "../../src/kube/reflector-options.ts";
import { KubeTransport, loadKubeConfig } from "../../src/kube/transport.ts";
import { type ControlPlane, startControlPlane } from "../env/index.ts";
import { ClusterFixture, type FixtureNode, type FixturePod } from "../support/cluster-fixture.ts";

const unmeasured: ReflectorMetrics = {
  listed: () => undefined,
  listFailed: () => undefined,
  watchEnded: () => undefined,
  events: () => undefined,
  handlerFailed: (handler) => expect.unreachable(`${handler} failed`),
};

/** Of its own, for the view is about the whole cluster. */
let controlPlane: ControlPlane;
let fixture: ClusterFixture;
let namespace: string;
let node: FixtureNode;
let transport: KubeTransport;
let cluster: WatchedCluster;
let events: ClusterEvent[];
let stop: () => Promise<void>;

/** Connects a new view, as a starting operator does. */
async function connect(): Promise<void> {
  const abort = new AbortController();
  transport = new KubeTransport({ config: await loadKubeConfig(controlPlane.kubeconfig), clock: systemClock });
  cluster = watchCluster({
    transport,
    clock: systemClock,
    random: Math.random,
    metrics: () => unmeasured,
    relistEveryMs: 300_000,
    freshForMs: 15_000,
    clusterDomain: "cluster.local",
  });
  events = [];
  cluster.view.subscribe((batch) => events.push(...batch));
  const running = cluster.run(abort.signal);
  stop = async () => {
    abort.abort();
    await running;
    await transport.close();
  };
  await eventually(() => expect(cluster.view.freshness(systemClock.monotonic()).problem).toBeUndefined());
}

async function eventually(check: () => void): Promise<void> {
  await vi.waitFor(check, { timeout: 60_000, interval: 20 });
}

function lookup(pod: FixturePod): { live: string[]; deaths: DeathReason[] } {
  const { live, tombstones } = cluster.view.lookup(pod.address, 8080);
  return { live: live.map((each) => each.pod.uid), deaths: tombstones.map(({ reason }) => reason) };
}

beforeAll(async () => {
  controlPlane = await startControlPlane();
});

afterAll(async () => {
  await controlPlane.stop();
});

beforeEach(async () => {
  fixture = new ClusterFixture(controlPlane);
  [namespace, node] = await Promise.all([fixture.namespace({ team: "shop" }), fixture.node("DualStack")]);
  await connect();
});

afterEach(async () => {
  await stop();
  await fixture.close();
});

test("the view becomes fresh by itself, knows the cluster, and catches up though nothing happens", async () => {
  const { metadata } = await fixture.client.get("/api/v1/namespaces/kube-system");
  expect(cluster.view.clusterUid).toBe(metadata.uid);
  await eventually(() => expect(cluster.view.namespaceLabels(namespace)["team"]).toBe("shop"));
  expect(cluster.view.node(node.name)).toMatchObject({ ready: true, addresses: [node.address] });
  const start = systemClock.monotonic();
  await eventually(() => {
    const { caughtUpTo, problem } = cluster.view.freshness(systemClock.monotonic());
    expect(problem).toBeUndefined();
    expect(caughtUpTo).toBeGreaterThan(start);
  });
});

test("a pod is found by each of its addresses until the kubelet confirms its end", async () => {
  const pod = await fixture.runPod({ namespace, node });
  expect(pod.addresses).toHaveLength(2);
  await eventually(() => expect(lookup(pod).live).toEqual([pod.uid]));
  for (const address of pod.addresses) {
    expect(cluster.view.lookup(address, 8080).live[0]?.pod.uid).toBe(pod.uid);
    expect(cluster.view.inPodNetwork(address)).toBe(true);
  }
  await fixture.beginTermination(pod);
  await eventually(() => expect(cluster.view.pod(pod.uid)?.pod.deleting).toBe(true));
  await fixture.confirmDeath(pod);
  await eventually(() => expect(lookup(pod)).toEqual({ live: [], deaths: ["Finished"] }));
  const before = cluster.view.lookup(pod.address, 8080).tombstones;
  await fixture.removePod(pod);
  await fixture.runPod({ namespace, node, name: "marker" });
  await eventually(() => expect(events.at(-1)).toMatchObject({ pod: { name: "marker" } }));
  expect(cluster.view.lookup(pod.address, 8080).tombstones).toEqual(before);
  expect(events.filter((event) => event.kind === "Pod" && event.change === "Ended")).toHaveLength(1);
});

test("a pod that is removed by force is not confirmed dead", async () => {
  const pod = await fixture.runPod({ namespace, node });
  await eventually(() => expect(lookup(pod).live).toEqual([pod.uid]));
  await fixture.forceDeletePod(pod, "Lives");
  await eventually(() => expect(lookup(pod)).toEqual({ live: [], deaths: ["NotConfirmed"] }));
});

test("a pod in a crash loop lives, and its forced removal in a later crash is not confirmed", async () => {
  const pod = await fixture.runPod({ namespace, node });
  await fixture.showCrashLoop(pod);
  await eventually(() => expect(cluster.view.pod(pod.uid)?.pod.terminated).toBe(true));
  expect(lookup(pod)).toEqual({ live: [pod.uid], deaths: [] });
  await fixture.startPod(pod);
  await fixture.showCrashLoop(pod);
  await fixture.forceDeletePod(pod, "Lives");
  await eventually(() => expect(lookup(pod)).toEqual({ live: [], deaths: ["NotConfirmed"] }));
});

test("a StatefulSet's pod made anew under its name and address is another pod, younger than the death", async () => {
  const old = await fixture.runPod({ namespace, node, name: "db-0" });
  await eventually(() => expect(lookup(old).live).toEqual([old.uid]));
  // A barrier has to pass for the new pod's birth to have a lower bound.
  const seen = systemClock.monotonic();
  await eventually(() => expect(cluster.view.freshness(seen).caughtUpTo).toBeGreaterThan(seen));
  const anew = await fixture.recreatePod(old, { node, addresses: old.addresses });
  await eventually(() => expect(lookup(old)).toEqual({ live: [anew.uid], deaths: ["Finished"] }));
  const { live, tombstones } = cluster.view.lookup(old.address, 8080);
  expect(live[0]?.createdAfter).toBeGreaterThan(seen);
  expect(tombstones[0]?.endedAfter).toBeGreaterThan(seen);
  expect(tombstones[0]?.pod.uid).toBe(old.uid);
});

test("a pod that ended while nobody watched is simply gone, and one that finished is remembered by its object", async () => {
  const [gone, finished] = await fixture.runPods([
    { namespace, node },
    { namespace, node },
  ]);
  if (gone === undefined || finished === undefined) throw new Error("runPods promised two pods");
  await stop();
  await fixture.forceDeletePod(gone, "Dies");
  await fixture.confirmDeath(finished);
  await connect();
  expect(lookup(gone)).toEqual({ live: [], deaths: [] });
  expect(lookup(finished)).toEqual({ live: [], deaths: ["Finished"] });
  expect(cluster.view.lookup(finished.address, 80).tombstones[0]?.endedAfter).toBe(-Infinity);
});

test("a pod that is bound and shows no address may hide behind any, until it shows one", async () => {
  const before = systemClock.monotonic();
  await eventually(() => expect(cluster.view.freshness(before).caughtUpTo).toBeGreaterThan(before));
  const pod = await fixture.createPod({ namespace, node });
  await eventually(() => expect(cluster.view.pod(pod.uid)?.pod.node).toBe(node.name));
  expect(lookup(pod)).toEqual({ live: [], deaths: [] });
  const since = cluster.view.hiddenSince(systemClock.monotonic());
  expect(since).toBeLessThan(systemClock.monotonic());
  expect(since).toBeGreaterThan(-Infinity);
  await fixture.startPod(pod);
  await eventually(() => expect(lookup(pod).live).toEqual([pod.uid]));
  expect(cluster.view.hiddenSince(systemClock.monotonic())).toBeGreaterThan(since);
});

test("an EndpointSlice bears witness of the pod that it refers to, ready or not, until it is gone", async () => {
  const [ready, unready] = await fixture.runPods([
    { namespace, node },
    { namespace, node },
  ]);
  if (ready === undefined || unready === undefined) throw new Error("runPods promised two pods");
  const endpoint = ({ address, name, uid }: FixturePod, conditions: object): object => ({
    addresses: [address],
    conditions,
    nodeName: node.name,
    targetRef: { kind: "Pod", namespace, name, uid },
  });
  const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;
  await fixture.client.create(path, {
    metadata: { name: "orders-1", labels: { "kubernetes.io/service-name": "orders" } },
    addressType: "IPv4",
    // As the API reads it, an endpoint that does not say whether it is ready is.
    endpoints: [endpoint(ready, {}), endpoint(unready, { ready: false, serving: true, terminating: true })],
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
  });
  const witnesses = ({ address }: FixturePod): unknown[] =>
    cluster.view.witnesses(address).map(({ podUid, ready }) => ({ podUid, ready }));
  await eventually(() => {
    expect(witnesses(ready)).toEqual([{ podUid: ready.uid, ready: true }]);
    expect(witnesses(unready)).toEqual([{ podUid: unready.uid, ready: false }]);
  });
  await fixture.client.delete(`${path}/orders-1`);
  await eventually(() => expect([...witnesses(ready), ...witnesses(unready)]).toEqual([]));
});

test("an address of a node that is not Ready is out of reach until the node is back", async () => {
  const pod = await fixture.runPod({ namespace, node });
  await eventually(() => expect(lookup(pod).live).toEqual([pod.uid]));
  expect(cluster.view.unreachableUntil(pod.address)).toBeLessThan(systemClock.monotonic());
  await fixture.setNodeReady(node, "Unknown");
  await eventually(() => expect(cluster.view.unreachableUntil(pod.address)).toBe(Infinity));
  await fixture.setNodeReady(node, "True");
  await eventually(() => expect(cluster.view.unreachableUntil(pod.address)).toBeLessThan(Infinity));
});

test("a policy that names services by an annotation predicts those of pods that ran before it, and touches no others", async () => {
  const key = `example.com/service-${namespace}`;
  const [named, other] = await fixture.runPods([
    { namespace, node, annotations: { [key]: "orders" } },
    { namespace, node },
  ]);
  if (named === undefined || other === undefined) throw new Error("runPods promised two pods");
  await eventually(() => expect([...lookup(named).live, ...lookup(other).live]).toEqual([named.uid, other.uid]));
  const policies = new Policies((name) => cluster.view.namespaceLabels(name));
  keepNamingAnnotations(policies, cluster);
  const predictions = new Predictions(cluster.view, policies);
  const { resourceVersion } = cluster.view.pod(named.uid)?.pod ?? {};
  events.length = 0;
  const object = projectPolicy({
    metadata: {
      name: "late",
      uid: "u",
      resourceVersion: "1",
      generation: 1,
      creationTimestamp: "2026-01-01T00:00:00Z",
    },
    spec: { registration: { registries: [{ name: "main" }], service: { from: "Annotation", key } } },
  });
  policies.apply([{ type: "Added", object, createdAfter: -Infinity }]);
  await eventually(() => {
    expect(predictions.servicesOf(named.uid)).toEqual([{ policy: "late", service: "orders", port: undefined }]);
  });
  expect(cluster.view.pod(named.uid)?.pod.resourceVersion).toBe(resourceVersion);
  const told = events.filter((event) => event.kind === "Pod").map(({ uid, change }) => [uid, change]);
  expect(told).toEqual([[named.uid, "Changed"]]);
  predictions.close();
});
