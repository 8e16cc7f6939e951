import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { type PodSpec, rawNode, rawPod } from "../../../test/support/cluster-view-fixture.ts";
import { InstanceStage, POLICY, REGISTRY } from "../../../test/support/instance-stage.ts";

const ID = "/shop/1";
const IP = "10.42.0.7";
const owner: PodSpec = { name: "owner", ips: [IP] };
const silentFor = { silentFor: "60s" };

let stage: InstanceStage;

beforeEach(() => {
  stage = new InstanceStage();
});

afterEach(async () => {
  await stage.stop();
});

describe("what the policy asks for", () => {
  test("Audit judges, reports and says why, and runs the same code up to the write", async () => {
    stage.policy({ mode: "Audit" });
    const writes: string[] = [];
    stage.disturbed.deregister = () => {
      writes.push("deregister");
      return Promise.resolve({ outcome: "Gone" });
    };
    await stage.living(owner, ID);
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
    await stage.living(owner, ID);
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
    await stage.living(owner, ID);
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
    await stage.living(owner, ID);
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
    await stage.living(owner, ID);
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
    await stage.living(owner, ID);
    stage.kill(owner);
    await stage.advance(60_000);
    expect(stage.isListed(ID)).toBe(true);
    expect(stage.told).toContain(`judged ${ID} Zombie Audit`);
  });

  test("Paused neither judges nor evicts", async () => {
    await stage.living(owner, ID);
    stage.policy({ mode: "Paused" });
    stage.kill(owner);
    await stage.advance(60_000);
    expect(stage.isListed(ID)).toBe(true);
    expect(Object.values(stage.counts()).every((count) => count === 0)).toBe(true);
    expect(stage.controller.summary.findings(POLICY, 10)).toEqual([]);
  });

  test("an eviction on its way is stopped by any change of the policy", async () => {
    stage.policy({ zombies: { terminating: "Evict" } });
    await stage.living(owner, ID);
    stage.api.answer = () => {
      stage.policy({ mode: "Audit", zombies: { terminating: "Evict" } });
      return Promise.resolve();
    };
    stage.pod({ ...owner, deleting: true });
    await stage.advance(5_000);
    expect(stage.isListed(ID)).toBe(true);
    expect(await stage.evictions({ result: "Fenced" })).toBe(1);
  });

  const stops: Readonly<Record<string, () => void>> = {
    "the policy is deleted": () => stage.deletePolicy(),
    "the registry is deleted": () => stage.registry({ deleted: true }),
    "leadership is lost": () => {
      stage.leads = false;
    },
  };
  test.each(Object.entries(stops))("an eviction on its way is stopped when %s", async (_, happens) => {
    await stage.living(owner, ID);
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

  test("is a minute's share of deaths that nobody saw, of what policies look after and not of others' entries", async () => {
    stage.policy({ zombies: { ...silentFor, budget: { unexplainedPercentPerMinute: 10 } } });
    for (let i = 0; i < 100; i++) stage.register(`/others/${i}`, `192.0.2.${i}`);
    const specs = await stage.manyLiving(20, longLeased);
    await stage.lose(...specs.slice(0, 3));
    await stage.advance(163_000);
    expect(stage.entries()).toHaveLength(2);
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
    expect(stage.entries()).toHaveLength(3);
    await stage.advance(15_000);
    expect(stage.entries()).toHaveLength(4);
    expect(blocked()).toBeUndefined();
  });

  test("is the floor of its service: others that live there, and no others, and not itself", async () => {
    stage.policy({ zombies: { minInstances: 2 } });
    const [, second, third] = await stage.manyLiving(3);
    for (const port of [90, 91, 92]) stage.register(`/other/${port}`, "10.42.1.0", { service: "other", port });
    await stage.advance(20_000);
    expect(stage.counts()).toMatchObject({ Live: 6 });
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
    const [lost, killed] = await stage.manyLiving(10, longLeased);
    for (const name of ["node-2", "node-3"]) stage.cluster.nodes.set(rawNode({ name, ready: false }));
    if (lost !== undefined) await stage.lose(lost);
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
    expect(stage.entries()).toContainEqual(expect.objectContaining({ id: "/shop/0", result: "Evicted" }));
    expect(blocked()).toBeUndefined();
  });

  test("is that pods vanished from one list to the next, but for those seen to end, until a list agrees", async () => {
    stage.policy({ zombies: silentFor });
    const registered = await stage.manyLiving(10, longLeased);
    const others = Array.from({ length: 20 }, (_, i): PodSpec => ({ name: `other-${i}`, ips: [`10.42.2.${i}`] }));
    const list = (...specs: readonly PodSpec[]): void => stage.cluster.pods.list(specs.map(rawPod));
    list(...registered, ...others);
    const [lost, ...left] = registered;
    if (lost !== undefined) await stage.lose(lost);
    list(...left, ...others.slice(0, 11));
    await stage.advance(163_000);
    expect(stage.isListed("/shop/0")).toBe(true);
    expect(decisions("/shop/0")).toEqual(["SelfPreservation"]);
    expect(blocked()?.message).toBe(
      "registry main: PodsVanished: 9 of 30 pods were missing in the last list without a death that was seen (limit 30 %)",
    );
    list(...left, ...others.slice(0, 11));
    await stage.advance(60_000);
    expect(stage.entries()).toContainEqual(expect.objectContaining({ id: "/shop/0", result: "Evicted" }));
    expect(blocked()).toBeUndefined();
  });
});

describe("a change of who is in charge", () => {
  test("moves an instance from one policy to the other, in counts and findings, and both are told", async () => {
    stage.policy({ mode: "Audit" });
    await stage.living(owner, ID);
    stage.kill(owner);
    await stage.advance(0);
    stage.changed.length = 0;
    stage.policy({ name: "better", priority: 7, mode: "Audit" });
    await stage.advance(1_000);
    expect(stage.counts()).toMatchObject({ Zombie: 0 });
    expect(stage.controller.summary.counts("better")).toMatchObject({ Zombie: 1 });
    expect(stage.controller.summary.findings(POLICY, 10)).toEqual([]);
    expect(stage.changed).toEqual(expect.arrayContaining([POLICY, "better"]));
  });

  test("a deleted policy leaves nothing behind: no counts, no findings, no evictions, no series", async () => {
    await stage.living(owner, ID);
    stage.kill(owner);
    await stage.advance(0);
    stage.register("/shop/2", IP);
    await stage.advance(1_000);
    expect(stage.controller.summary.findings(POLICY, 10)).toHaveLength(1);
    stage.deletePolicy();
    await stage.advance(1_000);
    expect(stage.controller.summary.findings(POLICY, 10)).toEqual([]);
    expect(Object.values(stage.counts()).every((count) => count === 0)).toBe(true);
    expect(stage.entries()).toEqual([]);
    const reading = await stage.scrape();
    for (const name of ["hygeia_instances", "hygeia_evictions_total", "hygeia_budget_left"]) {
      expect([name, reading.has(name, { policy: POLICY })]).toEqual([name, false]);
    }
    // A policy of the same name that comes later shows nothing of it either.
    stage.policy({ uid: "another" });
    expect(stage.entries()).toEqual([]);
  });

  test("a deleted registry leaves nothing behind", async () => {
    await stage.living(owner, ID);
    stage.registry({ deleted: true });
    await stage.advance(1_000);
    expect(Object.values(stage.counts()).every((count) => count === 0)).toBe(true);
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
