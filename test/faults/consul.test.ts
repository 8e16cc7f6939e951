/** Consul through the whole operator: what leaves, what stays, and that the same registered again is never taken. */
import Consul from "consul";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type ConsulServer, type ControlPlane, startConsul, startControlPlane } from "../env/index.ts";
import { ClusterFixture, type FixtureNode, type FixturePod } from "../support/cluster-fixture.ts";
import { type CatalogRegistration, catalogRegistration, ConsulApi, EXTERNAL_NODE } from "../support/consul-api.ts";
import { type Operator, startOperator } from "../support/operator.ts";
import { installOperator, OPERATOR_NAMESPACE } from "../support/operator-install.ts";
import { applyConsulRegistry, applyPolicy, findReport, getRegistry } from "../support/operator-objects.ts";
import { eventually } from "../support/operator-wait.ts";

const MANAGEMENT = "11111111-2222-4333-8444-555555555555";
const POLICY = "all";
/** Newborns that take over an address with the identical entry. */
const ROUNDS = 100;
const PORT = 8080;

let controlPlane: ControlPlane;
let consul: ConsulServer;
let api: ConsulApi;
let fixture: ClusterFixture;
let operator: Operator;
let node: FixtureNode;
let namespace: string;
let pacemaker: FixturePod;
let beats = 0;

beforeAll(async () => {
  [controlPlane, consul] = await Promise.all([
    startControlPlane(),
    startConsul({ acl: { managementToken: MANAGEMENT } }),
  ]);
  api = new ConsulApi(consul.url, MANAGEMENT);
  await installOperator(controlPlane);
  fixture = new ClusterFixture(controlPlane);
  const secrets = `/api/v1/namespaces/${OPERATOR_NAMESPACE}/secrets`;
  await fixture.client.create(secrets, { metadata: { name: "consul-token" }, stringData: { token: MANAGEMENT } });
  await applyConsulRegistry(fixture.client, "consul", {
    endpoints: [consul.url],
    consul: { tokenSecretRef: { name: "consul-token" } },
  });
  await applyPolicy(fixture.client, POLICY, {
    registries: ["consul"],
    zombies: { budget: { evictionsPerSecond: 1_000, burst: 2_000 } },
  });
  [node, namespace] = [await fixture.node(), await fixture.namespace()];
  pacemaker = await fixture.runPod({ namespace, node, name: "pacemaker" });
  operator = await startOperator({ cluster: controlPlane, flags: { "sweep-interval": "1s" } });
  await operator.untilReady();
});

afterAll(async () => {
  await operator.stop();
  await fixture.close();
  await Promise.all([controlPlane.stop(), consul.stop()]);
  expect(JSON.stringify(operator.log.lines)).not.toContain(MANAGEMENT);
});

/** Something for the operator's watch to tell before its next bookmark. */
async function beat(): Promise<void> {
  const body = { metadata: { annotations: { beat: String(++beats) } } };
  await fixture.client.patch(`/api/v1/namespaces/${namespace}/pods/${pacemaker.name}`, body);
}

async function register(
  pod: FixturePod,
  id: string,
  service: string,
  more: Partial<CatalogRegistration> = {},
): Promise<void> {
  const registration = { id, service, host: pod.address, port: PORT, status: "passing" as const, ...more };
  await api.put("/v1/catalog/register", catalogRegistration(registration));
}

async function listed(): Promise<readonly string[]> {
  return (await api.services(EXTERNAL_NODE)) ?? [];
}

async function untilVerdict(verdict: string, count: number): Promise<void> {
  await eventually(`${String(count)} instances are ${verdict}`, async () => {
    await beat();
    return (await operator.metrics()).sum("hygeia_instances", { verdict }) >= count;
  });
}

async function live(): Promise<number> {
  return (await operator.metrics()).sum("hygeia_instances", { verdict: "Live" });
}

async function untilLeft(id: string): Promise<void> {
  await eventually(`${id} left`, async () => {
    await beat();
    return !(await listed()).includes(id);
  });
}

