import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { Operator } from "../support/operator.ts";
import { frameworks, layoutOf, Stage, type StagedInstance } from "../support/operator-stage.ts";
import { eventually } from "../support/operator-wait.ts";
import { etcdNaming, kitex, Registrant } from "../support/registrants/index.ts";

const PORT = 8080;
/** Our own live instances: what looks dead without a witness must stay a small part of the registry. */
const BYSTANDERS = 20;
/** Lease of what is silent, seconds: silence of two thirds of it is believed, so that a third is left when it is acted on. */
const SILENT_TTL = 60;
const zombies = { absentFor: "30s", silentFor: "5s", budget: { unexplainedPercentPerMinute: 100 } };
const flags = { "sweep-interval": "1s" };

/** A process that no pod of this cluster runs: the oracle holds it for alive unless it is told to crash. */
async function foreigner(
  stage: Stage,
  layout: Parameters<typeof Registrant.register>[1],
  ttl = 60,
): Promise<Registrant> {
  return Registrant.register(stage.session, layout, { truth: stage.fixture.truth, ttl });
}

/** Waits until the report calls the entry Foreign. */
async function untilForeign(stage: Stage, key: string, reason: string): Promise<void> {
  await eventually(`the report calls ${key} Foreign`, async () => {
    const found = await stage.finding(key);
    return found?.verdict === "Foreign" && found.reason === reason;
  });
}

describe("another cluster writes under the same prefixes, from a pod network of its own", () => {
  let stage: Stage;
  let operator: Operator;
  let ours: StagedInstance[];
  let theirs: Registrant[];
  let silentForeigner: Registrant;
  /** Its pod dies before the operator starts: only its absence and the silence of its lease tell. */
  let silentOurs: StagedInstance;

  beforeAll(async () => {
    stage = await Stage.start({ zombies });
    ours = await stage.instances(
      Array.from({ length: BYSTANDERS }, () => ({ framework: "Kratos" as const, service: "cart" })),
    );
    theirs = await Promise.all(
      frameworks.map((framework, i) =>
        foreigner(stage, layoutOf[framework]({ service: "cart", host: `172.20.0.${i + 1}`, port: PORT })),
      ),
    );
    silentForeigner = await foreigner(stage, kitex({ service: "cart", host: "172.20.1.1", port: PORT }), SILENT_TTL);
    silentOurs = await stage.instance({ framework: "Kitex", service: "cart", ttl: SILENT_TTL });
    silentOurs.registrant.crash();
    silentForeigner.crash();
    await stage.fixture.terminatePod(silentOurs.pod);
    operator = await stage.operator({ flags });
    await stage.untilLive(operator, BYSTANDERS);
    await stage.untilCaughtUp(operator);
  });
  afterAll(async () => {
    await stage.stop();
  });

  test("its entries are Foreign, in every layout", async () => {
    for (const { key } of theirs) await untilForeign(stage, key, "OutsidePodNetwork");
  });

  test("they stay when ours die by a witness and when ours is absent and silent; a dead one of theirs is not ours to remove either", async () => {
    const [victim] = ours;
    if (victim === undefined) throw new Error("nobody is there");
    await stage.crash(victim);
    expect(await stage.oracle.departure(victim.key, 5_000)).toMatchObject({ cause: "Evicted" });
    expect(await stage.oracle.departure(silentOurs.key, 90_000)).toMatchObject({ cause: "Evicted" });
    expect(await stage.reportedEviction(silentOurs.key)).toMatchObject({ evidence: "Absent" });
    const evicted = stage.oracle.departures.filter(({ cause }) => cause !== "Expired").map(({ key }) => key);
    expect(new Set(evicted)).toEqual(new Set([victim.key, silentOurs.key]));
    await stage.oracle.verify();
    expect((await operator.metrics()).sum("hygeia_instances", { verdict: "Foreign" })).toBeGreaterThanOrEqual(
      frameworks.length,
    );
  });
});

describe("another cluster writes under the same prefixes, from the same pod network", () => {
  const blue = { cluster: "blue" };
  const green = { cluster: "green" };
  let stage: Stage;
  let operator: Operator;

  beforeAll(async () => {
    stage = await Stage.start({ zombies, registry: { ownership: { requiredMetadata: blue } } });
    operator = await stage.operator({ flags });
    await operator.untilReady();
    await Promise.all(Array.from({ length: BYSTANDERS }, async () => bluePod("bystander")));
    await stage.untilLive(operator, BYSTANDERS);
    await stage.untilCaughtUp(operator);
  });
  afterAll(async () => {
    await stage.stop();
  });

  async function bluePod(service: string, ttl = 60) {
    const pod = await stage.fixture.runPod({ namespace: stage.namespace, node: stage.node });
    const layout = kitex({ service, host: pod.address, port: PORT, tags: blue });
    return {
      pod,
      registrant: await Registrant.register(stage.session, layout, { pod, truth: stage.fixture.truth, ttl }),
    };
  }

  test("an entry of theirs at the address of a pod of ours outlives our pod", async () => {
    const { pod, registrant } = await bluePod("orders");
    const leased = await foreigner(stage, kitex({ service: "orders", host: pod.address, port: PORT + 1, tags: green }));
    const unleased = await foreigner(
      stage,
      etcdNaming({ service: "naming/orders", host: pod.address, port: PORT, lease: "Unleased", metadata: green }),
    );
    await untilForeign(stage, leased.key, "MetadataDiffers");
    await untilForeign(stage, unleased.key, "MetadataDiffers");
    await stage.untilCaughtUp(operator);
    registrant.crash();
    await stage.fixture.confirmDeath(pod);
    expect(await stage.oracle.departure(registrant.key, 30_000)).toMatchObject({ cause: "Evicted" });
    await stage.oracle.verify();
    expect(stage.oracle.departures.map(({ key }) => key)).toEqual([registrant.key]);
  });

  test("an entry of ours whose pod was removed by force goes when its lease is silent, and theirs in the same state stays", async () => {
    const { pod, registrant } = await bluePod("payments", SILENT_TTL);
    const theirs = await foreigner(
      stage,
      kitex({ service: "payments", host: pod.address, port: PORT + 1, tags: green }),
      SILENT_TTL,
    );
    await untilForeign(stage, theirs.key, "MetadataDiffers");
    await stage.untilCaughtUp(operator);
    registrant.crash();
    theirs.crash();
    await stage.fixture.forceDeletePod(pod, "Dies");
    expect(await stage.oracle.departure(registrant.key, 90_000)).toMatchObject({ cause: "Evicted" });
    expect(await stage.reportedEviction(registrant.key)).toMatchObject({ evidence: "Unconfirmed" });
    expect(await stage.oracle.departure(theirs.key, 90_000)).toMatchObject({ cause: "Expired" });
  });
});
