/** SIGKILL between confirm, write and verify, over a real Consul and a real Nacos. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { hold } from "../env/proxy/index.ts";
import { ConsulApi } from "../support/consul-api.ts";
import type { Operator } from "../support/operator.ts";
import { consulEvictions, HttpGate, nacosEvictions, type Stop } from "../support/operator-http-gate.ts";
import { Refusals } from "../support/operator-refusals.ts";
import { addressReads } from "../support/operator-traffic.ts";
import { eventually } from "../support/operator-wait.ts";
import { type EverywhereInstance, RegistriesStage } from "../support/registries-stage.ts";

/** Dead instances in each round, one of which gets an heir: fewer than the connections to Consul, so that some can read. */
const BATCH = 4;
const BYSTANDERS = 6;
/** Where the operator keeps what restores an eviction, in Consul; Nacos has no place for it. */
const UNDO = "hygeia";

describe.each([
  { registry: "consul", evictions: consulEvictions },
  { registry: "nacos", evictions: nacosEvictions },
] as const)("$registry: an operator that is killed", ({ registry, evictions }) => {
  let stage: RegistriesStage;
  let gate: HttpGate;
  let operator: Operator;
  let victims: EverywhereInstance[];
  let living = BYSTANDERS;
  let round = 0;

  beforeAll(async () => {
    stage = await RegistriesStage.start({
      registries: [registry],
      endpoints: { [registry]: async (real) => (gate = await HttpGate.start(real, evictions)).endpoint },
      // Requests wait at the gate for as long as the test needs.
      registry: { requestTimeout: "60s" },
      // What terminates is there after a restart, other than a death that was seen.
      zombies: { terminating: "Evict", budget: { evictionsPerSecond: 1_000, burst: 2_000 } },
    });
    await stage.instances(Array.from({ length: BYSTANDERS }, (_, i) => `bystander-${String(i)}`));
    operator = await stage.operator({ flags: { "sweep-interval": "1s" }, proxied: true });
    await stage.untilLive(operator, BYSTANDERS);
  });

  afterAll(async () => {
    await stage.stop();
    await gate.stop();
  });

  beforeEach(async () => {
    round++;
    victims = await stage.instances(Array.from({ length: BATCH }, (_, i) => `round-${String(round)}-${String(i)}`));
    await stage.untilLive(operator, living + BATCH);
    await stage.untilCaughtUp(operator);
  });

  /** Its process ends as soon as it is asked to; its kubelet has not said so yet. */
  async function terminate({ pod }: EverywhereInstance): Promise<void> {
    stage.fixture.truth.podDead(pod.uid);
    await stage.fixture.beginTermination(pod);
  }

  function idOf({ ids }: EverywhereInstance): string {
    return ids[registry] ?? "";
  }

  /** How many undo records there are of each: one for each eviction that the registry has taken. */
  async function undoRecordsOf(instances: readonly EverywhereInstance[]): Promise<number[]> {
    const values = await new ConsulApi(stage.actor("consul").endpoints[0] ?? "").values(UNDO);
    return instances.map((instance) => values.filter((value) => value.includes(JSON.stringify(idOf(instance)))).length);
  }

  /** Makes the operator stop at the last look at the pods. @returns what waits until all evictions do, and what ends it */
  function stopAtLook(): { untilHeld: () => Promise<void>; release: () => void } {
    const decisions = new Refusals(operator);
    const rule = stage.proxy.rule({ match: addressReads, action: hold() });
    return {
      untilHeld: async () => {
        await decisions.untilDecided([registry], victims);
        // Those that look together share one request.
        await eventually("the last look is under way", () => rule.applied > 0);
      },
      release: () => rule.remove(),
    };
  }

  /** Makes it stop at the write. */
  function stopAtWrite(stop: Stop): ReturnType<typeof stopAtLook> {
    gate.arm(stop);
    return {
      untilHeld: async () => {
        await eventually("all writes are stopped", () => gate.held === BATCH);
      },
      release: () => gate.release(),
    };
  }

  test.each([
    { when: "while it asks the API server once more", stopThere: stopAtLook, isWritten: false },
    { when: "after the fence, its writes on their way", stopThere: () => stopAtWrite("BeforeWrite"), isWritten: false },
    {
      when: "after writes that the registry has taken, before they are verified",
      stopThere: () => stopAtWrite("AfterWrite"),
      isWritten: true,
    },
  ])(
    "$when: started again it ends what it began, once, and leaves the heir of a dead one's entry alone",
    async ({ stopThere, isWritten }) => {
      const before = stage.departures()[registry]?.length ?? 0;
      const stop = stopThere();
      await stage.fixture.each(victims, terminate);
      await stop.untilHeld();
      if (isWritten) await stage.untilLeft(victims);
      await operator.kill();
      expect(stage.departures()[registry]).toHaveLength(before + (isWritten ? BATCH : 0));
      // Nobody runs, and a new process registers what the first victim did, whether the old entry is there or not.
      const [ancestor, ...others] = victims as [EverywhereInstance, ...EverywhereInstance[]];
      const { addresses } = ancestor.pod;
      const heir = await stage.register(await stage.hiddenPod({ addresses }), ancestor.service);
      expect(heir.ids).toEqual(ancestor.ids);
      stop.release();
      await operator.restart();
      await operator.untilReady();
      // Nothing but that it may have any address keeps its entry meanwhile.
      await stage.untilCaughtUp(operator);
      await stage.untilJudgedAgain(operator);
      await stage.fixture.startPod(heir.pod);
      living += 1;
      // Of what was terminating before it started nobody knows who wrote it: it goes when its kubelet says that it has ended.
      expect(stage.departures()[registry]).toHaveLength(before + (isWritten ? BATCH : 0));
      await stage.fixture.each(victims, ({ pod }) => stage.fixture.confirmDeath(pod));

      await stage.untilCaughtUp(operator);
      await stage.untilLeft(others);
      await stage.untilLive(operator, living);
      await stage.fixture.each(victims, ({ pod }) => stage.fixture.removePod(pod));
      await stage.untilCaughtUp(operator);
      await stage.untilJudgedAgain(operator);
      await stage.verify();
      expect(stage.departures()[registry]).toHaveLength(before + (isWritten ? BATCH : BATCH - 1));
      if (registry === "consul") {
        expect(await undoRecordsOf(victims)).toEqual(victims.map((it) => (it === ancestor && !isWritten ? 0 : 1)));
      }
    },
  );
});
