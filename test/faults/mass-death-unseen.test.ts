/** Many pods vanish while their watch is broken, so that not one deletion was seen: each of the two signs of that holds evictions back. */
import { afterAll, beforeAll, expect, test } from "vitest";

import { answer } from "../env/proxy/index.ts";
import type { FixtureNode } from "../support/cluster-fixture.ts";
import type { Operator } from "../support/operator.ts";
import { findReport } from "../support/operator-objects.ts";
import { type Seen, untilCondition, untilEvent } from "../support/operator-seen.ts";
import { type Framework, POLICY, REGISTRY, Stage, type StagedInstance } from "../support/operator-stage.ts";
import { openWatchGap, podWatches } from "../support/operator-traffic.ts";
import { eventually } from "../support/operator-wait.ts";

const INSTANCES = 100;
/** Above the 20 % of a registry's instances that may look dead, and the 30 % of pods that may vanish, without a witness. */
const DEAD = 40;
/** So many of the dead come back that the others are fewer than 20 %. */
const REPLACED = 25;
const SERVICES = 10;
/** The registry never forgets it by itself, and its key is the address. */
const UNLEASED: Framework = "Unleased";
const policy: Seen = { kind: "RegistrationPolicy", name: POLICY };

let stage: Stage;
let operator: Operator;
/** Runs those who die. */
let lostNode: FixtureNode;
let doomed: readonly StagedInstance[];
let living: StagedInstance[];

beforeAll(async () => {
  stage = await Stage.start({ proxied: true, zombies: { budget: { unexplainedPercentPerMinute: 100 } } });
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
  // Pods are listed again when the test says so.
  operator = await stage.operator({ flags: { "sweep-interval": "1s", "relist-interval": "1h" } });
  await stage.untilLive(operator, INSTANCES);
  await stage.untilCaughtUp(operator);
});

afterAll(async () => {
  await stage.stop();
});

/** The watch of pods can not go on where it broke off: all pods are listed anew. */
function expireWatch(): void {
  stage.proxy.rule({ match: podWatches, action: answer({ status: 410, reason: "Expired" }), times: 1 });
  stage.proxy.cut(podWatches);
}

/** A new pod of the same service gets the address, and registers itself under the same key. */
async function replace({ framework, service, pod }: StagedInstance): Promise<StagedInstance> {
  const successor = await stage.hiddenPod({ addresses: pod.addresses });
  const instance = await stage.register(successor, { framework, service });
  await stage.fixture.startPod(successor);
  return instance;
}

/** Waits until so many are held for dead and kept. */
async function untilKept(count: number): Promise<void> {
  await eventually(`${count} are held for dead, and kept`, async () => {
    const findings = (await findReport(stage.fixture.client, POLICY))?.status?.findings ?? [];
    const kept = findings.filter((it) => it.verdict === "Zombie" && it.blockedBy === "SelfPreservation");
    return kept.length === count && findings.length === count;
  });
}

/** The policy says why all of them are kept, and they are. */
async function keepsThem(because: string): Promise<void> {
  const says = new RegExp(`registry ${REGISTRY}: ${because}`);
  const blocked = { type: "EvictionBlocked", status: "True", reason: "SelfPreservation", says } as const;
  await untilCondition(stage.fixture.client, policy, blocked);
  const metrics = await operator.metrics();
  expect(metrics.sum("hygeia_self_preservation", { registry: REGISTRY })).toBe(1);
  expect(metrics.sum("hygeia_evictions_total")).toBe(0);
  expect(stage.oracle.departures).toEqual([]);
}

test(`${DEAD} % vanish in a gap of the watch: kept while too many look dead, and until another list agrees`, async () => {
  // From here on nothing but self-preservation keeps its entries.
  await stage.fixture.takeOutOfService(lostNode);
  const closeGap = await openWatchGap(stage.proxy);
  await stage.fixture.each(doomed, async ({ registrant, pod }) => {
    registrant.crash();
    await stage.fixture.forceDeletePod(pod, "Dies");
  });
  expireWatch();
  closeGap();

  await untilKept(DEAD);
  await keepsThem(`TooManySuspects: ${DEAD} of ${INSTANCES} instances look dead without a death that was seen`);
  await untilEvent(stage.fixture.client, policy, "EvictionBlockedBySelfPreservation", /look dead/);

  living.push(...(await stage.fixture.each(doomed.slice(0, REPLACED), replace)));
  await stage.untilLive(operator, living.length);
  await untilKept(DEAD - REPLACED);
  await keepsThem("PodsVanished: \\d+ of \\d+ pods were missing in the last list without a death that was seen");

  expireWatch();
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
  expect((await operator.metrics()).sum("hygeia_self_preservation", { registry: REGISTRY })).toBe(0);
  await stage.untilLive(operator, living.length);
  expect(stage.oracle.departures).toHaveLength(DEAD - REPLACED);
});
