import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { hold } from "../env/proxy/index.ts";
import type { FixturePod } from "../support/cluster-fixture.ts";
import type { Operator } from "../support/operator.ts";
import { EtcdGate } from "../support/operator-etcd-gate.ts";
import { type Framework, Stage, type StagedInstance } from "../support/operator-stage.ts";
import { addressReads } from "../support/operator-traffic.ts";
import { eventually } from "../support/operator-wait.ts";

/** Dead instances in each round; one of them has an heir. */
const BATCH = 12;
const BYSTANDERS = 6;
/** Its key is the address, so that whoever comes to the address next writes the same key. */
const KEYED_BY_ADDRESS: Framework = "DubboApplication";
/** Longer than the test, seconds: nothing leaves by itself. */
const TTL = 900;
/** Where the operator keeps what restores an eviction. */
const UNDO = "/hygeia/";

let stage: Stage;
let gate: EtcdGate;
let operator: Operator;
let round = 0;

beforeAll(async () => {
  stage = await Stage.start({
    proxied: true,
    endpoints: async ([real = ""]) => {
      gate = await EtcdGate.start(real);
      return [gate.endpoint];
    },
    registry: { requestTimeout: "60s" },
    // What terminates goes after a live read of the pods. It is there after a restart, other than a death that was seen.
    zombies: { terminating: "Evict", silentFor: "1h", budget: { evictionsPerSecond: 1_000, burst: 2_000 } },
    draining: "Allowed",
  });
  await stage.instances(
    Array.from({ length: BYSTANDERS }, (_, i) => ({
      framework: "Kitex" as const,
      service: `bystander-${i}`,
      ttl: TTL,
    })),
  );
  operator = await stage.operator({ flags: { "sweep-interval": "1s" } });
  await stage.untilLive(operator, BYSTANDERS);
});

afterAll(async () => {
  await stage.stop();
  await gate.stop();
});

let victims: StagedInstance[];
/** Gets the address of the first victim: bound to a node, and its address not told yet. */
let heir: FixturePod;
let living = BYSTANDERS;

beforeEach(async () => {
  round++;
  victims = await stage.instances(
    Array.from({ length: BATCH }, (_, i) => ({
      framework: KEYED_BY_ADDRESS,
      service: `round-${round}-${i}`,
      ttl: TTL,
    })),
  );
  await stage.untilLive(operator, living + BATCH);
  await stage.untilCaughtUp(operator);
  heir = await stage.hiddenPod({ addresses: victims[0]?.pod.addresses ?? [] });
  living += 1;
});

/** The undo records of these keys: one for each eviction that the registry has taken. */
async function undoRecordsOf(instances: readonly StagedInstance[]): Promise<number[]> {
  const { keys } = await stage.session.list(UNDO);
  return instances.map(({ key }) => keys.filter(({ value }) => value.includes(JSON.stringify(key))).length);
}

/** Those of the keys that are in the registry. */
async function keysLeft(instances: readonly StagedInstance[]): Promise<string[]> {
  const found = await stage.fixture.each(instances, async ({ key }) => [key, await stage.session.get(key)] as const);
  return found.flatMap(([key, stored]) => (stored === undefined ? [] : [key]));
}

async function terminate({ registrant, pod }: StagedInstance): Promise<void> {
  await stage.fixture.beginTermination(pod);
  registrant.crash();
}

interface Point {
  /** Makes the operator stop there. */
  readonly arm: () => { readonly held: () => number; readonly release: () => void };
  /** Evictions that the registry has taken when the operator is killed. */
  readonly written: number;
  /** Evictions that are stopped when it is killed. */
  readonly stopped: number;
}

function gateAt(...[stop, free]: Parameters<EtcdGate["arm"]>): ReturnType<Point["arm"]> {
  gate.arm(stop, free);
  return { held: () => gate.held, release: () => gate.release() };
}

const points: Readonly<Record<string, Point>> = {
  "while it asks the API server once more": {
    arm: () => {
      const decided = (): number => operator.log.having({ step: "judge", decision: "Evict" }).length;
      const before = decided();
      const rule = stage.proxy.rule({ match: addressReads, action: hold() });
      // Those that ask together share one request.
      return { held: () => (rule.applied > 0 ? decided() - before : 0), release: () => rule.remove() };
    },
    written: 0,
    stopped: BATCH,
  },
  "after the fence, with every write on its way": {
    arm: () => gateAt("BeforeWrite"),
    written: 0,
    stopped: BATCH,
  },
  "after some writes and before the others": {
    arm: () => gateAt("BeforeWrite", BATCH / 2),
    written: BATCH / 2,
    stopped: BATCH / 2,
  },
  "after a write that the registry has taken, before it is verified": {
    arm: () => gateAt("AfterWrite"),
    written: 1,
    stopped: 1,
  },
};

describe("an operator that is killed", () => {
  for (const [name, point] of Object.entries(points)) {
    test(`${name}: started again it ends what it began, once, and leaves the heir of a dead one's key alone`, async () => {
      const before = stage.oracle.departures.length;
      const stop = point.arm();
      await stage.fixture.each(victims, terminate);
      await eventually("the operator is stopped there", () => stop.held() >= point.stopped);
      await eventually("the registry has taken what had passed", async () => {
        const taken = (await undoRecordsOf(victims)).reduce((sum, count) => sum + count, 0);
        return taken >= point.written;
      });
      await operator.kill();
      // Nobody runs, and a new process writes the key of the first victim, whether the old entry is there or not.
      const [ancestor] = victims as [StagedInstance, ...StagedInstance[]];
      const gone = stage.oracle.departures.slice(before).some(({ key }) => key === ancestor.key);
      const born = await stage.register(heir, { framework: KEYED_BY_ADDRESS, service: ancestor.service, ttl: TTL });
      expect(born.key).toBe(ancestor.key);
      const stored = await stage.session.get(born.key);
      stop.release();
      await operator.restart();
      await operator.untilReady();
      await stage.untilCaughtUp(operator);
      const left = await keysLeft(victims.slice(1));
      await eventually("what is left drains, and no more than that", async () => {
        const draining = (await operator.metrics()).sum("hygeia_instances", { verdict: "Draining" });
        return draining >= left.length;
      });
      await stage.fixture.startPod(heir);
      // Of what was terminating before it started nobody knows who wrote it: it goes when its kubelet says that it has ended.
      expect(await keysLeft(victims.slice(1))).toEqual(left);
      await stage.fixture.each(victims, ({ pod }) => stage.fixture.confirmDeath(pod));

      for (const { key } of victims.slice(1)) {
        expect(await stage.oracle.departure(key)).toMatchObject({ cause: "Evicted" });
      }
      await stage.untilLive(operator, living);
      await stage.fixture.each(victims, ({ pod }) => stage.fixture.removePod(pod));
      await stage.oracle.verify();
      expect(await stage.session.get(born.key)).toEqual(stored);
      expect(stage.oracle.departures.length - before).toBe(BATCH - 1 + (gone ? 1 : 0));
      expect(await undoRecordsOf(victims)).toEqual(victims.map((victim) => (victim === ancestor && !gone ? 0 : 1)));
    });
  }
});
