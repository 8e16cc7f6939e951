/** Many die at once in three registries: what nobody saw is held back in each of them, and what was seen leaves each at once. */
import { afterAll, beforeAll, expect, test } from "vitest";

import type { FixtureNode } from "../support/cluster-fixture.ts";
import type { Operator } from "../support/operator.ts";
import { untilCondition, untilEvent } from "../support/operator-seen.ts";
import { eventually } from "../support/operator-wait.ts";
import { type EverywhereInstance, POLICY, RegistriesStage } from "../support/registries-stage.ts";

const INSTANCES = 50;
/** Above the 20 % of a registry's instances that may look dead without a witness. */
const DEAD = 20;
/** So many of the dead come back that the others are fewer than that. */
const REPLACED = 13;
const SERVICES = 10;
/** Milliseconds; a busy machine included. */
const AT_ONCE = 10_000;
const policy = { kind: "RegistrationPolicy", name: POLICY } as const;

let stage: RegistriesStage;
let operator: Operator;
/** Runs those who die first. */
let lostNode: FixtureNode;
let doomed: readonly EverywhereInstance[];
let living: EverywhereInstance[];

beforeAll(async () => {
  stage = await RegistriesStage.start({
    zombies: { budget: { unexplainedPercentPerMinute: 100 } },
    // Nothing anywhere but the cluster tells whether its registrant lives.
    nacos: { instances: "Persistent" },
  });
  lostNode = await stage.fixture.node();
  const services = Array.from({ length: INSTANCES }, (_, i) => `shop-${String(i % SERVICES)}`);
  doomed = await stage.instances(services.slice(0, DEAD), { node: lostNode });
  living = await stage.instances(services.slice(DEAD));
  operator = await stage.operator({ flags: { "sweep-interval": "1s" } });
  await stage.untilLive(operator, INSTANCES);
  await stage.untilCaughtUp(operator);
});

afterAll(async () => {
  await stage.stop();
});

/** The node is lost, an administrator says so, and its pods are removed: no kubelet tells of their end. */
async function loseNode(): Promise<void> {
  await stage.fixture.takeOutOfService(lostNode);
  await stage.fixture.each(doomed, ({ pod }) => stage.fixture.forceDeletePod(pod, "Dies"));
}

/** A new pod of the same service gets the address, and registers the same entries. */
async function replace({ service, pod: { addresses }, ids }: EverywhereInstance): Promise<EverywhereInstance> {
  const pod = await stage.hiddenPod({ addresses });
  const instance = await stage.register(pod, service);
  expect(instance.ids).toEqual(ids);
  await stage.fixture.startPod(pod);
  return instance;
}

/** Waits until each registry's own gauge says whether self-preservation is on. */
async function untilSelfPreservation(on: boolean): Promise<void> {
  await eventually(`self-preservation is ${on ? "on" : "off"} in each registry`, async () => {
    await stage.beat();
    const metrics = await operator.metrics();
    return stage.actors.every(({ name }) => {
      return metrics.sum("hygeia_self_preservation", { registry: name }) === (on ? 1 : 0);
    });
  });
}

/** How many have left each registry so far. */
function gone(): number[] {
  return stage.actors.map(({ oracle }) => oracle.departures.length);
}

test(`${String(DEAD * 2)} % die and nobody saw it: nothing leaves any registry until most of them have been replaced`, async () => {
  await loseNode();
  await eventually("all of them are held for dead in each registry, and kept", async () => {
    await stage.beat();
    const kept = (await stage.findings()).filter(
      (it) => it.verdict === "Zombie" && it.blockedBy === "SelfPreservation",
    );
    return stage.actors.every(({ name }) => kept.filter(({ registry }) => registry === name).length === DEAD);
  });
  await untilCondition(stage.fixture.client, policy, {
    type: "EvictionBlocked",
    status: "True",
    reason: "SelfPreservation",
    says: new RegExp(`${String(DEAD)} of ${String(INSTANCES)} instances look dead without a death that was seen`),
  });
  await untilEvent(stage.fixture.client, policy, "EvictionBlockedBySelfPreservation", /look dead/);
  await untilSelfPreservation(true);
  expect((await operator.metrics()).sum("hygeia_evictions_total")).toBe(0);
  expect(gone()).toEqual([0, 0, 0]);

  living.push(...(await stage.fixture.each(doomed.slice(0, REPLACED), replace)));
  await stage.untilLeft(doomed.slice(REPLACED));
  for (const { name } of stage.actors) {
    for (const instance of doomed.slice(REPLACED)) {
      const eviction = await stage.reportedEviction(name, instance);
      expect(eviction).toMatchObject({ evidence: "Unconfirmed", reason: "NodeOutOfService" });
    }
  }
  await untilCondition(stage.fixture.client, policy, {
    type: "EvictionBlocked",
    status: "False",
    reason: "NotBlocked",
  });
  await untilEvent(stage.fixture.client, policy, "EvictionsResumed", /SelfPreservation/);
  await untilSelfPreservation(false);
  await stage.untilLive(operator, living.length);
  expect(gone()).toEqual(stage.actors.map(() => DEAD - REPLACED));
});

test("40 % are scaled away and their kubelets confirm it: all leave every registry at once", async () => {
  const before = gone();
  const held = (await operator.metrics()).sum("hygeia_blocked_evictions_total", { reason: "SelfPreservation" });
  const scaledAway = living.splice(0, Math.floor((living.length * 40) / 100));
  await stage.fixture.each(scaledAway, async ({ pod }) => {
    await stage.fixture.beginTermination(pod);
    await stage.fixture.confirmDeath(pod);
  });
  await stage.untilLeft(scaledAway, AT_ONCE);
  await stage.fixture.each(scaledAway, ({ pod }) => stage.fixture.removePod(pod));
  await stage.untilLive(operator, living.length);
  const metrics = await operator.metrics();
  expect(metrics.sum("hygeia_blocked_evictions_total", { reason: "SelfPreservation" })).toBe(held);
  for (const { name } of stage.actors) {
    const labels = { registry: name, class: "Confirmed" };
    expect(metrics.sum("hygeia_evictions_total", labels), name).toBe(scaledAway.length);
    expect(metrics.sum("hygeia_self_preservation", { registry: name }), name).toBe(0);
  }
  expect(gone()).toEqual(before.map((count) => count + scaledAway.length));
});
