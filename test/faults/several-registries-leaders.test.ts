/** Two replicas over three registries: the leader is stopped, or killed, while it takes dead instances out of each of them. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { hold } from "../env/proxy/index.ts";
import type { Operator } from "../support/operator.ts";
import { EtcdGate } from "../support/operator-etcd-gate.ts";
import { consulEvictions, HttpGate } from "../support/operator-http-gate.ts";
import { addressReads } from "../support/operator-traffic.ts";
import { eventually } from "../support/operator-wait.ts";
import { type EverywhereInstance, RegistriesStage } from "../support/registries-stage.ts";

/** Fewer than the connections to Consul: their deletes are stopped on their way, and there are some left to read by. */
const WRITTEN = 4;
/** Dead instances of which the last look before the write is stopped. */
const LOOKED_AT = 12;
const REGISTRIES = 3;
const BYSTANDERS = 6;
const SERVICES = 5;
/** The lease of the leader runs out after 15 s by the other's own observation; then it looks every 2 s. */
const TAKE_OVER = 60_000;

let stage: RegistriesStage;
let etcdGate: EtcdGate;
let consulGate: HttpGate;
let first: Operator;
let second: Operator;
let living = BYSTANDERS;

beforeAll(async () => {
  stage = await RegistriesStage.start({
    endpoints: {
      etcd: async (real) => (etcdGate = await EtcdGate.start(real)).endpoint,
      consul: async (real) => (consulGate = await HttpGate.start(real, consulEvictions)).endpoint,
    },
    // Requests wait at the gates for as long as the test needs.
    registry: { requestTimeout: "60s" },
    // What terminates can be seen again after a restart, other than a death.
    zombies: { terminating: "Evict", silentFor: "1h", budget: { evictionsPerSecond: 1_000, burst: 2_000 } },
  });
  const flags = { "leader-elect": "true", "sweep-interval": "1s" };
  first = await stage.operator({ name: "first", flags, proxied: true });
  await untilLeading(first);
  second = await stage.operator({ name: "second", flags });
  await second.untilReady();
  await stage.instances(Array.from({ length: BYSTANDERS }, (_, i) => `bystander-${String(i)}`));
});

afterAll(async () => {
  await stage.stop();
  await etcdGate.stop();
  await consulGate.stop();
});

async function untilLeading(operator: Operator, times = 1): Promise<void> {
  const leads = (): boolean => operator.log.having({ msg: "this replica leads: it judges and acts" }).length >= times;
  await eventually("the replica leads", leads, TAKE_OVER);
}

/** New pods that are registered, and seen by every replica before anything happens to them. */
async function newInstances(count: number, leader: Operator, ...others: Operator[]): Promise<EverywhereInstance[]> {
  const services = Array.from({ length: count }, (_, i) => `shop-${String(i % SERVICES)}`);
  const instances = await stage.instances(services);
  await stage.untilLive(leader, living + count);
  await Promise.all([leader, ...others].map((operator) => stage.untilCaughtUp(operator)));
  return instances;
}

/** New pods get the addresses of dead ones, and register the very same before anybody is told that they are there. */
async function inherit(instances: readonly EverywhereInstance[]): Promise<EverywhereInstance[]> {
  return stage.fixture.each(instances, async ({ pod: { addresses }, service, ids }) => {
    const heir = await stage.register(await stage.hiddenPod({ addresses }), service);
    expect(heir.ids).toEqual(ids);
    return heir;
  });
}

/** The API tells of the heirs, and all that is left of the dead leaves. */
async function untilSettled(
  leader: Operator,
  heirs: readonly EverywhereInstance[],
  others: readonly EverywhereInstance[],
): Promise<void> {
  await stage.fixture.each(heirs, ({ pod }) => stage.fixture.startPod(pod));
  living += heirs.length;
  await stage.untilLeft(others);
  await stage.untilLive(leader, living);
  await stage.verify();
}

