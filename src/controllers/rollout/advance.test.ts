import { describe, expect, test } from "vitest";

import { dnsPolicy, SITE } from "../../../test/support/admission-cases.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { templateOf } from "../../cluster/pod-template.ts";
import { KubeError } from "../../kube/http-errors.ts";
import type { Evicted, WorkloadPod } from "../../rollout/api.ts";
import { fingerprintOf, type RolloutEntry, type RolloutRules } from "../../rollout/types.ts";
import { readWorkload, type Workload } from "../../rollout/workload.ts";
import { createMetrics } from "../../telemetry/metrics.ts";
import type { CompiledPolicy } from "../types.ts";
import { Advance } from "./advance.ts";

const LIMIT_MS = 60_000;
const never = new AbortController().signal;
const OBEYS = { dnsConfig: { options: [{ name: "ndots", value: "2" }] } };

type RollingPolicy = CompiledPolicy & { readonly rollout: RolloutRules };

function policyOf(generation: number): RollingPolicy {
  const podPolicy = dnsPolicy({ options: [{ name: "ndots", value: "2" }] });
  const policy = { name: "p", uid: "0a1b2c3d-1", generation, podPolicy, rollout: { availableWithinMs: LIMIT_MS } };
  return policy as RollingPolicy;
}

/** The workload, its pods and what the API server answers, as the test puts them. */
class World {
  readonly clock = new ManualClock();
  readonly calls: string[] = [];
  isLeader = true;
  generation = 1;
  uid = "u";
  deleting = false;
  annotation: string | undefined;
  counts = { observedGeneration: 1, replicas: 2, updatedReplicas: 2, availableReplicas: 2 };
  list: WorkloadPod[] = [];
  refusal: KubeError | undefined;
  evicted: Evicted = { kind: "Evicted" };
  readonly #policy = policyOf(2);
  #entry: RolloutEntry;
  #advance = this.#makeAdvance();

  constructor(strategy: RolloutEntry["strategy"]) {
    this.#entry = {
      namespace: "shop",
      kind: "StatefulSet",
      name: "db",
      uid: "u",
      fingerprint: fingerprintOf(this.#policy),
      strategy,
      workloadGeneration: 1,
      startedAt: this.clock.wall(),
      result: "Started",
      message: undefined,
    };
    this.#advance.begin(this.#entry);
  }

  get entry(): RolloutEntry {
    return this.#entry;
  }

  /** The replica has ended and another goes on. */
  takeOver(): void {
    this.#advance = this.#makeAdvance();
  }

  pod(name: string, spec: object = {}, over: Partial<WorkloadPod> = {}): WorkloadPod {
    const template = templateOf({ metadata: {}, spec: { containers: [{ name: "app" }], ...spec } });
    const createdAt = new Date(this.#entry.startedAt.getTime() - 1_000);
    const pod = { name, uid: `uid-${name}`, namespace: "shop", ready: true, deleting: false, template, createdAt };
    return { ...pod, ...over } as WorkloadPod;
  }

  async step({ mayDisrupt = true, generation = 2 }: { mayDisrupt?: boolean; generation?: number } = {}) {
    const step = await this.#advance.step(this.#entry, policyOf(generation), mayDisrupt, never);
    this.#entry = step.entry;
    return step;
  }

  async result(options: { mayDisrupt?: boolean; generation?: number } = {}): Promise<RolloutEntry["result"]> {
    return (await this.step(options)).entry.result;
  }

  /** As its controller does after the annotation was set. */
  rollOut(): void {
    this.generation += 1;
    this.counts = { ...this.counts, observedGeneration: this.generation };
    this.annotation = this.#entry.fingerprint;
  }

  #workload(): Workload {
    return readWorkload("StatefulSet", {
      metadata: {
        uid: this.uid,
        namespace: "shop",
        name: "db",
        generation: this.generation,
        ...(this.deleting ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}),
      },
      spec: {
        replicas: 2,
        selector: { matchLabels: { app: "db" } },
        template: { metadata: { annotations: { "hygeia.dev/rollout": this.annotation } } },
      },
      status: this.counts,
    });
  }

  #makeAdvance(): Advance {
    const policies = { forPod: () => this.#policy, forLabels: () => this.#policy };
    const refuse = (): void => {
      if (this.refusal !== undefined) throw this.refusal;
    };
    return new Advance({
      policies,
      sites: { siteOf: () => SITE },
      excluded: new Set(),
      isLeader: () => this.isLeader,
      clock: this.clock,
      metrics: createMetrics({ version: "0" }),
      api: {
        workload: () => Promise.resolve(this.uid === "" ? undefined : this.#workload()),
        pods: () => Promise.resolve(this.list),
        annotate: async (_, fingerprint) => {
          await Promise.resolve();
          refuse();
          this.calls.push(`annotate ${fingerprint}`);
        },
        evict: async ({ name }) => {
          await Promise.resolve();
          refuse();
          this.calls.push(`evict ${name}`);
          return this.evicted;
        },
      },
    });
  }
}

