/** An address that goes from one pod to another, over a real Consul and a real Nacos: who has it may have registered the same again. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { FixturePod } from "../support/cluster-fixture.ts";
import type { Operator } from "../support/operator.ts";
import { type EverywhereInstance, RegistriesStage } from "../support/registries-stage.ts";

/** Live instances of no interest: what looks dead must stay a small part of each registry. */
const BYSTANDERS = 20;
const ways = ["its death is confirmed", "its object is removed by force"] as const;

let stage: RegistriesStage;
let operator: Operator;
/** Entries of each registry that are to be Live. */
let living = BYSTANDERS;

beforeAll(async () => {
  stage = await RegistriesStage.start({ registries: ["consul", "nacos"] });
  await stage.instances(Array.from({ length: BYSTANDERS }, (_, i) => `bystander-${String(i % 5)}`));
  operator = await stage.operator({ flags: { "sweep-interval": "1s" } });
  await stage.untilLive(operator, living);
});

afterAll(async () => {
  await stage.stop();
});

/** A pod that the operator knows so well that who comes later is known to be younger. */
async function runOld(service: string): Promise<EverywhereInstance> {
  const [old] = await stage.instances([service]);
  if (old === undefined) throw new Error("one was asked for");
  living += 1;
  await stage.untilLive(operator, living);
  await stage.untilCaughtUp(operator);
  return old;
}

/** Another pod gets the address. */
async function runNext({ pod: { addresses } }: EverywhereInstance): Promise<FixturePod> {
  const { namespace, node } = stage;
  return stage.fixture.runPod({ namespace, node, addresses });
}

async function end({ pod }: EverywhereInstance, way: (typeof ways)[number]): Promise<void> {
  if (way === "its death is confirmed") await stage.fixture.terminatePod(pod);
  else await stage.fixture.forceDeletePod(pod, "Dies");
}

/** Everything was judged many times since, and is Live. */
async function expectAllLive(): Promise<void> {
  await stage.untilCaughtUp(operator);
  await stage.untilLive(operator, living);
  await stage.untilJudgedAgain(operator);
  await stage.untilLive(operator, living);
  await stage.verify();
}

function departed(): readonly number[] {
  return stage.actors.map(({ oracle }) => oracle.departures.length);
}

describe("an address goes, while its last pod's object is still there,", () => {
  test.each(ways)("to a pod of the same service: the one entry stays when %s", async (way) => {
    const before = departed();
    const old = await runOld("same");
    const next = await stage.register(await runNext(old), "same");
    expect(next.ids).toEqual(old.ids);
    await end(old, way);
    await expectAllLive();
    expect(departed()).toEqual(before);
  });

  test.each(ways)("to a pod of another service: both entries stay while it lives, when %s", async (way) => {
    const before = departed();
    const old = await runOld("old");
    const next = await stage.register(await runNext(old), "elsewhere");
    await end(old, way);
    living += 1;
    await expectAllLive();
    expect(departed()).toEqual(before);
    if (way !== "its death is confirmed") return;
    await stage.die([next]);
    await stage.untilLeft([old, next]);
    living -= 2;
    await expectAllLive();
  });
});

describe("an address goes, after the death of its last pod was seen,", () => {
  test("to a pod of another service: the old entry went at once, and the new one stays", async () => {
    const before = departed();
    const old = await runOld("before");
    await end(old, "its death is confirmed");
    await stage.untilLeft([old]);
    await stage.register(await runNext(old), "elsewhere");
    for (const { name } of stage.actors) {
      const eviction = await stage.reportedEviction(name, old);
      expect(eviction).toMatchObject({ evidence: "Confirmed", result: "Verified", pod: { uid: old.pod.uid } });
    }
    await expectAllLive();
    expect(departed()).toEqual(before.map((count) => count + 1));
  });
});
