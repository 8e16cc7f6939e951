/** Registries that lose all their data, and entries that are not ours: the first are recovered from, the others stay. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { Operator } from "../support/operator.ts";
import { untilCondition } from "../support/operator-seen.ts";
import { eventually } from "../support/operator-wait.ts";
import { type EverywhereInstance, RegistriesStage } from "../support/registries-stage.ts";

const INSTANCES = 18;
const SERVICES = 6;
/** Pods that die while the registries are away, and whose addresses others have when they are back. */
const INHERITED = 4;
/** Who registered in a service of Nacos is asked once in half a minute when nothing else gives reason to; milliseconds. */
const RECOVERY = 90_000;
const ours = { cluster: "blue" };
const theirs = { cluster: "green" };

let stage: RegistriesStage;
let operator: Operator;
/** Those that live. */
let instances: EverywhereInstance[];

beforeAll(async () => {
  stage = await RegistriesStage.start({ zombies: { budget: { unexplainedPercentPerMinute: 100 } } });
  instances = await stage.instances(Array.from({ length: INSTANCES }, (_, i) => `shop-${String(i % SERVICES)}`));
  operator = await stage.operator({ flags: { "sweep-interval": "1s" } });
  await stage.untilLive(operator, INSTANCES);
  await stage.untilCaughtUp(operator);
});

afterAll(async () => {
  await stage.stop();
});

/** By itself: nobody has touched the operator. */
async function evictsAgain(): Promise<void> {
  await stage.untilCaughtUp(operator);
  const zombies = instances.splice(0, 2);
  await stage.die(zombies);
  await stage.untilLeft(zombies);
  await stage.untilLive(operator, instances.length);
  await stage.verify();
}

function gone(): number[] {
  return stage.actors.map(({ oracle }) => oracle.departures.length);
}

describe("all registries lose all their data while the operator runs", () => {
  test("who registers again stays, also at the address of one that died meanwhile, and zombies leave afterwards", async () => {
    const before = gone();
    const wiped = Promise.all(stage.actors.map((actor) => actor.wipe()));
    const dead = instances.splice(0, INHERITED);
    await stage.die(dead);
    const heirs = await stage.fixture.each(dead, async ({ pod: { addresses }, service }) => {
      return { pod: await stage.hiddenPod({ addresses }), service };
    });
    await wiped;
    const again = [...heirs, ...instances];
    const registered = await stage.fixture.each(again, ({ pod, service }) => stage.register(pod, service));
    const isListed = async (): Promise<boolean> => {
      await stage.beat();
      const metrics = await operator.metrics();
      return stage.actors.every(({ name }) => {
        return metrics.sum("hygeia_registry_instances", { registry: name }) === registered.length;
      });
    };
    await eventually("the operator knows all of them again", isListed, RECOVERY);
    await stage.untilJudgedAgain(operator);
    await stage.verify();
    await stage.fixture.each(heirs, ({ pod }) => stage.fixture.startPod(pod));
    for (const { name } of stage.actors) {
      await untilCondition(
        stage.fixture.client,
        { kind: "Registry", name },
        { type: "Ready", status: "True", reason: "Ready" },
      );
    }
    instances = registered;
    await stage.untilLive(operator, instances.length);
    expect(gone()).toEqual(before);
    await evictsAgain();
  });
});

describe("entries that are not ours", () => {
  test("of addresses and names that no pod had, and such as are no instances, stay when ours die", async () => {
    const strangers = stage.actors.map(async (actor) => {
      const made = [
        await actor.registerStranger({ service: "theirs", host: "172.20.0.1" }),
        await actor.registerStranger({ service: "theirs", host: "172.20.0.2", port: 0 }),
        await actor.registerStranger({ service: "theirs", host: "nobody.elsewhere.example" }),
        await actor.registerStranger({ service: "shop-0", host: "172.20.0.3" }),
      ];
      // Nacos takes no instance without an address.
      if (actor.name !== "nacos") made.push(await actor.registerStranger({ service: "theirs", host: "" }));
      return [actor, made] as const;
    });
    const written = await Promise.all(strangers);
    for (const [{ name }] of written) {
      await eventually(`those of ${name} are Foreign`, async () => {
        const findings = (await stage.findings()).filter(({ registry, verdict }) => {
          return registry === name && verdict === "Foreign";
        });
        const reasons = findings.map(({ reason }) => reason);
        return reasons.includes("OutsidePodNetwork") && reasons.includes("HostNameUnknown");
      });
    }
    await evictsAgain();
    await stage.untilJudgedAgain(operator);
    for (const [actor, made] of written) expect([...(await actor.list())]).toEqual(expect.arrayContaining(made));
  });

  test("by the metadata that ours carry stay, at the very address of a pod of ours that dies", async () => {
    for (const actor of stage.actors) {
      await actor.apply(stage.fixture.client, undefined, { ownership: { requiredMetadata: ours } });
    }
    const blue = await stage.instances(
      Array.from({ length: 3 }, () => "orders"),
      { metadata: ours },
    );
    const [dying] = blue;
    if (dying === undefined) throw new Error("there is none");
    const green = await Promise.all(
      stage.actors.map(async (actor) => {
        const { address: host } = dying.pod;
        const stranger = { service: "orders", host, port: 8081, metadata: theirs };
        return [actor, await actor.registerStranger(stranger)] as const;
      }),
    );
    await stage.untilLive(operator, blue.length);
    for (const [{ name }, id] of green) {
      await eventually(`the report calls ${id} Foreign`, async () => {
        const found = (await stage.findings()).find((it) => it.registry === name && it.id === id);
        return found?.verdict === "Foreign" && found.reason === "MetadataDiffers";
      });
    }
    await stage.untilCaughtUp(operator);
    await stage.die([dying]);
    await stage.untilLeft([dying]);
    await stage.untilJudgedAgain(operator);
    for (const [actor, id] of green) expect(await actor.list()).toContain(id);
    await stage.verify();
  });
});
