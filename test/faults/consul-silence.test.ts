/** Deaths that no kubelet confirmed, of what a living Consul agent keeps with a check by TTL: who beats is not taken. */
import Consul from "consul";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type ConsulServer, type ControlPlane, startConsul, startControlPlane } from "../env/index.ts";
import { ClusterFixture, type FixtureNode, type FixturePod } from "../support/cluster-fixture.ts";
import { catalogRegistration, ConsulApi } from "../support/consul-api.ts";
import { type Operator, startOperator } from "../support/operator.ts";
import { installOperator } from "../support/operator-install.ts";
import { applyConsulRegistry, applyPolicy, findReport } from "../support/operator-objects.ts";
import { eventually } from "../support/operator-wait.ts";

const POLICY = "all";
/** The agent calls a heartbeat missed after this. */
const TTL = "2s";
const BEAT_MS = 400;
/** Live entries of no interest: what looks dead must stay a small part of the registry. */
const BYSTANDERS = 40;
/** A kubelet is given 75 s to hear of a removal, then 5 s of silence are to be heard. */
const ENDED_BY_KUBELET = 150_000;
/** How often something is to be judged and kept. */
const AGAIN = 5;

interface Kept {
  readonly id: string;
  readonly pod: FixturePod;
  /** Ends the process. */
  readonly stop: () => Promise<void>;
}

let controlPlane: ControlPlane;
let consul: ConsulServer;
let api: ConsulApi;
let fixture: ClusterFixture;
let operator: Operator;
let namespace: string;
/** Where an administrator vouches that nothing runs. */
let vouched: FixtureNode;
let ready: FixtureNode;
const cast = new Map<string, Kept>();

beforeAll(async () => {
  [controlPlane, consul] = await Promise.all([startControlPlane(), startConsul()]);
  api = new ConsulApi(consul.url);
  await installOperator(controlPlane);
  fixture = new ClusterFixture(controlPlane);
  await applyConsulRegistry(fixture.client, "consul", { endpoints: [consul.url] });
  await applyPolicy(fixture.client, POLICY, {
    registries: ["consul"],
    zombies: { absentFor: "30s", silentFor: "5s", budget: { unexplainedPercentPerMinute: 100 } },
  });
  [ready, vouched, namespace] = [await fixture.node(), await fixture.node(), await fixture.namespace()];
  const bystanders = await fixture.runPods(Array.from({ length: BYSTANDERS }, () => ({ namespace, node: ready })));
  await fixture.each(bystanders, async ({ address: host, name: id }) => {
    await api.put("/v1/catalog/register", catalogRegistration({ id, service: "bystander", host }));
  });
  for (const [role, node] of [
    ["vouched for, dead", vouched],
    ["vouched for, alive", vouched],
    ["removed, dead", ready],
    ["removed, alive", ready],
    ["confirmed", ready],
  ] as const) {
    cast.set(role, await keep(role.replaceAll(/\W+/g, "-"), await fixture.runPod({ namespace, node })));
  }
  operator = await startOperator({ cluster: controlPlane, flags: { "sweep-interval": "1s" } });
  await operator.untilReady();
  await eventually("all are Live", async () => {
    return (await operator.metrics()).sum("hygeia_instances", { verdict: "Live" }) === BYSTANDERS + cast.size;
  });
  // It knows then that the nodes were Ready before what follows.
  const [pacemaker] = bystanders;
  let beats = 0;
  await operator.untilCaughtUp(async () => {
    const body = { metadata: { annotations: { beat: String(++beats) } } };
    await fixture.client.patch(`/api/v1/namespaces/${namespace}/pods/${pacemaker?.name}`, body);
  });
});

afterAll(async () => {
  await Promise.all([...cast.values()].map(({ stop }) => stop()));
  await operator.stop();
  await fixture.close();
  await Promise.all([controlPlane.stop(), consul.stop()]);
});

