import { afterAll, beforeAll, expect, test } from "vitest";

import type { FixturePod } from "../support/cluster-fixture.ts";
import type { Operator } from "../support/operator.ts";
import { EtcdGate } from "../support/operator-etcd-gate.ts";
import { type Framework, Stage, type StagedInstance } from "../support/operator-stage.ts";
import { eventually } from "../support/operator-wait.ts";

/** More than a replica has under way at once, so that some are on their way and some wait for their turn. */
const BATCH = 150;
/** At least so many of them are on their way when the leader is stopped. */
const ON_THEIR_WAY = 32;
/** Dead instances whose address and key a newborn takes: some before the other replica acts, some after. */
const HEIRS = 20;
/** Live instances that nothing happens to. */
const BYSTANDERS = 10;
const SERVICES = 10;
/** Its key is the address, so that whoever comes to the address next writes the same key. */
const KEYED_BY_ADDRESS: Framework = "DubboApplication";
/** Longer than the test, seconds: nothing leaves by itself. */
const TTL = 600;
/** The lease of the stopped leader runs out after 15 s by the other's own observation; then it looks every 2 s. */
const TAKE_OVER = 60_000;

let stage: Stage;
let gate: EtcdGate;
let first: Operator;
let second: Operator;
let victims: StagedInstance[];
let heirs: readonly FixturePod[];

beforeAll(async () => {
  stage = await Stage.start({
    endpoints: async ([real = ""]) => {
      gate = await EtcdGate.start(real);
      return [gate.endpoint];
    },
    // Requests wait at the gate for as long as the test needs.
    registry: { requestTimeout: "60s" },
    zombies: { silentFor: "1h", budget: { evictionsPerSecond: 1_000, burst: 2_000 } },
  });
  const flags = { "leader-elect": "true", "sweep-interval": "1s" };
  first = await stage.operator({ name: "first", flags });
  await untilLeading(first);
  second = await stage.operator({ name: "second", flags });
  await second.untilReady();
  const all = await stage.instances(
    Array.from({ length: BATCH + BYSTANDERS }, (_, i) => ({
      framework: KEYED_BY_ADDRESS,
      service: `shop-${i % SERVICES}`,
      ttl: TTL,
    })),
  );
  victims = all.slice(0, BATCH);
  await stage.untilLive(first, all.length);
  await Promise.all([stage.untilCaughtUp(first), stage.untilCaughtUp(second)]);
  // Bound to a node, their address not told yet, and known to be younger than what the victims wrote.
  heirs = await stage.fixture.each(victims.slice(0, HEIRS), ({ pod }) => stage.hiddenPod({ addresses: pod.addresses }));
});

afterAll(async () => {
  await stage.stop();
  await gate.stop();
});

async function untilLeading(operator: Operator): Promise<void> {
  await eventually("the replica leads", () => isLeading(operator), TAKE_OVER);
}

function isLeading(operator: Operator): boolean {
  return operator.log.having({ msg: "this replica leads: it judges and acts" }).length > 0;
}

/** The process of the pod writes the key of the one that had its address before. */
async function inherit(from: number, to: number): Promise<StagedInstance[]> {
  return stage.fixture.each(victims.slice(from, to), async ({ framework, service, key }) => {
    const born = await stage.register(heirs[victims.findIndex((victim) => victim.key === key)] as FixturePod, {
      framework,
      service,
      ttl: TTL,
    });
    expect(born.key).toBe(key);
    return born;
  });
}

/** Outcomes of the evictions that a replica has finished. */
function outcomes(operator: Operator): string[] {
  return operator.log.having({ step: "done" }).map(({ outcome }) => String(outcome));
}

test("the leader is stopped in the middle of a batch and continued when another has taken over: what it still sends changes nothing", async () => {
  gate.arm();
  // Those who get heirs die first: their deletes are surely on their way.
  await stage.fixture.each(victims.slice(0, HEIRS), (victim) => stage.crash(victim));
  await eventually("the deletes of those with heirs are on their way", () => gate.held === HEIRS);
  await stage.fixture.each(victims.slice(HEIRS), (victim) => stage.crash(victim));
  await eventually("many deletes are on their way", () => gate.held >= ON_THEIR_WAY);
  first.pause();
  await gate.untilQuiet();
  gate.disarm();
  expect(isLeading(second)).toBe(false);

  const before = await inherit(0, HEIRS / 2);
  // What etcd took from the first while it still led alone was its to do.
  let early = stage.oracle.departures.length;
  await eventually(
    "the replica leads",
    () => {
      const departed = stage.oracle.departures.length;
      if (isLeading(second)) return true;
      early = departed;
      return false;
    },
    TAKE_OVER,
  );
  for (const { key } of victims.slice(HEIRS / 2)) {
    expect(await stage.oracle.departure(key)).toMatchObject({ cause: "Evicted" });
  }
  const after = await inherit(HEIRS / 2, HEIRS);
  const newborns = [...before, ...after];
  const stored = await stage.fixture.each(newborns, ({ key }) => stage.session.get(key));

  // The deletes arrive while their sender stands still, and then it goes on where it was.
  expect(gate.held).toBeGreaterThanOrEqual(ON_THEIR_WAY);
  gate.release();
  first.resume();
  await eventually(
    "the first knows that it leads no more",
    () => first.log.having({ msg: "this replica leads no more: its caches stay warm" }).length > 0,
  );
  // Those under way ended one way or the other, and none of them as an eviction.
  const ended = outcomes(first).filter((outcome) => outcome !== "Evicted");
  expect(ended.length).toBeGreaterThan(0);
  expect(ended.filter((outcome) => !["Changed", "Gone", "Fenced", "Unsettled"].includes(outcome))).toEqual([]);
  expect(outcomes(first).length - ended.length).toBeLessThanOrEqual(early);
  expect(outcomes(second).filter((outcome) => outcome === "Evicted")).toHaveLength(BATCH - HEIRS / 2 - early);

  expect(await stage.fixture.each(newborns, ({ key }) => stage.session.get(key))).toEqual(stored);
  await stage.fixture.each(heirs, (pod) => stage.fixture.startPod(pod));
  await stage.untilLive(second, BYSTANDERS + HEIRS);
  await stage.oracle.verify();
  expect(stage.oracle.departures).toHaveLength(BATCH - HEIRS / 2);
});
