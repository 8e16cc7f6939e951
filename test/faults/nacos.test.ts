/** Nacos through the whole operator: what leaves, what stays, and that a newborn on a reused address is never taken. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { RegistrationReportEviction } from "../../src/api/v1alpha1/index.ts";
import { type ControlPlane, NACOS_USER, type NacosServer, startControlPlane, startNacos } from "../env/index.ts";
import { ClusterFixture, type FixtureNode, type FixturePod } from "../support/cluster-fixture.ts";
import { NacosApi, type NacosRegistration } from "../support/nacos-api.ts";
import { startGrpcRegistrant } from "../support/nacos-registrants.ts";
import { type Operator, startOperator } from "../support/operator.ts";
import { installOperator, OPERATOR_NAMESPACE } from "../support/operator-install.ts";
import { applyNacosRegistry, applyPolicy, findReport, getRegistry } from "../support/operator-objects.ts";
import { untilEvent } from "../support/operator-seen.ts";
import { eventually } from "../support/operator-wait.ts";
import { nacosId } from "../support/registry-nacos.ts";

const PASSWORD = "pass-word-5f1e";
/** Newborns that take over an address with the identical registration. */
const ROUNDS = 50;
const PORT = 8080;
/** Nacos itself must forget nobody while a test looks on. */
const UNHURRIED = { "preserved.heart.beat.timeout": "600000", "preserved.ip.delete.timeout": "600000" };

let controlPlane: ControlPlane;
let nacos: NacosServer;
let api: NacosApi;
let fixture: ClusterFixture;
let operator: Operator;
let node: FixtureNode;
let namespace: string;
let pacemaker: FixturePod;
let beats = 0;

beforeAll(async () => {
  // The operator logs in; whoever registers need not.
  const settings = ["nacos.core.auth.enabled=false"];
  [controlPlane, nacos] = await Promise.all([startControlPlane(), startNacos({ password: PASSWORD, settings })]);
  api = new NacosApi(nacos.url, { username: NACOS_USER, password: PASSWORD });
  await installOperator(controlPlane);
  fixture = new ClusterFixture(controlPlane);
  const secrets = `/api/v1/namespaces/${OPERATOR_NAMESPACE}/secrets`;
  const stringData = { username: NACOS_USER, password: PASSWORD };
  await fixture.client.create(secrets, { metadata: { name: "nacos-login" }, stringData });
  await applyNacosRegistry(fixture.client, "nacos", {
    endpoints: [nacos.url],
    spec: { credentials: { secretRef: { name: "nacos-login" } } },
  });
  [node, namespace] = [await fixture.node(), await fixture.namespace()];
  const budget = { evictionsPerSecond: 1_000, burst: 2_000 };
  await applyPolicy(fixture.client, "evict", { registries: ["nacos"], namespace, zombies: { budget } });
  pacemaker = await fixture.runPod({ namespace, node, name: "pacemaker" });
  operator = await startOperator({ cluster: controlPlane, flags: { "sweep-interval": "1s" } });
  await operator.untilReady();
});

afterAll(async () => {
  await operator.stop();
  await fixture.close();
  await Promise.all([controlPlane.stop(), nacos.stop()]);
  expect(JSON.stringify(operator.log.lines)).not.toContain(PASSWORD);
});

/** Something for the operator's watch to tell before its next bookmark. */
async function beat(): Promise<void> {
  const body = { metadata: { annotations: { beat: String(++beats) } } };
  await fixture.client.patch(`/api/v1/namespaces/${namespace}/pods/${pacemaker.name}`, body);
}

function registrationOf(pod: FixturePod, service: string, more: Partial<NacosRegistration> = {}): NacosRegistration {
  return { service, ip: pod.address, port: PORT, metadata: UNHURRIED, ...more };
}

async function listed(service: string): Promise<readonly string[]> {
  return (await api.list(service)).map(({ ip }) => ip);
}

async function live(): Promise<number> {
  return (await operator.metrics()).sum("hygeia_instances", { verdict: "Live" });
}

async function untilLive(count: number): Promise<void> {
  await eventually(`${String(count)} instances are Live`, async () => {
    await beat();
    return (await live()) >= count;
  });
}

async function untilLeft(service: string, ip: string): Promise<void> {
  await eventually(`${ip} left ${service}`, async () => {
    await beat();
    return !(await listed(service)).includes(ip);
  });
}

describe("the Registry", () => {
  test("is ready, and says which Nacos it is", async () => {
    const { status } = await eventually("the Registry is ready", async () => {
      const registry = await getRegistry(fixture.client, "nacos");
      const ready = registry.status?.conditions?.find(({ type }) => type === "Ready");
      return ready?.status === "True" && registry;
    });
    expect(status).toMatchObject({ mode: "Normal", serverVersion: "3.1.0-bugfix" });
  });
});

