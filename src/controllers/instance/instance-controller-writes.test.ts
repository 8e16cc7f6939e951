import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { PodSpec } from "../../../test/support/cluster-view-fixture.ts";
import { InstanceStage } from "../../../test/support/instance-stage.ts";
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

describe("a death that no kubelet confirmed", () => {
  beforeEach(() => {
    stage.policy({ zombies: silentFor });
  });

  test("is acted on after silence, in turn, and the lease is heard once more before the write", async () => {
    await stage.living(owner, ID, leased);
    await stage.lose(owner);
    await stage.advance(59_000);
    expect(stage.isListed(ID)).toBe(true);
    expect(stage.counts()).toMatchObject({ Suspect: 1 });
    await stage.advance(3_000);
    expect(stage.entries()).toMatchObject([{ evidence: "Unconfirmed", reason: "SilentAfterDeath", result: "Evicted" }]);
    expect(stage.having({ step: "confirm" })).toMatchObject([{ pods: "read", reading: { kind: "Lease" } }]);
    expect(stage.having({ traceId: stage.entries()[0]?.traceId }).map(({ step }) => step)).toEqual([
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
    await stage.living(owner, ID, leased);
    await stage.lose(owner);
    // The look at the pods takes long enough for a process that was cut off to come back.
    stage.api.answer = async () => {
      await stage.clock.sleep(1_000);
      stage.server.keepAlive(ID);
    };
    await stage.advance(70_000);
    expect(stage.api.reads).not.toEqual([]);
    expect(stage.isListed(ID)).toBe(true);
    expect(await stage.evictions({ result: "NotConfirmed" })).toBe(1);
    expect(await stage.evictions({ result: "Evicted" })).toBe(0);
    expect(stage.counts()).toMatchObject({ Contested: 1 });
  });

  test("is not acted on while the registry does not answer for the lease, and is when it does", async () => {
    await stage.living(owner, ID, leased);
    stage.disturbed.readLife = () => Promise.reject(new RegistryError("TimedOut", "no answer"));
    await stage.lose(owner);
    await stage.advance(10_000);
    expect(stage.verdicts(ID).at(-1)).toBe("Suspect LeaseNotSilentYet");
    stage.disturbed = {};
    await stage.advance(65_000);
    expect(stage.entries()).toMatchObject([{ evidence: "Unconfirmed" }]);
  });

  test("never holds up one that was confirmed, however many there are and however slowly the API answers", async () => {
    stage.policy({ zombies: { ...silentFor, budget: { unexplainedPercentPerMinute: 100 } } });
    const specs = await stage.manyLiving(200, leased);
    // Forty of two hundred: self-preservation lets them go.
    await stage.lose(...specs.slice(0, 40));
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
    expect(stage.entries()).toMatchObject([{ evidence: "Confirmed" }]);
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
    await stage.living(owner, ID);
    stage.disturbed.deregister = async (record, fence, signal) => {
      delete stage.disturbed.deregister;
      await meanwhile(async () => stage.plain?.deregister(record, fence, signal));
      then();
      throw noAnswer;
    };
    stage.kill(owner);
    await stage.advance(0);
    expect(await stage.evictions({ result: "Unsettled" })).toBeGreaterThan(0);
  }

  test("is noted like any other when it turns out that it was done", async () => {
    await loseAnswer((deregister) => deregister());
    await stage.advance(200);
    expect(stage.entries()).toMatchObject([{ id: ID, result: "Evicted", restore: { id: ID } }]);
    expect(await stage.evictions({ result: "Evicted" })).toBe(1);
    expect(stage.told).toContain(`evicted ${ID} Evicted`);
    const steps = stage.having({ traceId: stage.entries()[0]?.traceId }).map(({ step }) => step);
    expect(steps.slice(-2)).toEqual(["settle", "done"]);
  });

  test("is tried again by the same decision when it was not done", async () => {
    await loseAnswer(() => undefined);
    expect(stage.isListed(ID)).toBe(true);
    await stage.advance(200);
    expect(stage.isListed(ID)).toBe(false);
    expect(stage.entries()).toMatchObject([{ result: "Evicted" }]);
    const traces = new Set(stage.having({ step: "write" }).map(({ traceId }) => traceId));
    expect(traces).toEqual(new Set([stage.entries()[0]?.traceId]));
  });

  test("is not claimed when the entry left by itself", async () => {
    await loseAnswer(() => stage.server.remove(ID));
    await stage.advance(200);
    expect(stage.entries()).toEqual([]);
    expect(await stage.evictions({ result: "Gone" })).toBe(1);
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
    expect(stage.entries()).toEqual([]);
    stage.disturbed = {};
    await stage.advance(10_000);
    expect(stage.entries()).toMatchObject([{ result: "Evicted" }]);
  });

  test("is found done although somebody has registered again, who is known for a comeback at once", async () => {
    await loseAnswer(async (deregister) => {
      await deregister();
      stage.register(ID, IP);
    });
    await stage.advance(500);
    expect(stage.entries()).toMatchObject([{ result: "Resurrected" }]);
    expect(stage.isListed(ID)).toBe(true);
    expect(stage.counts()).toMatchObject({ Resurrected: 1 });
    expect(stage.told.filter((text) => text.includes("Resurrected"))).toEqual([`evicted ${ID} Resurrected`]);
  });

  test("stays open when the policy changed before it was settled, and the log says so", async () => {
    await loseAnswer(
      (deregister) => deregister(),
      () => stage.policy(),
    );
    await stage.advance(500);
    expect(stage.entries()).toEqual([]);
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
    await stage.living(owner, ID);
    stage.disturbed.deregister = () => Promise.reject(new RegistryError("PermissionDenied", "not allowed"));
    stage.kill(owner);
    await stage.advance(150);
    expect(await stage.evictions({ result: "Failed" })).toBe(2);
    stage.disturbed = {};
    await stage.advance(1_000);
    expect(await stage.evictions({ result: "Evicted" })).toBe(1);
  });
});

describe("an entry that comes back", () => {
  test("between the write and the read after it is left alone, and that is told once", async () => {
    await stage.living(owner, ID);
    stage.disturbed.deregister = async (...call) => {
      const result = await stage.plain?.deregister(...call);
      stage.register(ID, IP);
      return result ?? { outcome: "Gone" };
    };
    stage.kill(owner);
    await stage.advance(120_000);
    expect(stage.entries()).toMatchObject([{ result: "Resurrected" }]);
    expect(stage.counts()).toMatchObject({ Resurrected: 1 });
    expect(stage.told.filter((text) => text.includes("Resurrected"))).toEqual([`evicted ${ID} Resurrected`]);
  });

  test("later is left alone, and that is told once, also when a view was not fresh for a while", async () => {
    await stage.living(owner, ID);
    stage.kill(owner);
    await stage.advance(60_000);
    expect(stage.entries()).toMatchObject([{ result: "Evicted" }]);
    stage.register(ID, IP);
    await stage.advance(60_000);
    expect(stage.counts()).toMatchObject({ Resurrected: 1 });
    expect(stage.entries()).toMatchObject([{ result: "Resurrected" }]);
    stage.cluster.freshness.nodes = { caughtUpTo: stage.clock.monotonic() };
    await stage.advance(60_000);
    expect(stage.counts()).toMatchObject({ Unknown: 1 });
    delete stage.cluster.freshness.nodes;
    await stage.advance(60_000);
    expect(stage.counts()).toMatchObject({ Resurrected: 1 });
    expect(stage.isListed(ID)).toBe(true);
    expect(stage.told.filter((text) => text.includes("Resurrected"))).toEqual([`judged ${ID} Resurrected`]);
  });

  test("is known for it also by the next leadership of this process", async () => {
    await stage.living(owner, ID);
    stage.kill(owner);
    await stage.advance(1_000);
    await stage.end();
    stage.register(ID, IP);
    await stage.start();
    await stage.advance(1_000);
    expect(stage.counts()).toMatchObject({ Resurrected: 1 });
  });

  test("with a pod that lives is that pod's, and goes when it dies", async () => {
    await stage.living(owner, ID);
    stage.kill(owner);
    await stage.advance(1_000);
    const next: PodSpec = { name: "next", ips: [IP] };
    stage.register(ID, IP);
    stage.pod(next);
    await stage.advance(1_000);
    expect(stage.counts()).toMatchObject({ Live: 1 });
    await stage.advance(20_000);
    stage.kill(next);
    await stage.advance(0);
    expect(stage.isListed(ID)).toBe(false);
    expect(stage.entries().map(({ result }) => result)).toEqual(["Evicted", "Evicted"]);
  });
});