const refusedWith = (status: number): KubeError => new KubeError("X", "because", { status, reason: "" });

describe("a workload under way by its template", () => {
  test("is annotated once, waited for, and done when every pod is as it should be", async () => {
    const world = new World("Template");
    world.list = [world.pod("db-0")];
    expect(await world.result()).toBe("Started");
    expect(world.calls).toEqual(["annotate p@2-0a1b2c3d"]);
    world.rollOut();
    world.counts = { ...world.counts, updatedReplicas: 1 };
    expect(await world.step()).toMatchObject({ entry: { result: "Started" }, note: "1/2 updated" });
    world.counts = { ...world.counts, updatedReplicas: 2 };
    expect(await world.step()).toMatchObject({ entry: { result: "Started" }, note: "pod db-0 still differs" });
    const ended = world.pod("evicted by its node", {}, { phase: "Failed" });
    world.list = [world.pod("db-0", OBEYS), world.pod("old", {}, { deleting: true }), ended];
    expect(await world.result()).toBe("Done");
    expect(world.calls).toHaveLength(1);
  });

  test("is not touched while nothing may be taken away, and the waiting does not count", async () => {
    const world = new World("Template");
    expect(await world.step({ mayDisrupt: false })).toMatchObject({ note: "it waits" });
    await world.clock.advance(2 * LIMIT_MS);
    await world.step();
    world.rollOut();
    world.counts = { ...world.counts, availableReplicas: 1 };
    expect(await world.result()).toBe("Started");
    await world.clock.advance(LIMIT_MS);
    expect(await world.result()).toBe("Failed");
  });

  test("goes on to its end while nothing further may be taken away", async () => {
    const world = new World("Template");
    world.rollOut();
    world.list = [world.pod("db-0", OBEYS)];
    expect(await world.result({ mayDisrupt: false })).toBe("Done");
  });

  test("is not annotated by a replica that leads no more", async () => {
    const world = new World("Template");
    world.isLeader = false;
    await expect(world.step()).rejects.toMatchObject({ code: "NotLeading" });
    expect(world.calls).toEqual([]);
  });

  test("is given back when it changed at the moment of its beginning", async () => {
    const world = new World("Template");
    world.refusal = refusedWith(409);
    expect(await world.step()).toMatchObject({ entry: { result: "Started" }, isWithdrawn: true });
  });

  test("has failed when the API server refuses it, and is tried again when it could not answer", async () => {
    const world = new World("Template");
    for (const status of [0, 401, 429, 500]) {
      world.refusal = refusedWith(status);
      await expect(world.step()).rejects.toBe(world.refusal);
    }
    world.refusal = refusedWith(403);
    const { entry } = await world.step();
    expect([entry.result, entry.message]).toEqual(["Failed", "the API server refuses its annotation: because"]);
  });

  test("has failed when its new pods differ too, after they had their time", async () => {
    const world = new World("Template");
    world.rollOut();
    world.list = [world.pod("db-0")];
    expect(await world.result()).toBe("Started");
    await world.clock.advance(LIMIT_MS);
    const { entry } = await world.step();
    expect([entry.result, entry.message]).toEqual([
      "Failed",
      "its new pod db-0 differs from the policy too: admission did not change it",
    ]);
  });

  test("whose annotation was taken out is not annotated again: it has failed where pods were not replaced", async () => {
    const world = new World("Template");
    world.rollOut();
    world.rollOut();
    world.annotation = undefined;
    world.list = [world.pod("db-0")];
    const { entry } = await world.step();
    expect(entry.result).toBe("Failed");
    expect(entry.message).toMatch(/^the annotation hygeia.dev\/rollout was taken out of its pod template/);
    expect(world.calls).toEqual([]);
  });

  test("whose annotation was taken out is done where its pods are as they should be", async () => {
    const world = new World("Template");
    world.rollOut();
    world.annotation = undefined;
    world.list = [world.pod("db-0", OBEYS)];
    expect(await world.result()).toBe("Done");
  });

  test.each([
    ["there is none of the name", (world: World) => (world.uid = "")],
    ["another one has the name", (world: World) => (world.uid = "other")],
    ["it is being deleted", (world: World) => (world.deleting = true)],
  ])("is gone when %s", async (_, change) => {
    const world = new World("Template");
    change(world);
    expect(await world.result()).toBe("Gone");
    expect(world.calls).toEqual([]);
  });

  test("of an earlier state of the policy ends when it is available, and its pods are judged anew", async () => {
    const world = new World("Template");
    world.rollOut();
    world.list = [world.pod("db-0")];
    expect(await world.result({ generation: 3 })).toBe("Done");
  });

  test("has its whole time again when another replica takes over", async () => {
    const world = new World("Template");
    world.rollOut();
    world.counts = { ...world.counts, availableReplicas: 1 };
    await world.step();
    await world.clock.advance(LIMIT_MS - 1);
    world.takeOver();
    await world.step();
    await world.clock.advance(LIMIT_MS - 1);
    expect(await world.result()).toBe("Started");
    await world.clock.advance(1);
    expect(await world.result()).toBe("Failed");
  });
});

