import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { type PodSpec, rawNode, rawPod } from "../../../test/support/cluster-view-fixture.ts";
import { InstanceStage, POLICY, REGISTRY } from "../../../test/support/instance-stage.ts";
import type { Registration } from "../../../test/support/memory-registry.ts";
import { RegistryError } from "../../registry/errors.ts";

const ID = "/shop/1";
const IP = "10.42.0.7";
const owner: PodSpec = { name: "owner", ips: [IP] };
/** One whose death no kubelet confirms goes after a minute of silence. */
const leased = { ttlMs: 90_000 };
const silentFor = { silentFor: "60s" };

let stage: InstanceStage;

beforeEach(() => {
  stage = new InstanceStage();
});

afterEach(async () => {
  await stage.stop();
});

/** A pod that has registered itself and is known as Live. */
async function living(spec: PodSpec = owner, id = ID, registration?: Registration): Promise<void> {
  stage.pod(spec);
  stage.register(id, spec.ips?.[0] ?? "", registration);
  await stage.start();
  await stage.advance(20_000);
  expect(stage.controller.summary.counts(POLICY)).toMatchObject({ Live: 1 });
}

/** Pods of one service with a registration each. */
async function manyLiving(count: number, registration?: Registration): Promise<PodSpec[]> {
  const specs = Array.from({ length: count }, (_, i): PodSpec => ({ name: `pod-${i}`, ips: [`10.42.1.${i}`] }));
  for (const [i, spec] of specs.entries()) {
    stage.pod(spec);
    stage.register(`/shop/${i}`, spec.ips?.[0] ?? "", registration);
  }
  await stage.start();
  await stage.advance(20_000);
  expect(stage.controller.summary.counts(POLICY).Live).toBe(count);
  return specs;
}

/** The pods' objects are removed by force. Each process has refreshed its lease a moment before, and does not again. */
async function lose(...specs: readonly PodSpec[]): Promise<void> {
  for (const { registration } of stage.server.entries()) stage.server.keepAlive(registration.id);
  await stage.advance(1_000);
  for (const spec of specs) stage.vanish(spec);
}

async function evictions(labels: Readonly<Record<string, string>>): Promise<number> {
  return (await stage.scrape()).sum("hygeia_evictions_total", labels);
}

const counts = () => stage.controller.summary.counts(POLICY);
const entries = (policy = POLICY) => stage.controller.summary.evictions(policy);