/** As a service process does: registers at the agent and says the same again and again, by which no index moves. */
async function keep(id: string, pod: FixturePod): Promise<Kept> {
  const { hostname: host, port } = new URL(consul.url);
  const { agent } = new Consul({ host, port: Number(port) });
  await agent.service.register({
    id,
    name: id,
    address: pod.address,
    port: 80,
    check: { ttl: TTL, status: "passing" },
  } as Parameters<typeof agent.service.register>[0] & object);
  let beating = Promise.resolve();
  const timer = setInterval(() => {
    beating = beating.then(() => agent.check.pass({ id: `service:${id}` }) as Promise<void>).catch(() => undefined);
  }, BEAT_MS);
  return {
    id,
    pod,
    stop: async () => {
      clearInterval(timer);
      await beating;
    },
  };
}

function play(role: string): Kept {
  const found = cast.get(role);
  if (found === undefined) throw new Error(`nobody plays "${role}"`);
  return found;
}

async function isListed({ id }: Kept): Promise<boolean> {
  return (await api.services("consul-0"))?.includes(id) === true;
}

async function untilLeft(kept: Kept, within?: number): Promise<void> {
  await eventually(`${kept.id} left`, async () => !(await isListed(kept)), within);
}

/** Waits until the report keeps it because of its heartbeats, time and again. */
async function untilKept({ id }: Kept, within?: number): Promise<void> {
  await eventually(
    `${id} is kept for its heartbeats`,
    async () => {
      const report = await findReport(fixture.client, POLICY);
      return report?.status?.findings?.find((finding) => finding.id === `consul-0/${id}`)?.reason;
    },
    within,
  ).then((reason) => expect(reason).toBe("HeartbeatNotSilentYet"));
  const judged = async (): Promise<number> => (await operator.metrics()).sum("hygeia_judgements_total");
  const wanted = (await judged()) + AGAIN * (BYSTANDERS + cast.size);
  await eventually("all were judged again and again", async () => (await judged()) >= wanted);
}

async function eviction({ id }: Kept) {
  return await eventually("the report names the eviction", async () => {
    const report = await findReport(fixture.client, POLICY);
    return report?.status?.evictions?.find((one) => one.id === `consul-0/${id}`);
  });
}

describe.concurrent("of a pod that was removed by force", () => {
  test("where an administrator vouches for the node, the silent one leaves and the one that beats stays", async () => {
    const [dead, alive] = [play("vouched for, dead"), play("vouched for, alive")];
    await dead.stop();
    await fixture.forceDeletePod(dead.pod, "Dies");
    await fixture.forceDeletePod(alive.pod, "Lives");
    await fixture.takeOutOfService(vouched);
    await untilLeft(dead, 60_000);
    expect(await eviction(dead)).toMatchObject({ evidence: "Unconfirmed", reason: "NodeOutOfService" });
    await untilKept(alive);
    expect(await isListed(alive)).toBe(true);
    await alive.stop();
    await untilLeft(alive, 60_000);
  });

  test(
    "from a node that is Ready, the silent one leaves and the one that beats stays",
    { timeout: 300_000 },
    async () => {
      const [dead, alive] = [play("removed, dead"), play("removed, alive")];
      await dead.stop();
      await fixture.forceDeletePod(dead.pod, "Dies");
      await fixture.forceDeletePod(alive.pod, "Lives");
      await untilLeft(dead, ENDED_BY_KUBELET);
      expect(await eviction(dead)).toMatchObject({ evidence: "Unconfirmed", reason: "EndedByKubelet" });
      await eventually("the kubelet's time is over", async () => {
        const report = await findReport(fixture.client, POLICY);
        const found = report?.status?.findings?.find(({ id }) => id === `consul-0/${alive.id}`);
        return found?.reason !== "KubeletNotDoneYet";
      });
      await untilKept(alive);
      expect(await isListed(alive)).toBe(true);
      await alive.stop();
      await untilLeft(alive, 60_000);
    },
  );
});

test("a death that a kubelet confirmed waits for no silence", async () => {
  const confirmed = play("confirmed");
  await fixture.confirmDeath(confirmed.pod);
  await untilLeft(confirmed);
  expect(await eviction(confirmed)).toMatchObject({ evidence: "Confirmed", reason: "DeathConfirmed" });
});