describe("a workload under way by eviction", () => {
  function evicting(): World {
    const world = new World("Evict");
    world.list = [world.pod("db-0"), world.pod("db-1")];
    return world;
  }

  test("loses one pod after the other, each when all are there again", async () => {
    const world = evicting();
    await world.step();
    expect(world.calls).toEqual(["evict db-0"]);
    // Its controller has not said yet that one is missing; the pods say it.
    world.list = [world.pod("db-0", {}, { deleting: true }), world.pod("db-1")];
    await world.step();
    world.list = [world.pod("db-1")];
    await world.step();
    world.list = [world.pod("db-0", OBEYS, { uid: "new-0", ready: false }), world.pod("db-1")];
    await world.step();
    expect(world.calls).toHaveLength(1);
    world.list = [world.pod("db-0", OBEYS, { uid: "new-0" }), world.pod("db-1")];
    await world.step();
    expect(world.calls).toEqual(["evict db-0", "evict db-1"]);
    world.list = [world.pod("db-0", OBEYS, { uid: "new-0" }), world.pod("db-1", OBEYS, { uid: "new-1" })];
    expect(await world.result()).toBe("Done");
  });

  test("loses none while its controller counts one as missing, nothing may be taken away, or another leads", async () => {
    const world = evicting();
    world.counts = { ...world.counts, availableReplicas: 1 };
    await world.step();
    world.counts = { ...world.counts, availableReplicas: 2 };
    expect(await world.step({ mayDisrupt: false })).toMatchObject({ note: "it waits" });
    world.isLeader = false;
    await expect(world.step()).rejects.toMatchObject({ code: "NotLeading" });
    expect(world.calls).toEqual([]);
  });

  test("has failed when a new pod differs too, and that pod stays", async () => {
    const world = evicting();
    await world.step();
    world.list = [world.pod("db-0", {}, { uid: "new-0" }), world.pod("db-1")];
    const { entry } = await world.step();
    expect(entry.result).toBe("Failed");
    expect(entry.message).toMatch(/^its new pod db-0 differs/);
    expect(world.calls).toHaveLength(1);
  });

  test("does not take a new pod for an old one when another replica takes over", async () => {
    const world = evicting();
    await world.step();
    const createdAt = new Date(world.entry.startedAt.getTime() + 1_000);
    world.list = [world.pod("db-0", {}, { uid: "new-0", createdAt }), world.pod("db-1")];
    world.takeOver();
    expect(await world.result()).toBe("Failed");
    expect(world.calls).toHaveLength(1);
  });

  test("asks a budget again when it is time, and keeps its pods when that allows nothing for too long", async () => {
    const world = evicting();
    world.evicted = { kind: "Refused", retryAfterMs: 10_000, message: "a budget" };
    expect(await world.step()).toMatchObject({ note: "a PodDisruptionBudget holds back db-0" });
    await world.clock.advance(9_999);
    await world.step();
    expect(world.calls).toHaveLength(1);
    await world.clock.advance(1);
    await world.step();
    expect(world.calls).toHaveLength(2);
    await world.clock.advance(LIMIT_MS - 10_000);
    const { entry } = await world.step();
    expect([entry.result, entry.message]).toEqual(["Blocked", "pod db-0 can not be evicted: a budget"]);
  });

  test("has failed when a replaced pod does not become ready in its time", async () => {
    const world = evicting();
    await world.step();
    world.list = [world.pod("db-0", OBEYS, { uid: "new-0", ready: false }), world.pod("db-1")];
    await world.clock.advance(LIMIT_MS - 1);
    expect(await world.result()).toBe("Started");
    await world.clock.advance(1);
    expect(await world.result()).toBe("Failed");
    expect(world.calls).toHaveLength(1);
  });

  test("is given time when a pod fails by itself after a long wait", async () => {
    const world = evicting();
    await world.clock.advance(10 * LIMIT_MS);
    await world.step({ mayDisrupt: false });
    world.counts = { ...world.counts, availableReplicas: 1 };
    expect(await world.result()).toBe("Started");
  });

  test("has failed when the API server refuses it for good", async () => {
    const world = evicting();
    world.refusal = refusedWith(403);
    const { entry } = await world.step();
    expect(entry.message).toBe("the API server refuses the eviction of pod db-0: because");
  });
});
