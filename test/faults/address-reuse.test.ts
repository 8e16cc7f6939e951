import { setTimeout as delay } from "node:timers/promises";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { FixturePod } from "../support/cluster-fixture.ts";
import type { Operator } from "../support/operator.ts";
import { EtcdGate } from "../support/operator-etcd-gate.ts";
import { type Framework, Stage, type StagedInstance } from "../support/operator-stage.ts";
import { eventually } from "../support/operator-wait.ts";

const ROUNDS = 1_000;
/**
 * Evictions that are stopped together: fewer than the operator has under way at once, and than fit in the 64 KiB that an
 * HTTP/2 client may send before the server has taken any (RFC 9113, 6.9.2), at 1.3 KB each.
 */
const BATCH = 25;
/** Rounds in which nothing is stopped, and chance decides who comes first. */
const FREE_ROUNDS = 200;
const FREE_JITTER = 20;
/** Its key is the address, so that whoever comes to the address next writes the same key. */
const KEYED_BY_ADDRESS: Framework = "DubboApplication";
const SERVICES = 20;
/** Longer than the test: nothing leaves by itself. */
const TTL = 600;

let stage: Stage;
let operator: Operator;
let gate: EtcdGate;

beforeAll(async () => {
  stage = await Stage.start({
    endpoints: async ([real = ""]) => {
      gate = await EtcdGate.start(real);
      return [gate.endpoint];
    },
    // Requests wait at the gate for as long as the test needs.
    registry: { requestTimeout: "20s" },
    zombies: { silentFor: "1h", budget: { evictionsPerSecond: 1_000, burst: 2_000 } },
  });
  operator = await stage.operator({ flags: { "sweep-interval": "1s" } });
});

afterAll(async () => {
  await stage.stop();
  await gate.stop();
});

/** Runs services and waits until the operator knows them so well that whoever comes later is known to be younger. */
async function runServices(count: number, framework: Framework, name: string): Promise<StagedInstance[]> {
  const before = (await operator.metrics()).sum("hygeia_instances", { verdict: "Live" });
  const instances = await stage.instances(
    Array.from({ length: count }, (_, i) => ({ framework, service: `${name}-${i % SERVICES}`, ttl: TTL })),
  );
  await stage.untilLive(operator, before + count);
  await stage.untilCaughtUp(operator);
  return instances;
}

/** The next pod at each address: bound to a node, and its address not told yet. */
async function successors(instances: readonly StagedInstance[]): Promise<FixturePod[]> {
  return stage.fixture.each(instances, ({ pod }) => stage.hiddenPod({ addresses: pod.addresses }));
}

/** The new process writes the same key as the one before it. */
async function takeOver(old: StagedInstance, pod: FixturePod): Promise<StagedInstance> {
  const born = await stage.register(pod, { framework: old.framework, service: old.service, ttl: TTL });
  expect(born.key).toBe(old.key);
  return born;
}

/** Each key is as its last writer wrote it. */
async function expectUntouched(instances: readonly StagedInstance[]): Promise<void> {
  const found = await stage.fixture.each(instances, ({ key }) => stage.session.get(key));
  expect(found.map((stored) => stored?.lease)).toEqual(instances.map(({ registrant }) => registrant.lease));
}

