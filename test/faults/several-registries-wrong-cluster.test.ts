/** An API server that answers for no pods, or for another cluster: three registries keep everything, and a condition says why. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { type ControlPlane, startControlPlane } from "../env/index.ts";
import { nodeObject } from "../support/cluster-fixture-objects.ts";
import { KubeClient } from "../support/kube-client.ts";
import type { Operator } from "../support/operator.ts";
import { installOperator, operatorToken } from "../support/operator-install.ts";
import { applyPolicy, getPolicy } from "../support/operator-objects.ts";
import { untilCondition } from "../support/operator-seen.ts";
import { emptyLists, podReads } from "../support/operator-traffic.ts";
import { eventually } from "../support/operator-wait.ts";
import { EtcdSession } from "../support/registrants/index.ts";
import { type EverywhereInstance, POLICY, RegistriesStage } from "../support/registries-stage.ts";

const INSTANCES = 24;
const SERVICES = 6;
const policy = { kind: "RegistrationPolicy", name: POLICY } as const;

let stage: RegistriesStage;
let operator: Operator;
/** Those that live. */
let instances: EverywhereInstance[];

beforeAll(async () => {
  stage = await RegistriesStage.start({
    zombies: { absentFor: "30s", silentFor: "5s", budget: { unexplainedPercentPerMinute: 100 } },
    // Nothing anywhere but the cluster tells whether its registrant lives.
    nacos: { instances: "Persistent" },
  });
  instances = await stage.instances(Array.from({ length: INSTANCES }, (_, i) => `shop-${String(i % SERVICES)}`));
  const flags = { "sweep-interval": "500ms", "relist-interval": "2s", "freshness-limit": "12s" };
  operator = await stage.operator({ flags, proxied: true });
  await stage.untilLive(operator, INSTANCES);
});

afterAll(async () => {
  await stage.stop();
});

/** When the cause is gone: nothing that lives has left any registry, and the operator does its work again. */
afterEach(async () => {
  await stage.untilLive(operator, instances.length);
  await untilCondition(
    stage.fixture.client,
    policy,
    { type: "EvictionBlocked", status: "False", reason: "NotBlocked" },
    60_000,
  );
  await stage.untilCaughtUp(operator);
  const dying = instances.splice(0, 1);
  await stage.die(dying);
  await stage.untilLeft(dying);
  await stage.verify();
});

function expectNothingLeft(): void {
  const left = Object.entries(stage.departures()).map(([name, departures]) => [name, departures.length]);
  const dead = INSTANCES - instances.length;
  expect(left).toEqual(stage.actors.map(({ name }) => [name, dead]));
}

test("an API server that has no pods all of a sudden", async () => {
  const lie = stage.proxy.rule({ match: podReads, action: emptyLists(stage.fixture.client) });
  try {
    await eventually("no pod is known any more", async () => (await operator.metrics()).sum("hygeia_pods") === 0);
    const { message } = await untilCondition(stage.fixture.client, policy, {
      type: "EvictionBlocked",
      status: "True",
      reason: "SelfPreservation",
      says: /without a death that was seen/,
    });
    expect(await stage.fixture.kubectl("describe", "rpol", POLICY)).toContain("SelfPreservation");
    expect(message).toMatch(/registry (etcd|consul|nacos): /);
    for (const { name } of stage.actors) {
      await eventually(`self-preservation is on in ${name}`, async () => {
        return (await operator.metrics()).sum("hygeia_self_preservation", { registry: name }) === 1;
      });
    }
    await stage.untilJudgedAgain(operator);
    expectNothingLeft();
  } finally {
    lie.remove();
  }
});

test("another cluster behind the same address, with the same objects of ours and no pods", async () => {
  const other = await startOtherCluster();
  const client = new KubeClient(other);
  try {
    stage.proxy.setBackend({ ...other, substituteToken: await operatorToken(other) });
    stage.proxy.cut(() => true);
    await eventually("the other cluster's pods are believed to be all", async () => {
      return (await operator.metrics()).sum("hygeia_pods") === 0;
    });
    const { text } = await eventually("/readyz says no", async () => {
      const readiness = await operator.readiness();
      return !readiness.ready && readiness;
    });
    expect(text).toMatch(/belongs to another cluster/);
    await eventually("the policy in the other cluster says why", async () => {
      const { status } = await getPolicy(client, POLICY);
      const ready = status?.conditions?.find(({ type }) => type === "Ready");
      return ready?.reason === "ClusterViewNotFresh" && ready.message.includes("another cluster");
    });
    await eventually("nothing is concluded of any instance", async () => {
      const metrics = await operator.metrics();
      return stage.actors.every(({ name }) => {
        return metrics.sum("hygeia_instances", { verdict: "Unknown", registry: name }) === instances.length;
      });
    });
    await stage.untilJudgedAgain(operator);
    expectNothingLeft();
  } finally {
    const { url, caFile } = stage.controlPlane;
    stage.proxy.setBackend({ url, caFile });
    stage.proxy.cut(() => true);
    // Only a person can say that it is all right now.
    await operator.restart();
    await client.close();
    await other.stop();
  }
});

/** Its revisions are ahead of the first cluster's, so that nothing seems to go back. */
async function startOtherCluster(): Promise<ControlPlane> {
  const other = await startControlPlane();
  await installOperator(other);
  const client = new KubeClient(other);
  const etcd = new EtcdSession({ endpoints: other.etcdServer.endpoints });
  try {
    const { name, address, podCidrs } = stage.node;
    await client.create("/api/v1/nodes", nodeObject(name, address, podCidrs));
    for (const actor of stage.actors) await actor.apply(client);
    await applyPolicy(client, POLICY, { registries: stage.actors.map((actor) => actor.name) });
    const ahead = (await stage.controlPlane.etcdServer.revision()) + 2_000;
    for (let revision = 0; revision < ahead;) revision = await etcd.put("/ahead", "");
    return other;
  } finally {
    await etcd.close();
    await client.close();
  }
}