describe.each([
  ["registered over HTTP", true],
  ["persistent", false],
])("an instance that is %s", (_, ephemeral) => {
  const service = `web-${String(ephemeral)}`;

  test("leaves when its pod has ended by its kubelet's word, and the others stay", async () => {
    const before = await live();
    const pods = await fixture.runPods([1, 2, 3].map(() => ({ namespace, node })));
    await Promise.all(pods.map((pod) => api.register(registrationOf(pod, service, { ephemeral }))));
    await untilLive(before + 3);
    await operator.untilCaughtUp(beat);
    const [dead, ...others] = pods;
    if (dead === undefined) throw new Error("three pods were asked for");
    await fixture.confirmDeath(dead);
    await untilLeft(service, dead.address);
    expect(await listed(service)).toEqual(expect.arrayContaining(others.map((pod) => pod.address)));
    const id = nacosId(registrationOf(dead, service));
    const eviction = await eventually("the report names the eviction", async () => {
      const report = await findReport(fixture.client, "evict");
      return report?.status?.evictions?.find((one) => one.id === id);
    });
    expect(eviction).toMatchObject({ evidence: "Confirmed", result: "Verified" });
  });

  test(`registered identically by a newborn on the same address is never taken, ${String(ROUNDS)} times`, async () => {
    const twin = `${service}-twin`;
    const before = await live();
    const old = await fixture.runPods(Array.from({ length: ROUNDS }, () => ({ namespace, node })));
    await Promise.all(old.map((pod) => api.register(registrationOf(pod, twin, { ephemeral }))));
    await untilLive(before + ROUNDS);
    await operator.untilCaughtUp(beat);
    const newborns = await Promise.all(old.map(({ addresses }) => fixture.createPod({ namespace, node, addresses })));
    await Promise.all(newborns.map((pod) => api.register(registrationOf(pod, twin, { ephemeral }))));
    await Promise.all(old.map((pod) => fixture.confirmDeath(pod)));
    await operator.untilCaughtUp(beat);
    await Promise.all(newborns.map((pod) => fixture.startPod(pod)));
    await untilLive(before + ROUNDS);
    const left = await listed(twin);
    expect(old.map(({ address }) => address).filter((address) => !left.includes(address))).toEqual([]);
    // And what is dead for good leaves afterwards. That a persistent one was written again is learned within half a minute
    // only, and then counts as written just now: its next death would be one of an unknown writer until then.
    if (!ephemeral) return;
    await Promise.all(newborns.slice(0, 5).map((pod) => fixture.confirmDeath(pod)));
    for (const { address } of newborns.slice(0, 5)) await untilLeft(twin, address);
  });
});

describe("an instance that hangs on a gRPC connection", () => {
  test("is left alone when a person took it out of rotation", async () => {
    const service = "switched-off";
    const before = await live();
    const pod = await fixture.runPod({ namespace, node });
    const process = await startGrpcRegistrant(nacos, service, [`${pod.address}:${String(PORT)}`], api);
    await untilLive(before + 1);
    await api.setEnabled(registrationOf(pod, service, { metadata: { owner: "registrant" }, weight: 3 }), false);
    const mark = await operator.metrics();
    await operator.untilCaughtUp(beat);
    await eventually("it was judged many times since", async () => {
      const now = await operator.metrics();
      return now.sum("hygeia_judgements_total") > mark.sum("hygeia_judgements_total") + 5 * (before + 1);
    });
    expect(await api.list(service)).toMatchObject([{ enabled: false }]);
    await process.stop();
    await eventually("the operator has seen it leave", async () => {
      await beat();
      return (await live()) === before;
    });
  });

  test("is taken out of rotation when its pod has ended, and put back when a pod lives at its address again", async () => {
    const service = "grpc";
    const before = await live();
    const pod = await fixture.runPod({ namespace, node });
    const frozen = await startGrpcRegistrant(nacos, service, [`${pod.address}:${String(PORT)}`], api);
    await untilLive(before + 1);
    await operator.untilCaughtUp(beat);
    // Its node has stopped it, and goes on answering for it.
    frozen.pause();
    await fixture.confirmDeath(pod);
    await eventually("callers are told nothing of it", async () => {
      await beat();
      return (await api.consumerList(service)).length === 0;
    });
    expect(await api.list(service)).toMatchObject([{ enabled: false, weight: 3, metadata: { owner: "registrant" } }]);
    expect(await untilReported(service, "Quarantined")).toMatchObject({ evidence: "Confirmed" });

    await fixture.removePod(pod);
    const { addresses } = pod;
    const heir = await fixture.runPod({ namespace, node, addresses });
    await startGrpcRegistrant(nacos, service, [`${heir.address}:${String(PORT)}`], api);
    await eventually("callers are told of the heir", async () => {
      await beat();
      return (await api.consumerList(service)).length === 1;
    });
    expect(await api.list(service)).toMatchObject([{ enabled: true, weight: 3, metadata: { owner: "registrant" } }]);
    await untilReported(service, "Released");
    const event = await untilEvent(
      fixture.client,
      { kind: "RegistrationPolicy", name: "evict" },
      "InstanceReleased",
      /grpc/,
    );
    expect(event.type).toBe("Normal");
  });
});

/** What the report says of an eviction from a service, when it says this. */
async function untilReported(service: string, result: string): Promise<RegistrationReportEviction> {
  return eventually(`the report says ${result} of ${service}`, async () => {
    await beat();
    const report = await findReport(fixture.client, "evict");
    return report?.status?.evictions?.find((one) => one.service.endsWith(service) && one.result === result);
  });
}