describe("a newborn on the address of a dead pod, with the same key", () => {
  test(`is kept when it writes after our last read and before our delete, ${ROUNDS} times`, async () => {
    const old = await runServices(ROUNDS, KEYED_BY_ADDRESS, "race");
    const controls = await runServices(ROUNDS / BATCH, KEYED_BY_ADDRESS, "control");
    const pods = await successors(old);
    const newborns: StagedInstance[] = [];
    let hits = 0;
    for (let from = 0; from < ROUNDS; from += BATCH) {
      const batch = old.slice(from, from + BATCH);
      const control = controls[from / BATCH] as StagedInstance;
      gate.arm();
      await stage.fixture.each([...batch, control], (instance) => stage.crash(instance));
      await eventually("all evictions of the batch are on their way", () => gate.held === BATCH + 1);
      const born = await stage.fixture.each(batch, (instance) =>
        takeOver(instance, pods[old.indexOf(instance)] as FixturePod),
      );
      hits += gate.held - 1;
      gate.release();
      // The one without a successor shows that the others would have gone.
      expect(await stage.oracle.departure(control.key, 5_000)).toMatchObject({ cause: "Evicted" });
      await stage.fixture.each(born, ({ pod }) => stage.fixture.startPod(pod));
      newborns.push(...born);
    }
    expect(hits).toBe(ROUNDS);
    await expectUntouched(newborns);
    await eventually("the operator has seen that each delete lost its compare", async () => {
      const metrics = await operator.metrics();
      return metrics.sum("hygeia_evictions_total", { class: "Confirmed", result: "Changed" }) >= ROUNDS;
    });
    await stage.untilLive(operator, ROUNDS);
    expect(stage.oracle.departures).toHaveLength(controls.length);
  });

  test("is kept whoever comes first", async () => {
    const old = await runServices(FREE_ROUNDS, KEYED_BY_ADDRESS, "free");
    const pods = await successors(old);
    const newborns = await stage.fixture.each(old, async (instance) => {
      const pod = pods[old.indexOf(instance)] as FixturePod;
      const crashed = stage.crash(instance);
      await delay(Math.random() * FREE_JITTER);
      const born = await takeOver(instance, pod);
      await crashed;
      await stage.fixture.startPod(pod);
      return born;
    });
    await stage.untilLive(operator, ROUNDS + FREE_ROUNDS);
    await expectUntouched(newborns);
  });
});

describe("an address that changes hands while its last owner's object is still there", () => {
  const ways = ["its death is confirmed", "its object is removed by force"] as const;

  async function end(instance: StagedInstance, way: (typeof ways)[number]): Promise<void> {
    instance.registrant.crash();
    if (way === "its death is confirmed") await stage.fixture.terminatePod(instance.pod);
    else await stage.fixture.forceDeletePod(instance.pod, "Dies");
  }

  test.each(ways)("to a pod of the same service: both entries stay when %s", async (way) => {
    const [old] = (await runServices(1, "Kratos", "same")) as [StagedInstance];
    const pod = await stage.fixture.runPod({ ...old.pod, name: `${old.pod.name}-next` });
    const next = await stage.register(pod, { framework: "Kratos", service: old.service, ttl: TTL });
    await end(old, way);
    await stage.untilCaughtUp(operator);
    expect(verdicts(old)).toEqual([]);
    await expectUntouched([old, next]);
  });

  test.each(ways)("to a pod of another service: the old entry goes and the new one stays when %s", async (way) => {
    for (const framework of ["Kratos", "Unleased"] as const) {
      const [old] = (await runServices(1, framework, "other")) as [StagedInstance];
      const pod = await stage.fixture.runPod({ ...old.pod, name: `${old.pod.name}-next` });
      const next = await stage.register(pod, { framework, service: "elsewhere", ttl: TTL });
      await end(old, way);
      expect(await stage.oracle.departure(old.key, 10_000)).toMatchObject({ cause: "Evicted" });
      expect(await stage.reportedEviction(old.key)).toMatchObject({ evidence: "Reused", reason: "AddressReused" });
      await expectUntouched([next]);
    }
  });

  test("to a pod of another service after the old one is gone: the old entry went by its own death", async () => {
    const [old] = (await runServices(1, "Kratos", "before")) as [StagedInstance];
    await end(old, "its death is confirmed");
    const pod = await stage.fixture.runPod({ ...old.pod, name: `${old.pod.name}-next` });
    const next = await stage.register(pod, { framework: "Kratos", service: "elsewhere", ttl: TTL });
    expect(await stage.oracle.departure(old.key, 5_000)).toMatchObject({ cause: "Evicted" });
    expect(await stage.reportedEviction(old.key)).toMatchObject({ evidence: "Confirmed" });
    await expectUntouched([next]);
  });

  /** Verdicts other than Live that the operator has noted for a key, oldest first. */
  function verdicts({ key }: StagedInstance): unknown[] {
    return operator.log.having({ step: "judge", instance: key }).map(({ verdict }) => verdict);
  }
});
