import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { PodSpec } from "../../../test/support/cluster-view-fixture.ts";
import { InstanceStage, POLICY, REGISTRY } from "../../../test/support/instance-stage.ts";

const ID = "/shop/1";
const IP = "10.42.0.7";
const owner: PodSpec = { name: "owner", ips: [IP] };

let stage: InstanceStage;

beforeEach(() => {
  stage = new InstanceStage();
});

afterEach(async () => {
  await stage.stop();
});

describe("a confirmed death", () => {
  test("is evicted at once, and noted with what restores the entry", async () => {
    await stage.living(owner, ID);
    stage.kill(owner);
    await stage.advance(0);
    expect(stage.isListed(ID)).toBe(false);
    expect(stage.entries()).toMatchObject([
      {
        registry: REGISTRY,
        id: ID,
        address: `${IP}:80`,
        evidence: "Confirmed",
        reason: "DeathConfirmed",
        result: "Evicted",
        pod: { namespace: "shop", name: "owner", uid: "uid-owner" },
        restore: { id: ID },
      },
    ]);
    expect(stage.controller.summary.evicted(POLICY)).toMatchObject({ total: 1 });
    expect(stage.told).toContain(`evicted ${ID} Evicted`);
    expect(await stage.evictions({ policy: POLICY, registry: REGISTRY, class: "Confirmed", result: "Evicted" })).toBe(
      1,
    );
    expect(stage.counts()).toMatchObject({ Live: 0, Zombie: 0 });
  });

  test("leaves lines under one trace id, from the event seen to the write verified", async () => {
    await stage.living(owner, ID);
    stage.lines.length = 0;
    stage.kill(owner);
    await stage.advance(0);
    const steps = stage.lines.filter(({ level }) => level === "info").map(({ step, traceId }) => [step, traceId]);
    const traceId = stage.entries()[0]?.traceId;
    expect(steps).toEqual(["event", "judge", "confirm", "write", "done"].map((step) => [step, traceId]));
    expect(stage.having({ step: "event" })).toMatchObject([
      { pod: { uid: "uid-owner" }, death: "Finished", instances: 1 },
    ]);
    expect(stage.having({ step: "done" })).toMatchObject([{ key: `${REGISTRY}:${ID}`, outcome: "Evicted" }]);
  });

  test("of a pod without registrations leaves no line", async () => {
    await stage.living(owner, ID);
    stage.lines.length = 0;
    stage.pod({ name: "other", ips: ["10.42.0.9"] });
    stage.kill({ name: "other", ips: ["10.42.0.9"] });
    await stage.advance(0);
    expect(stage.lines).toEqual([]);
  });

  test("that nobody led to act on is found by the first sweep, and its time counts from the death", async () => {
    await stage.living(owner, ID);
    await stage.end();
    stage.kill(owner);
    await stage.advance(10_000);
    expect(stage.isListed(ID)).toBe(true);
    await stage.start();
    await stage.advance(1_000);
    expect(stage.isListed(ID)).toBe(false);
    const reading = await stage.scrape();
    expect(reading.sum("hygeia_eviction_latency_seconds_count", { class: "Confirmed" })).toBe(1);
    expect(reading.sum("hygeia_eviction_latency_seconds_sum", { class: "Confirmed" })).toBeCloseTo(10, 0);
  });

  test("whose eviction waits for the budget counts from the event, and keeps its trace id", async () => {
    const budget = { evictionsPerSecond: 1, burst: 1, unexplainedPercentPerMinute: 100 };
    stage.policy({ zombies: { budget } });
    const specs = await stage.manyLiving(2);
    for (const spec of specs) stage.kill(spec);
    await stage.advance(500);
    expect(stage.entries()).toHaveLength(1);
    expect(stage.controller.summary.blocked(POLICY)).toMatchObject({
      reason: "Budget",
      message: expect.stringMatching(/^1 eviction waits: the policy's budget is used up/) as string,
    });
    await stage.advance(501);
    expect(stage.entries()).toHaveLength(2);
    expect(stage.controller.summary.blocked(POLICY)).toBeUndefined();
    const [waited] = stage.entries();
    const trace = stage.having({ traceId: waited?.traceId }).map(({ step, decision }) => [step, decision]);
    expect(trace).toEqual([
      ["event", undefined],
      ["judge", "Budget"],
      ["judge", "Evict"],
      ["confirm", undefined],
      ["write", undefined],
      ["done", undefined],
    ]);
    const seconds = (await stage.scrape()).sum("hygeia_eviction_latency_seconds_sum");
    expect(seconds).toBeCloseTo(1, 1);
  });
});

describe("a pod that terminates", () => {
  test("is left alone where the policy waits", async () => {
    await stage.living(owner, ID);
    stage.pod({ ...owner, deleting: true });
    await stage.advance(60_000);
    expect(stage.isListed(ID)).toBe(true);
    expect(stage.counts()).toMatchObject({ Draining: 1 });
  });

  test("is drained at once where the policy says so, after a look at the API; its time counts from the deletion", async () => {
    stage.policy({ zombies: { terminating: "Evict" } });
    await stage.living(owner, ID);
    stage.api.answer = () => stage.clock.sleep(500);
    stage.pod({ ...owner, deleting: true });
    await stage.advance(600);
    expect(stage.isListed(ID)).toBe(false);
    expect(stage.api.reads).toEqual([`at ${IP}`]);
    expect(stage.entries()).toMatchObject([{ evidence: "Terminating" }]);
    expect((await stage.scrape()).sum("hygeia_eviction_latency_seconds_sum")).toBeCloseTo(0.5, 2);
  });
});

describe("views", () => {
  test("that are not fresh make every verdict Unknown without a line for each, and lose no date of a finding", async () => {
    stage.policy({ mode: "Audit" });
    const specs = await stage.manyLiving(20);
    if (specs[0] !== undefined) stage.kill(specs[0]);
    await stage.advance(0);
    const [before] = stage.controller.summary.findings(POLICY, 10);
    stage.cluster.freshness.slices = { caughtUpTo: stage.clock.monotonic() };
    stage.lines.length = 0;
    await stage.advance(60_000);
    expect(stage.counts()).toMatchObject({ Unknown: 20, Live: 0, Zombie: 0 });
    expect(stage.controller.summary.blocked(POLICY)).toMatchObject({ reason: "ClusterViewNotFresh" });
    expect(stage.lines.filter(({ level }) => level === "info")).toEqual([]);
    delete stage.cluster.freshness.slices;
    await stage.advance(200);
    expect(stage.counts()).toMatchObject({ Unknown: 0, Live: 19, Zombie: 1 });
    expect(stage.controller.summary.findings(POLICY, 10)).toMatchObject([{ firstSeen: before?.firstSeen }]);
    expect(stage.controller.summary.blocked(POLICY)).toBeUndefined();
  });

  test("of a registry that fell silent block its policies, by name", async () => {
    await stage.living(owner, ID);
    stage.server.down();
    await stage.advance(2_000);
    expect(stage.controller.summary.blocked(POLICY)).toMatchObject({
      reason: "RegistryViewNotFresh",
      message: expect.stringMatching(/^the view of registry main can not be relied on: Unreachable/) as string,
    });
    stage.kill(owner);
    await stage.advance(1_000);
    expect(stage.isListed(ID)).toBe(true);
    stage.server.up();
    await stage.advance(3_000);
    expect(stage.isListed(ID)).toBe(false);
  });
});

describe("absence", () => {
  beforeEach(() => {
    stage.cluster.pods.list([]);
    stage.cluster.pods.list([]);
  });

  /** Instances at addresses that no pod has, for longer than absence needs to be believed. */
  async function goneForLong(count: number): Promise<string[]> {
    const ids = Array.from({ length: count }, (_, i) => `/gone/${i}`);
    for (const [i, id] of ids.entries()) stage.register(id, `10.42.9.${i}`);
    await stage.start();
    await stage.advance(1_000);
    stage.cluster.pods.list([]);
    stage.cluster.pods.list([]);
    await stage.advance(300_000);
    return ids;
  }

  test("is believed after its time and enough lists, which are asked for, and after a look at all pods", async () => {
    stage.register(ID, IP);
    await stage.advance(1_000);
    await stage.start();
    await stage.advance(60_000);
    expect(stage.verdicts(ID).at(-1)).toBe("Suspect NotAbsentLongEnough");
    expect(stage.lists).toBeGreaterThan(0);
    stage.cluster.pods.list([]);
    stage.cluster.pods.list([]);
    await stage.advance(120_000);
    expect(stage.isListed(ID)).toBe(false);
    expect(stage.api.reads).toEqual(["all"]);
    expect(stage.entries()).toMatchObject([{ evidence: "Absent", pod: { uid: "" } }]);
  });

  test("begins anew with each leadership", async () => {
    stage.register(ID, IP);
    await stage.start();
    await stage.advance(100_000);
    await stage.end();
    stage.cluster.pods.list([]);
    stage.cluster.pods.list([]);
    await stage.start();
    await stage.advance(100_000);
    expect(stage.isListed(ID)).toBe(true);
    stage.cluster.pods.list([]);
    stage.cluster.pods.list([]);
    await stage.advance(60_000);
    expect(stage.isListed(ID)).toBe(false);
  });

  test("of too many at once is not believed: the condition says so, and it ends with its cause", async () => {
    const ids = await goneForLong(10);
    expect(ids.every((id) => stage.isListed(id))).toBe(true);
    expect(stage.controller.summary.blocked(POLICY)).toMatchObject({ reason: "SelfPreservation" });
    expect((await stage.scrape()).sum("hygeia_self_preservation", { registry: REGISTRY })).toBe(1);
    for (const id of ids.slice(1)) stage.server.remove(id);
    await stage.advance(60_000);
    expect(stage.isListed("/gone/0")).toBe(false);
    expect(stage.controller.summary.blocked(POLICY)).toBeUndefined();
  });

  test.each([
    { others: "are Foreign", host: (i: number) => `192.0.2.${i}`, Foreign: 100 },
    { others: "have no policy", host: (i: number) => `10.42.8.${i}`, Foreign: 0 },
  ])("of all of ours is not believed, however many others are listed that $others", async ({ host, Foreign }) => {
    stage.policy({
      match: { podSelector: { matchLabels: { app: "shop" } } },
      service: { from: "Fixed", value: "shop" },
    });
    for (let i = 0; i < 100; i++) stage.register(`/others/${i}`, host(i), { service: Foreign > 0 ? "shop" : "others" });
    const ids = await goneForLong(10);
    expect(stage.counts()).toMatchObject({ Foreign, Zombie: 10 });
    expect(ids.every((id) => stage.isListed(id))).toBe(true);
    expect(stage.controller.summary.blocked(POLICY)).toMatchObject({
      reason: "SelfPreservation",
      message: expect.stringContaining("10 of 10 instances look dead") as string,
    });
  });
});

describe("leadership", () => {
  test("a replica that does not lead judges nothing and writes nothing, and its registries and pods stay known", async () => {
    stage.pod(owner);
    stage.register(ID, IP);
    await stage.advance(20_000);
    stage.kill(owner);
    await stage.advance(120_000);
    expect(stage.isListed(ID)).toBe(true);
    expect(stage.registries.get(REGISTRY)?.view.size).toBe(1);
    expect(stage.lines.filter(({ step }) => step !== undefined)).toEqual([]);
    expect((await stage.scrape()).has("hygeia_instances")).toBe(false);
  });

  test("its loss takes the figures away, and nothing is done any more; its return brings all back", async () => {
    await stage.living(owner, ID);
    await stage.end();
    expect((await stage.scrape()).has("hygeia_instances")).toBe(false);
    expect(Object.values(stage.counts()).every((count) => count === 0)).toBe(true);
    await stage.start();
    await stage.advance(1_000);
    expect((await stage.scrape()).sum("hygeia_instances", { verdict: "Live" })).toBe(1);
  });

  test("its end waits for an eviction under way, which is noted, and begins no other", async () => {
    const [first, second] = await stage.manyLiving(2);
    stage.disturbed.deregister = async (...call) => {
      await stage.clock.sleep(5_000);
      return (await stage.plain?.deregister(...call)) ?? { outcome: "Gone" };
    };
    if (first !== undefined) stage.kill(first);
    await stage.advance(100);
    const ending = stage.endGracefully();
    await stage.advance(0);
    if (second !== undefined) stage.kill(second);
    await stage.advance(4_000);
    expect(stage.isWorking).toBe(true);
    await stage.advance(2_000);
    await ending;
    expect(stage.isListed("/shop/0")).toBe(false);
    expect(stage.controller.summary.evicted(POLICY).total).toBe(1);
    expect(stage.isListed("/shop/1")).toBe(true);
  });
});