describe("the Registry", () => {
  test("is ready, and says which Consul it is", async () => {
    const { status } = await eventually("the Registry is ready", async () => {
      const registry = await getRegistry(fixture.client, "consul");
      const ready = registry.status?.conditions?.find(({ type }) => type === "Ready");
      return ready?.status === "True" && registry;
    });
    expect(status).toMatchObject({ mode: "Normal", serverVersion: "1.19.2" });
    expect(status?.clusterId).toMatch(/\.consul$/);
  });
});

describe("an entry of the catalog", () => {
  test("leaves when its pod has ended by its kubelet's word, and the others stay", async () => {
    const before = await live();
    const pods = await fixture.runPods([1, 2, 3].map(() => ({ namespace, node })));
    await Promise.all(pods.map((pod, i) => register(pod, `web-${String(i)}`, "web")));
    await untilVerdict("Live", before + 3);
    await operator.untilCaughtUp(beat);
    const [dead] = pods;
    if (dead === undefined) throw new Error("three pods were asked for");
    await fixture.confirmDeath(dead);
    await untilLeft("web-0");
    expect(await listed()).toEqual(expect.arrayContaining(["web-1", "web-2"]));
    const eviction = await eventually("the report names the eviction", async () => {
      const report = await findReport(fixture.client, POLICY);
      return report?.status?.evictions?.find(({ id }) => id === `${EXTERNAL_NODE}/web-0`);
    });
    expect(eviction).toMatchObject({ evidence: "Confirmed", result: "Verified" });
  });

  test("of another controller is reported and stays", async () => {
    const pod = await fixture.runPod({ namespace, node });
    await register(pod, "synced", "synced", { meta: { "external-source": "kubernetes" } });
    await untilVerdict("Foreign", 1);
    await operator.untilCaughtUp(beat);
    await fixture.confirmDeath(pod);
    await operator.untilCaughtUp(beat);
    expect(await listed()).toContain("synced");
  });
});

describe("an entry that a living agent keeps", () => {
  test("leaves at that agent, where it is the endpoint", async () => {
    const before = await live();
    const pod = await fixture.runPod({ namespace, node });
    const { hostname: host, port } = new URL(consul.url);
    const agent = new Consul({ host, port: Number(port), defaults: { token: MANAGEMENT } });
    await agent.agent.service.register({
      id: "kept",
      name: "kept",
      address: pod.address,
      port: PORT,
      check: { ttl: "60s" },
    } as Parameters<typeof agent.agent.service.register>[0] & object);
    await untilVerdict("Live", before + 1);
    await operator.untilCaughtUp(beat);
    await fixture.confirmDeath(pod);
    await eventually("the agent has forgotten it", async () => {
      await beat();
      return !("kept" in ((await agent.agent.services()) as object));
    });
    expect(await api.services("consul-0")).not.toContain("kept");
  });
});

describe("a newborn on the address of a dead pod, with the identical entry", () => {
  test(`is never taken, ${String(ROUNDS)} times: registered before the death is told, address not told yet`, async () => {
    const before = await live();
    const old = await fixture.runPods(Array.from({ length: ROUNDS }, () => ({ namespace, node })));
    await Promise.all(old.map((pod, i) => register(pod, `twin-${String(i)}`, "twin")));
    await untilVerdict("Live", before + ROUNDS);
    await operator.untilCaughtUp(beat);
    const newborns = await Promise.all(old.map(({ addresses }) => fixture.createPod({ namespace, node, addresses })));
    // Nothing in Consul moves by this.
    await Promise.all(newborns.map((pod, i) => register(pod, `twin-${String(i)}`, "twin")));
    await Promise.all(old.map((pod) => fixture.confirmDeath(pod)));
    await operator.untilCaughtUp(beat);
    await Promise.all(newborns.map((pod) => fixture.startPod(pod)));
    await untilVerdict("Live", before + ROUNDS);
    const left = await listed();
    expect(old.map((_, i) => `twin-${String(i)}`).filter((id) => !left.includes(id))).toEqual([]);
    // And what is dead for good leaves afterwards.
    await Promise.all(newborns.slice(0, 10).map((pod) => fixture.confirmDeath(pod)));
    for (let i = 0; i < 10; i++) await untilLeft(`twin-${String(i)}`);
  });
});