function half<T>(items: readonly T[]): [T[], T[]] {
  return [items.slice(0, items.length / 2), items.slice(items.length / 2)];
}

function arm(): void {
  etcdGate.arm();
  consulGate.arm();
}

function release(): void {
  etcdGate.release();
  consulGate.release();
}

describe("the leader is stopped in the middle of a batch and continued when another has taken over", () => {
  test("what it still sends and what it had yet to send harms nobody, and every zombie leaves each registry", async () => {
    const victims = await newInstances(WRITTEN + LOOKED_AT, first, second);
    const [written, lookedAt] = [victims.slice(0, WRITTEN), victims.slice(WRITTEN)];
    arm();
    await stage.die(written);
    await eventually("their deletes are on their way to etcd and to Consul", () => {
      return etcdGate.held === WRITTEN && consulGate.held === WRITTEN;
    });
    await stage.untilLeftFrom("nacos", written);
    const looks = stage.proxy.rule({ match: addressReads, action: hold() });
    const decided = (): number => first.log.having({ step: "judge", decision: "Evict" }).length;
    const before = decided();
    await stage.die(lookedAt);
    // Those that look together share one request.
    await eventually("the last looks of the others are under way", () => {
      return looks.applied > 0 && decided() - before >= LOOKED_AT * REGISTRIES;
    });
    first.pause();
    await etcdGate.untilQuiet();
    etcdGate.disarm();
    consulGate.disarm();
    const finished = first.log.having({ step: "done" }).length;

    const [ancestors, dead] = half(written);
    const [others, more] = half(lookedAt);
    const heirs = await inherit([...ancestors, ...others]);
    await untilLeading(second);
    await untilSettled(second, heirs, [...dead, ...more]);

    // Only now does what the first had sent arrive; and it goes on where it was.
    release();
    first.resume();
    looks.remove();
    await eventually(
      "the first knows that it leads no more",
      () => first.log.having({ msg: "this replica leads no more: its caches stay warm" }).length > 0,
    );
    const outcomes = await eventually("what it had sent has ended", () => {
      const since = first.log.having({ step: "done" }).slice(finished);
      return since.length >= 2 * WRITTEN && since;
    });
    expect(outcomes.filter(({ outcome }) => outcome === "Evicted" || outcome === "NotVerified")).toEqual([]);
    await stage.untilCaughtUp(second);
    await stage.untilLive(second, living);
    await stage.verify();
  });
});

describe("the leader is killed in the middle of a batch and started again", () => {
  test("it ends what it began, and leaves the heirs of the dead alone", async () => {
    await first.stop();
    const victims = await newInstances(WRITTEN, second);
    const [ancestors, dead] = half(victims);
    arm();
    await stage.fixture.each(victims, async ({ pod }) => {
      // Its process ends at once; the API says no more than that it is asked to.
      stage.fixture.truth.podDead(pod.uid);
      await stage.fixture.beginTermination(pod);
    });
    await eventually("their deletes are on their way to etcd and to Consul", () => {
      return etcdGate.held === WRITTEN && consulGate.held === WRITTEN;
    });
    await stage.untilLeftFrom("nacos", victims);
    const terms = second.log.having({ msg: "this replica leads: it judges and acts" }).length;
    await second.kill();
    const heirs = await inherit(ancestors);
    release();
    await second.restart();
    await untilLeading(second, terms + 1);
    await stage.untilCaughtUp(second);
    await stage.untilJudgedAgain(second);
    // Of what was terminating before it started nobody knows who wrote it: it goes when its kubelet says that it has ended.
    await stage.fixture.each(victims, ({ pod }) => stage.fixture.confirmDeath(pod));
    await untilSettled(second, heirs, dead);
    await stage.fixture.each(victims, ({ pod }) => stage.fixture.removePod(pod));
    await stage.untilCaughtUp(second);
    await stage.untilLive(second, living);
    await stage.verify();
  });
});
