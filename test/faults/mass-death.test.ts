import { afterAll, beforeAll, expect, test } from "vitest";

import type { FixtureNode } from "../support/cluster-fixture.ts";
import type { Operator } from "../support/operator.ts";
import { findReport } from "../support/operator-objects.ts";
import { untilCondition, untilEvent } from "../support/operator-seen.ts";
import { type Framework, POLICY, REGISTRY, Stage, type StagedInstance } from "../support/operator-stage.ts";
import { eventually } from "../support/operator-wait.ts";

const INSTANCES = 100;
/** Above the 20 % of a registry's instances that may look dead without a witness. */
const DEAD = 40;
/** So many of the dead come back that the others are fewer than that. */
const REPLACED = 25;
const SERVICES = 10;
/** The registry never forgets it by itself, and its key is the address. */
const UNLEASED: Framework = "Unleased";
const policy = { kind: "RegistrationPolicy", name: POLICY } as const;

let stage: Stage;
let operator: Operator;
/** Runs those who die first. */
let lostNode: FixtureNode;
let doomed: readonly StagedInstance[];
let living: StagedInstance[];

beforeAll(async () => {
  stage = await Stage.start({ zombies: { budget: { unexplainedPercentPerMinute: 100 } } });
  lostNode = await stage.fixture.node();
  const all = await stage.instances(
    Array.from({ length: INSTANCES }, (_, i) => ({
      framework: UNLEASED,
      service: `shop-${i % SERVICES}`,
      ...(i < DEAD && { node: lostNode }),
    })),
  );
  doomed = all.slice(0, DEAD);
  living = all.slice(DEAD);
  operator = await stage.operator({ flags: { "sweep-interval": "1s" } });
  await stage.untilLive(operator, INSTANCES);
  await stage.untilCaughtUp(operator);
});

afterAll(async () => {
  await stage.stop();
});

async function metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number> {
  return (await operator.metrics()).sum(name, labels);
}

/** The node is lost, an administrator says so, and its pods are removed: no kubelet tells of their end. */
async function loseNode(): Promise<void> {
  await stage.fixture.takeOutOfService(lostNode);
  await stage.fixture.each(doomed, async ({ registrant, pod }) => {
    registrant.crash();
    await stage.fixture.forceDeletePod(pod, "Dies");
  });
}

/** A new pod of the same service gets the address, and registers itself under the same key. */
async function replace({ framework, service, pod }: StagedInstance): Promise<StagedInstance> {
  const successor = await stage.hiddenPod({ addresses: pod.addresses });
  const instance = await stage.register(successor, { framework, service });
  await stage.fixture.startPod(successor);
  return instance;
}

test(`${DEAD} % die and nobody saw it: nothing leaves until most of them have been replaced`, async () => {
  await loseNode();
  await eventually("all of them are held for dead, and kept", async () => {
    const findings = (await findReport(stage.fixture.client, POLICY))?.status?.findings ?? [];
    const kept = findings.filter((it) => it.verdict === "Zombie" && it.blockedBy === "SelfPreservation");
    return kept.length === DEAD;
  });
  await untilCondition(stage.fixture.client, policy, {
    type: "EvictionBlocked",
    status: "True",
    reason: "SelfPreservation",
    says: new RegExp(
      `registry ${REGISTRY}: .*${DEAD} of ${INSTANCES} instances look dead without a death that was seen`,
    ),
  });
  await untilEvent(stage.fixture.client, policy, "EvictionBlockedBySelfPreservation", /look dead/);
  expect(await metric("hygeia_self_preservation", { registry: REGISTRY })).toBe(1);
  expect(await metric("hygeia_evictions_total")).toBe(0);
  expect(stage.oracle.departures).toEqual([]);

  living.push(...(await stage.fixture.each(doomed.slice(0, REPLACED), replace)));
  for (const { key } of doomed.slice(REPLACED)) {
    expect(await stage.oracle.departure(key)).toMatchObject({ cause: "Evicted" });
    expect(await stage.reportedEviction(key)).toMatchObject({ evidence: "Unconfirmed", reason: "NodeOutOfService" });
  }
  await untilCondition(stage.fixture.client, policy, {
    type: "EvictionBlocked",
    status: "False",
    reason: "NotBlocked",
  });
  await untilEvent(stage.fixture.client, policy, "EvictionsResumed", /SelfPreservation/);
  expect(await metric("hygeia_self_preservation", { registry: REGISTRY })).toBe(0);
  await stage.untilLive(operator, living.length);
  expect(stage.oracle.departures).toHaveLength(DEAD - REPLACED);
});

test(`${DEAD} % are scaled away and their kubelets confirm it: all leave at once`, async () => {
  const before = stage.oracle.departures.length;
  const held = await metric("hygeia_blocked_evictions_total", { reason: "SelfPreservation" });
  const scaledAway = living.splice(0, (living.length * DEAD) / 100);
  await stage.fixture.each(scaledAway, async ({ registrant, pod }) => {
    await stage.fixture.beginTermination(pod);
    registrant.crash();
    await stage.fixture.confirmDeath(pod);
  });
  for (const { key } of scaledAway) {
    expect(await stage.oracle.departure(key, 5_000)).toMatchObject({ cause: "Evicted" });
  }
  await stage.fixture.each(scaledAway, ({ pod }) => stage.fixture.removePod(pod));
  await stage.untilLive(operator, living.length);
  expect(await metric("hygeia_evictions_total", { class: "Confirmed" })).toBe(scaledAway.length);
  expect(await metric("hygeia_blocked_evictions_total", { reason: "SelfPreservation" })).toBe(held);
  expect(await metric("hygeia_self_preservation", { registry: REGISTRY })).toBe(0);
  expect(stage.oracle.departures).toHaveLength(before + scaledAway.length);
});
