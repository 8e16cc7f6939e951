/**
 * A newborn that registers the identical entry after an eviction was decided on: neither Consul nor Nacos keeps a trace of
 * it, so that nothing but the last look at the pods can save it.
 */
import { setTimeout as delay } from "node:timers/promises";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { hold } from "../env/proxy/index.ts";
import type { Operator } from "../support/operator.ts";
import { Refusals } from "../support/operator-refusals.ts";
import { addressReads, hiddenPodReads, podWatches } from "../support/operator-traffic.ts";
import { eventually } from "../support/operator-wait.ts";
import { type EverywhereInstance, RegistriesStage } from "../support/registries-stage.ts";

/** Evictions whose last look is stopped together. */
const BATCH = 25;
const SERVICES = 5;
/** Rounds in which one read of the last look comes late, and how late: longer than a look at the pods stands. */
const LATE_ROUNDS = 3;
const LATE_MS = 3_000;
const UNSEEN = /is starting, has no address yet and was not in the view$/;

describe.each([
  { registry: "consul", batches: 40 },
  { registry: "nacos", batches: 8 },
] as const)("$registry", { timeout: 600_000 }, ({ registry, batches }) => {
  let stage: RegistriesStage;
  let operator: Operator;
  /** Those that live at the addresses that change hands. */
  let generation: EverywhereInstance[];
  /** Each dies with one batch, without a successor. */
  let controls: EverywhereInstance[];

  beforeAll(async () => {
    const budget = { evictionsPerSecond: 1_000, burst: 2_000 };
    stage = await RegistriesStage.start({ registries: [registry], zombies: { budget } });
    generation = await stage.instances(Array.from({ length: BATCH }, (_, i) => `shop-${String(i % SERVICES)}`));
    controls = await stage.instances(Array.from({ length: batches + LATE_ROUNDS }, () => "control"));
    operator = await stage.operator({ flags: { "sweep-interval": "1s" }, proxied: true });
    await stage.untilLive(operator, generation.length + controls.length);
  });

  afterAll(async () => {
    await stage.stop();
  });

  /** The next pod at the address registers the very same, and the API does not show where it runs. */
  async function inherit({ pod: { addresses }, service, ids }: EverywhereInstance): Promise<EverywhereInstance> {
    const newborn = await stage.register(await stage.hiddenPod({ addresses }), service);
    expect(newborn.ids).toEqual(ids);
    return newborn;
  }

  /** The API tells of the newborns; what died without a successor leaves, so the others would have gone as well. */
  async function settle(
    olds: readonly EverywhereInstance[],
    newborns: readonly EverywhereInstance[],
    control: EverywhereInstance,
  ): Promise<void> {
    await stage.fixture.each(newborns, ({ pod }) => stage.fixture.startPod(pod));
    await stage.fixture.each(olds, ({ pod }) => stage.fixture.removePod(pod));
    await stage.untilLeft([control]);
    await stage.untilLive(operator, generation.length + controls.length);
    await stage.untilCaughtUp(operator);
  }

  function nextControl(): EverywhereInstance {
    const control = controls.shift();
    if (control === undefined) throw new Error("all controls were used");
    return control;
  }

  test(`is kept when it registers before the last look at the pods, ${String(batches * BATCH)} times`, async () => {
    await stage.untilCaughtUp(operator);
    for (let batch = 0; batch < batches; batch++) {
      const [olds, control] = [generation, nextControl()];
      const refusals = new Refusals(operator);
      const looks = stage.proxy.rule({ match: (it) => addressReads(it) || hiddenPodReads(it), action: hold() });
      await stage.die([...olds, control]);
      await refusals.untilDecided([registry], [...olds, control]);
      const told = stage.proxy.rule({ match: podWatches, action: hold() });
      generation = await stage.fixture.each(olds, inherit);
      expect(looks.applied).toBeGreaterThan(0);
      looks.remove();
      await refusals.untilRefused([registry], olds, UNSEEN);
      told.remove();
      await settle(olds, generation, control);
    }
    await stage.verify();
    expect(stage.departures()[registry]).toHaveLength(batches);
  });

  test("is kept when it is born while its address is looked up for long", async () => {
    const before = stage.departures()[registry]?.length ?? 0;
    for (let round = 0; round < LATE_ROUNDS; round++) {
      const [old, ...others] = generation as [EverywhereInstance, ...EverywhereInstance[]];
      const control = nextControl();
      const refusals = new Refusals(operator);
      const asked = stage.proxy.count(hiddenPodReads);
      const late = stage.proxy.rule({ match: addressReads, action: hold() });
      await stage.die([old]);
      await eventually("who has no address was asked for, and the look at the address is under way", () => {
        const isOver = stage.proxy.count(hiddenPodReads) > asked && stage.proxy.running(hiddenPodReads) === 0;
        return isOver && late.applied > 0;
      });
      const lookedAt = performance.now();
      const told = stage.proxy.rule({ match: podWatches, action: hold() });
      const newborn = await inherit(old);
      await delay(Math.max(0, LATE_MS - (performance.now() - lookedAt)));
      expect(stage.proxy.count(hiddenPodReads)).toBe(asked + 1);
      late.remove();
      await refusals.untilRefused([registry], [old], UNSEEN);
      told.remove();
      await stage.die([control]);
      generation = [newborn, ...others];
      await settle([old], [newborn], control);
    }
    await stage.verify();
    expect(stage.departures()[registry]).toHaveLength(before + LATE_ROUNDS);
  });
});