describe("a confirmed death", () => {
  test("is evicted at once, and noted with what restores the entry", async () => {
    await living();
    stage.kill(owner);
    await stage.advance(0);
    expect(stage.isListed(ID)).toBe(false);
    expect(entries()).toMatchObject([
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
    expect(await evictions({ policy: POLICY, registry: REGISTRY, class: "Confirmed", result: "Evicted" })).toBe(1);
    expect(counts()).toMatchObject({ Live: 0, Zombie: 0 });
  });

  test("leaves lines under one trace id, from the event seen to the write verified", async () => {
    await living();
    stage.lines.length = 0;
    stage.kill(owner);
    await stage.advance(0);
    const steps = stage.lines.filter(({ level }) => level === "info").map(({ step, traceId }) => [step, traceId]);
    const traceId = entries()[0]?.traceId;
    expect(steps).toEqual(["event", "judge", "confirm", "write", "done"].map((step) => [step, traceId]));
    expect(stage.having({ step: "event" })).toMatchObject([
      { pod: { uid: "uid-owner" }, death: "Finished", instances: 1 },
    ]);
    expect(stage.having({ step: "done" })).toMatchObject([{ key: `${REGISTRY}:${ID}`, outcome: "Evicted" }]);
  });

  test("of a pod without registrations leaves no line", async () => {
    await living();
    stage.lines.length = 0;
    stage.pod({ name: "other", ips: ["10.42.0.9"] });
    stage.kill({ name: "other", ips: ["10.42.0.9"] });
    await stage.advance(0);
    expect(stage.lines).toEqual([]);
  });

  test("that nobody led to act on is found by the first sweep, and its time counts from the death", async () => {
    await living();
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
    const specs = await manyLiving(2);
    for (const spec of specs) stage.kill(spec);
    await stage.advance(500);
    expect(entries()).toHaveLength(1);
    expect(stage.controller.summary.blocked(POLICY)).toMatchObject({
      reason: "Budget",
      message: expect.stringMatching(/^1 eviction waits: the policy's budget is used up/) as string,
    });
    await stage.advance(501);
    expect(entries()).toHaveLength(2);
    expect(stage.controller.summary.blocked(POLICY)).toBeUndefined();
    const [waited] = entries();
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
    await living();
    stage.pod({ ...owner, deleting: true });
    await stage.advance(60_000);
    expect(stage.isListed(ID)).toBe(true);
    expect(counts()).toMatchObject({ Draining: 1 });
  });

  test("is drained at once where the policy says so, after a look at the API; its time counts from the deletion", async () => {
    stage.policy({ zombies: { terminating: "Evict" } });
    await living();
    stage.api.answer = () => stage.clock.sleep(500);
    stage.pod({ ...owner, deleting: true });
    await stage.advance(600);
    expect(stage.isListed(ID)).toBe(false);
    expect(stage.api.reads).toEqual([`at ${IP}`]);
    expect(entries()).toMatchObject([{ evidence: "Terminating" }]);
    expect((await stage.scrape()).sum("hygeia_eviction_latency_seconds_sum")).toBeCloseTo(0.5, 2);
  });
});

describe("a death that no kubelet confirmed", () => {
  beforeEach(() => {
    stage.policy({ zombies: silentFor });
  });

  test("is acted on after silence, in turn, and the lease is heard once more before the write", async () => {
    await living(owner, ID, leased);
    await lose(owner);
    await stage.advance(59_000);
    expect(stage.isListed(ID)).toBe(true);
    expect(counts()).toMatchObject({ Suspect: 1 });
    await stage.advance(3_000);
    expect(entries()).toMatchObject([{ evidence: "Unconfirmed", reason: "SilentAfterDeath", result: "Evicted" }]);
    expect(stage.having({ step: "confirm" })).toMatchObject([{ pods: "read", reading: { kind: "Lease" } }]);
    expect(stage.having({ traceId: entries()[0]?.traceId }).map(({ step }) => step)).toEqual([
      "event",
      "judge",
      "judge",
      "judge",
      "confirm",
      "write",
      "done",
    ]);
  });

  test("is no death when the lease is refreshed after the silence was proven and before the write", async () => {
    await living(owner, ID, leased);
    await lose(owner);
    // The look at the pods takes long enough for a process that was cut off to come back.
    stage.api.answer = async () => {
      await stage.clock.sleep(1_000);
      stage.server.keepAlive(ID);
    };
    await stage.advance(70_000);
    expect(stage.api.reads).not.toEqual([]);
    expect(stage.isListed(ID)).toBe(true);
    expect(await evictions({ result: "NotConfirmed" })).toBe(1);
    expect(await evictions({ result: "Evicted" })).toBe(0);
    expect(counts()).toMatchObject({ Contested: 1 });
  });

  test("is not acted on while the registry does not answer for the lease, and is when it does", async () => {
    await living(owner, ID, leased);
    stage.disturbed.readLife = () => Promise.reject(new RegistryError("TimedOut", "no answer"));
    await lose(owner);
    await stage.advance(10_000);
    expect(stage.verdicts(ID).at(-1)).toBe("Suspect LeaseNotSilentYet");
    stage.disturbed = {};
    await stage.advance(65_000);
    expect(entries()).toMatchObject([{ evidence: "Unconfirmed" }]);
  });

  test("never holds up one that was confirmed, however many there are and however slowly the API answers", async () => {
    stage.policy({ zombies: { ...silentFor, budget: { unexplainedPercentPerMinute: 100 } } });
    const specs = await manyLiving(200, leased);
    // Forty of two hundred: self-preservation lets them go.
    await lose(...specs.slice(0, 40));
    let waiting = 0;
    stage.api.answer = async (signal) => {
      waiting++;
      await stage.clock.sleep(60_000, signal);
    };
    await stage.advance(65_000);
    expect(waiting).toBe(16);
    const last = specs.at(-1);
    if (last !== undefined) stage.kill(last);
    await stage.advance(0);
    expect(entries()).toMatchObject([{ evidence: "Confirmed" }]);
  });
});

describe("a write whose answer got lost", () => {
  const noAnswer = new RegistryError("TimedOut", "no answer in time");

  /**
   * The first delete loses its answer; `meanwhile` happens in the registry before that is known, and `then` when it is
   * known.
   */
  async function loseAnswer(
    meanwhile: (deregister: () => Promise<unknown>) => unknown,
    then: () => void = () => undefined,
  ): Promise<void> {
    await living();
    stage.disturbed.deregister = async (record, fence, signal) => {
      delete stage.disturbed.deregister;
      await meanwhile(async () => stage.plain?.deregister(record, fence, signal));
      then();
      throw noAnswer;
    };
    stage.kill(owner);
    await stage.advance(0);
    expect(await evictions({ result: "Unsettled" })).toBeGreaterThan(0);
  }

  test("is noted like any other when it turns out that it was done", async () => {
    await loseAnswer((deregister) => deregister());
    await stage.advance(200);
    expect(entries()).toMatchObject([{ id: ID, result: "Evicted", restore: { id: ID } }]);
    expect(await evictions({ result: "Evicted" })).toBe(1);
    expect(stage.told).toContain(`evicted ${ID} Evicted`);
    const steps = stage.having({ traceId: entries()[0]?.traceId }).map(({ step }) => step);
    expect(steps.slice(-2)).toEqual(["settle", "done"]);
  });

  test("is tried again by the same decision when it was not done", async () => {
    await loseAnswer(() => undefined);
    expect(stage.isListed(ID)).toBe(true);
    await stage.advance(200);
    expect(stage.isListed(ID)).toBe(false);
    expect(entries()).toMatchObject([{ result: "Evicted" }]);
    const traces = new Set(stage.having({ step: "write" }).map(({ traceId }) => traceId));
    expect(traces).toEqual(new Set([entries()[0]?.traceId]));
  });

  test("is not claimed when the entry left by itself", async () => {
    await loseAnswer(() => stage.server.remove(ID));
    await stage.advance(200);
    expect(entries()).toEqual([]);
    expect(await evictions({ result: "Gone" })).toBe(1);
    stage.register(ID, IP);
    await stage.advance(1_000);
    expect(stage.verdicts(ID)).not.toContain("Resurrected CameBack");
  });

  test("is asked about until the registry answers", async () => {
    await loseAnswer(
      (deregister) => deregister(),
      () => {
        stage.disturbed.deregister = () => Promise.reject(noAnswer);
      },
    );
    await stage.advance(5_000);
    expect(entries()).toEqual([]);
    stage.disturbed = {};
    await stage.advance(10_000);
    expect(entries()).toMatchObject([{ result: "Evicted" }]);
  });

  test("is found done although somebody has registered again, who is known for a comeback at once", async () => {
    await loseAnswer(async (deregister) => {
      await deregister();
      stage.register(ID, IP);
    });
    await stage.advance(500);
    expect(entries()).toMatchObject([{ result: "Resurrected" }]);
    expect(stage.isListed(ID)).toBe(true);
    expect(counts()).toMatchObject({ Resurrected: 1 });
    expect(stage.told.filter((text) => text.includes("Resurrected"))).toEqual([`evicted ${ID} Resurrected`]);
  });

  test("stays open when the policy changed before it was settled, and the log says so", async () => {
    await loseAnswer(
      (deregister) => deregister(),
      () => stage.policy(),
    );
    await stage.advance(500);
    expect(entries()).toEqual([]);
    expect(stage.having({ step: "settle", level: "warn" })).toHaveLength(1);
  });

  test("stays open when the registry was deleted before it was settled, and the log says so", async () => {
    await loseAnswer(
      (deregister) => deregister(),
      () => stage.registry({ deleted: true }),
    );
    await stage.advance(500);
    expect(stage.having({ step: "settle", level: "warn" })).toHaveLength(1);
  });

  test("that the registry refused is tried again and counted as failed", async () => {
    await living();
    stage.disturbed.deregister = () => Promise.reject(new RegistryError("PermissionDenied", "not allowed"));
    stage.kill(owner);
    await stage.advance(150);
    expect(await evictions({ result: "Failed" })).toBe(2);
    stage.disturbed = {};
    await stage.advance(1_000);
    expect(await evictions({ result: "Evicted" })).toBe(1);
  });
});

describe("an entry that comes back", () => {
  test("between the write and the read after it is left alone, and that is told once", async () => {
    await living();
    stage.disturbed.deregister = async (...call) => {
      const result = await stage.plain?.deregister(...call);
      stage.register(ID, IP);
      return result ?? { outcome: "Gone" };
    };
    stage.kill(owner);
    await stage.advance(120_000);
    expect(entries()).toMatchObject([{ result: "Resurrected" }]);
    expect(counts()).toMatchObject({ Resurrected: 1 });
    expect(stage.told.filter((text) => text.includes("Resurrected"))).toEqual([`evicted ${ID} Resurrected`]);
  });

  test("later is left alone, and that is told once, also when a view was not fresh for a while", async () => {
    await living();
    stage.kill(owner);
    await stage.advance(60_000);
    expect(entries()).toMatchObject([{ result: "Evicted" }]);
    stage.register(ID, IP);
    await stage.advance(60_000);
    expect(counts()).toMatchObject({ Resurrected: 1 });
    expect(entries()).toMatchObject([{ result: "Resurrected" }]);
    stage.cluster.freshness.nodes = { caughtUpTo: stage.clock.monotonic() };
    await stage.advance(60_000);
    expect(counts()).toMatchObject({ Unknown: 1 });
    delete stage.cluster.freshness.nodes;
    await stage.advance(60_000);
    expect(counts()).toMatchObject({ Resurrected: 1 });
    expect(stage.isListed(ID)).toBe(true);
    expect(stage.told.filter((text) => text.includes("Resurrected"))).toEqual([`judged ${ID} Resurrected`]);
  });

  test("is known for it also by the next leadership of this process", async () => {
    await living();
    stage.kill(owner);
    await stage.advance(1_000);
    await stage.end();
    stage.register(ID, IP);
    await stage.start();
    await stage.advance(1_000);
    expect(counts()).toMatchObject({ Resurrected: 1 });
  });

  test("with a pod that lives is that pod's, and goes when it dies", async () => {
    await living();
    stage.kill(owner);
    await stage.advance(1_000);
    const next: PodSpec = { name: "next", ips: [IP] };
    stage.register(ID, IP);
    stage.pod(next);
    await stage.advance(1_000);
    expect(counts()).toMatchObject({ Live: 1 });
    await stage.advance(20_000);
    stage.kill(next);
    await stage.advance(0);
    expect(stage.isListed(ID)).toBe(false);
    expect(entries().map(({ result }) => result)).toEqual(["Evicted", "Evicted"]);
  });
});

describe("what the policy asks for", () => {
  test("Audit judges, reports and says why, and runs the same code up to the write", async () => {
    stage.policy({ mode: "Audit" });
    const writes: string[] = [];
    stage.disturbed.deregister = () => {
      writes.push("deregister");
      return Promise.resolve({ outcome: "Gone" });
    };
    await living();
    stage.kill(owner);
    await stage.advance(0);
    expect(stage.told).toContain(`judged ${ID} Zombie Audit`);
    expect(stage.controller.summary.findings(POLICY, 10)).toMatchObject([{ action: "None:Audit" }]);
    expect(stage.verdicts(ID).at(-1)).toBe("Zombie DeathConfirmed");
    expect((await stage.scrape()).sum("hygeia_blocked_evictions_total", { reason: "Audit" })).toBe(1);
    const steps = stage.lines
      .filter(({ key }) => key === `${REGISTRY}:${ID}`)
      .map(({ step, outcome }) => outcome ?? step);
    expect(steps.slice(-3)).toEqual(["judge", "confirm", "Audited"]);
    expect(
      new Set(stage.lines.filter(({ key }) => key === `${REGISTRY}:${ID}`).map(({ traceId }) => traceId)).size,
    ).toBe(1);
    expect(writes).toEqual([]);
    expect(stage.having({ step: "write" })).toEqual([]);
    delete stage.disturbed.deregister;
    stage.policy({});
    await stage.advance(1_000);
    expect(stage.isListed(ID)).toBe(false);
  });

  test("Audit takes a last look at the API server as Enforce does, and goes on as long as it speaks against it", async () => {
    stage.policy({ mode: "Audit", zombies: { terminating: "Evict" } });
    await living();
    stage.api.answer = () => Promise.reject(new Error("no answer"));
    stage.pod({ ...owner, deleting: true });
    await stage.advance(5_000);
    expect(stage.having({ outcome: "Audited" })).toEqual([]);
    expect(stage.api.reads.length).toBeGreaterThan(1);
    stage.api.answer = () => Promise.resolve();
    await stage.advance(60_000);
    expect(stage.having({ outcome: "Audited" })).toHaveLength(1);
    expect(stage.isListed(ID)).toBe(true);
  });

  test("Audit takes each decision up to the write once, and again when the record is another", async () => {
    stage.policy({ mode: "Audit" });
    await living();
    stage.kill(owner);
    await stage.advance(300_000);
    expect(stage.having({ outcome: "Audited" })).toHaveLength(1);
    const next: PodSpec = { name: "next", ips: [IP] };
    stage.register(ID, IP);
    stage.pod(next);
    await stage.advance(60_000);
    stage.kill(next);
    await stage.advance(0);
    expect(stage.having({ outcome: "Audited" })).toHaveLength(2);
  });

  test("Audit says what would hold an eviction back", async () => {
    stage.policy({ mode: "Audit", zombies: { minInstances: 1 } });
    await living();
    stage.kill(owner);
    await stage.advance(0);
    expect(stage.told).toContain(`judged ${ID} Zombie MinInstances`);
    expect(stage.having({ step: "confirm" })).toEqual([]);
    stage.policy({ mode: "Audit" });
    await stage.advance(1_000);
    expect(stage.having({ outcome: "Audited" })).toHaveLength(1);
  });

  test("Audit takes nothing from the budget of what is evicted", async () => {
    const budget = { evictionsPerSecond: 1, burst: 1, unexplainedPercentPerMinute: 100 };
    stage.policy({ mode: "Audit", zombies: { budget } });
    await living();
    stage.kill(owner);
    await stage.advance(0);
    expect(stage.having({ outcome: "Audited" })).toHaveLength(1);
    stage.policy({ zombies: { budget } });
    await stage.advance(200);
    expect(stage.isListed(ID)).toBe(false);
  });

  test("--dry-run makes every policy one of mode Audit", async () => {
    await stage.stop();
    stage = new InstanceStage({ dryRun: true });
    await living();
    stage.kill(owner);
    await stage.advance(60_000);
    expect(stage.isListed(ID)).toBe(true);
    expect(stage.told).toContain(`judged ${ID} Zombie Audit`);
  });

  test("Paused neither judges nor evicts", async () => {
    await living();
    stage.policy({ mode: "Paused" });
    stage.kill(owner);
    await stage.advance(60_000);
    expect(stage.isListed(ID)).toBe(true);
    expect(Object.values(counts()).every((count) => count === 0)).toBe(true);
    expect(stage.controller.summary.findings(POLICY, 10)).toEqual([]);
  });

  test("an eviction on its way is stopped by any change of the policy", async () => {
    stage.policy({ zombies: { terminating: "Evict" } });
    await living();
    stage.api.answer = () => {
      stage.policy({ mode: "Audit", zombies: { terminating: "Evict" } });
      return Promise.resolve();
    };
    stage.pod({ ...owner, deleting: true });
    await stage.advance(5_000);
    expect(stage.isListed(ID)).toBe(true);
    expect(await evictions({ result: "Fenced" })).toBe(1);
  });

  const stops: Readonly<Record<string, () => void>> = {
    "the policy is deleted": () => stage.deletePolicy(),
    "the registry is deleted": () => stage.registry({ deleted: true }),
    "leadership is lost": () => {
      stage.leads = false;
    },
  };
  test.each(Object.entries(stops))("an eviction on its way is stopped when %s", async (_, happens) => {
    await living();
    stage.disturbed.deregister = async (...call) => {
      happens();
      return (await stage.plain?.deregister(...call)) ?? { outcome: "Gone" };
    };
    stage.kill(owner);
    await stage.advance(5_000);
    expect(stage.isListed(ID)).toBe(true);
    expect(stage.having({ step: "done" })[0]).toMatchObject({ outcome: "Fenced" });
    expect(stage.having({ outcome: "Evicted" })).toEqual([]);
  });
});

describe("what holds an eviction back", () => {
  /** What the log says was decided over a record that looks dead, oldest first and each once in a row. */
  function decisions(id: string): unknown[] {
    const all = stage.having({ step: "judge", instance: id }).map(({ decision }) => decision);
    return all.filter((decision, i) => decision !== undefined && decision !== all[i - 1]);
  }

  /** Silent for certain after 160 s, and forgotten by the registry itself long after that. */
  const longLeased = { ttlMs: 240_000 };
  const blocked = () => stage.controller.summary.blocked(POLICY);

  test("is a minute's share of deaths that nobody saw, of all that the registry lists", async () => {
    stage.policy({ zombies: { ...silentFor, budget: { unexplainedPercentPerMinute: 10 } } });
    const specs = await manyLiving(20, longLeased);
    await lose(...specs.slice(0, 3));
    await stage.advance(163_000);
    expect(entries()).toHaveLength(2);
    expect(blocked()).toMatchObject({
      reason: "UnexplainedBudget",
      message: expect.stringMatching(/^1 eviction waits: the budget for deaths that nobody saw/) as string,
    });
    expect((await stage.scrape()).sum("hygeia_blocked_evictions_total", { reason: "UnexplainedBudget" })).toBe(1);
    // Deaths that were seen have nothing to do with it.
    if (specs[3] !== undefined) stage.kill(specs[3]);
    await stage.advance(0);
    expect(stage.isListed("/shop/3")).toBe(false);
    await stage.advance(50_000);
    expect(entries()).toHaveLength(3);
    await stage.advance(15_000);
    expect(entries()).toHaveLength(4);
    expect(blocked()).toBeUndefined();
  });

  test("is the floor of its service: others that live there, and no others, and not itself", async () => {
    stage.policy({ zombies: { minInstances: 2 } });
    const [, second, third] = await manyLiving(3);
    for (const port of [90, 91, 92]) stage.register(`/other/${port}`, "10.42.1.0", { service: "other", port });
    await stage.advance(20_000);
    expect(counts()).toMatchObject({ Live: 6 });
    if (second !== undefined) stage.kill(second);
    await stage.advance(0);
    expect(stage.isListed("/shop/1")).toBe(false);
    if (third !== undefined) stage.kill(third);
    await stage.advance(60_000);
    expect(stage.isListed("/shop/2")).toBe(true);
    expect(decisions("/shop/2")).toEqual(["MinInstances"]);
    expect(blocked()).toMatchObject({ reason: "MinInstances" });
    stage.pod({ name: "next", ips: ["10.42.1.9"] });
    stage.register("/shop/9", "10.42.1.9");
    await stage.advance(60_000);
    expect(stage.isListed("/shop/2")).toBe(false);
    expect(blocked()).toBeUndefined();
  });

  test("is that most nodes are not ready, unless the death was seen, until they are", async () => {
    stage.policy({ zombies: silentFor });
    const [lost, killed] = await manyLiving(10, longLeased);
    for (const name of ["node-2", "node-3"]) stage.cluster.nodes.set(rawNode({ name, ready: false }));
    if (lost !== undefined) await lose(lost);
    if (killed !== undefined) stage.kill(killed);
    await stage.advance(163_000);
    expect(stage.isListed("/shop/0")).toBe(true);
    expect(stage.isListed("/shop/1")).toBe(false);
    expect(decisions("/shop/0")).toEqual(["SelfPreservation"]);
    expect(blocked()).toEqual({
      reason: "SelfPreservation",
      message: "registry main: NodesNotReady: only 1 of 3 nodes are ready (at least 45 % must be)",
    });
    stage.cluster.nodes.set(rawNode({ name: "node-2" }));
    await stage.advance(60_000);
    expect(entries()).toContainEqual(expect.objectContaining({ id: "/shop/0", result: "Evicted" }));
    expect(blocked()).toBeUndefined();
  });

  test("is that pods vanished from one list to the next, but for those seen to end, until a list agrees", async () => {
    stage.policy({ zombies: silentFor });
    const registered = await manyLiving(10, longLeased);
    const others = Array.from({ length: 20 }, (_, i): PodSpec => ({ name: `other-${i}`, ips: [`10.42.2.${i}`] }));
    const list = (...specs: readonly PodSpec[]): void => stage.cluster.pods.list(specs.map(rawPod));
    list(...registered, ...others);
    const [lost, ...left] = registered;
    if (lost !== undefined) await lose(lost);
    list(...left, ...others.slice(0, 11));
    await stage.advance(163_000);
    expect(stage.isListed("/shop/0")).toBe(true);
    expect(decisions("/shop/0")).toEqual(["SelfPreservation"]);
    expect(blocked()?.message).toBe(
      "registry main: PodsVanished: 9 of 30 pods were missing in the last list without a death that was seen (limit 30 %)",
    );
    list(...left, ...others.slice(0, 11));
    await stage.advance(60_000);
    expect(entries()).toContainEqual(expect.objectContaining({ id: "/shop/0", result: "Evicted" }));
    expect(blocked()).toBeUndefined();
  });
});

describe("a change of who is in charge", () => {
  test("moves an instance from one policy to the other, in counts and findings, and both are told", async () => {
    stage.policy({ mode: "Audit" });
    await living();
    stage.kill(owner);
    await stage.advance(0);
    stage.changed.length = 0;
    stage.policy({ name: "better", priority: 7, mode: "Audit" });
    await stage.advance(1_000);
    expect(counts()).toMatchObject({ Zombie: 0 });
    expect(stage.controller.summary.counts("better")).toMatchObject({ Zombie: 1 });
    expect(stage.controller.summary.findings(POLICY, 10)).toEqual([]);
    expect(stage.changed).toEqual(expect.arrayContaining([POLICY, "better"]));
  });

  test("a deleted policy leaves nothing behind: no counts, no findings, no evictions, no series", async () => {
    await living();
    stage.kill(owner);
    await stage.advance(0);
    stage.register("/shop/2", IP);
    await stage.advance(1_000);
    expect(stage.controller.summary.findings(POLICY, 10)).toHaveLength(1);
    stage.deletePolicy();
    await stage.advance(1_000);
    expect(stage.controller.summary.findings(POLICY, 10)).toEqual([]);
    expect(Object.values(counts()).every((count) => count === 0)).toBe(true);
    expect(entries()).toEqual([]);
    const reading = await stage.scrape();
    for (const name of ["hygeia_instances", "hygeia_evictions_total", "hygeia_budget_left"]) {
      expect([name, reading.has(name, { policy: POLICY })]).toEqual([name, false]);
    }
    // A policy of the same name that comes later shows nothing of it either.
    stage.policy({ uid: "another" });
    expect(entries()).toEqual([]);
  });

  test("a deleted registry leaves nothing behind", async () => {
    await living();
    stage.registry({ deleted: true });
    await stage.advance(1_000);
    expect(Object.values(counts()).every((count) => count === 0)).toBe(true);
    expect((await stage.scrape()).has("hygeia_instances", { registry: REGISTRY })).toBe(false);
  });

  test("a record that no policy is in charge of is not judged, and never evicted", async () => {
    stage.policy({ match: { podSelector: { matchLabels: { app: "another" } } } });
    stage.pod(owner);
    stage.register(ID, IP);
    await stage.start();
    stage.kill(owner);
    await stage.advance(300_000);
    expect(stage.isListed(ID)).toBe(true);
    expect(stage.verdicts(ID)).toEqual([]);
  });
});

describe("views", () => {
  test("that are not fresh make every verdict Unknown without a line for each, and lose no date of a finding", async () => {
    stage.policy({ mode: "Audit" });
    const specs = await manyLiving(20);
    if (specs[0] !== undefined) stage.kill(specs[0]);
    await stage.advance(0);
    const [before] = stage.controller.summary.findings(POLICY, 10);
    stage.cluster.freshness.slices = { caughtUpTo: stage.clock.monotonic() };
    stage.lines.length = 0;
    await stage.advance(60_000);
    expect(counts()).toMatchObject({ Unknown: 20, Live: 0, Zombie: 0 });
    expect(stage.controller.summary.blocked(POLICY)).toMatchObject({ reason: "ClusterViewNotFresh" });
    expect(stage.lines.filter(({ level }) => level === "info")).toEqual([]);
    delete stage.cluster.freshness.slices;
    await stage.advance(200);
    expect(counts()).toMatchObject({ Unknown: 0, Live: 19, Zombie: 1 });
    expect(stage.controller.summary.findings(POLICY, 10)).toMatchObject([{ firstSeen: before?.firstSeen }]);
    expect(stage.controller.summary.blocked(POLICY)).toBeUndefined();
  });

  test("of a registry that fell silent block its policies, by name", async () => {
    await living();
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
    expect(entries()).toMatchObject([{ evidence: "Absent", pod: { uid: "" } }]);
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
    expect(counts()).toMatchObject({ Foreign, Zombie: 10 });
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
    await living();
    await stage.end();
    expect((await stage.scrape()).has("hygeia_instances")).toBe(false);
    expect(Object.values(counts()).every((count) => count === 0)).toBe(true);
    await stage.start();
    await stage.advance(1_000);
    expect((await stage.scrape()).sum("hygeia_instances", { verdict: "Live" })).toBe(1);
  });

  test("its end waits for an eviction under way, which is noted, and begins no other", async () => {
    const [first, second] = await manyLiving(2);
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
