import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { PodSpec } from "../../../test/support/cluster-view-fixture.ts";
import { POLICY, REGISTRY } from "../../../test/support/instance-stage.ts";
import { HEIR, held, ID, IP, next, QuarantineStage } from "../../../test/support/quarantine-stage.ts";
import { RegistryError } from "../../registry/errors.ts";
import type { EvictionEntry } from "../types.ts";

let stage: QuarantineStage;

beforeEach(() => {
  stage = new QuarantineStage();
});

afterEach(async () => {
  await stage.stop();
});

describe("a pod that lives again at the address", () => {
  test("has the entry put back at once, which is told, counted and logged under one trace id", async () => {
    await stage.zombie();
    stage.lines.length = 0;
    stage.pod(next);
    await stage.advance(0);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(stage.results()).toEqual(["Released"]);
    expect(stage.released()).toEqual([`released ${ID} next`]);
    expect(await stage.releases({ policy: POLICY, registry: REGISTRY, result: "Released" })).toBe(1);
    expect((await stage.scrape()).sum("hygeia_quarantines", { policy: POLICY })).toBe(0);
    const steps = stage.lines.filter(({ level }) => level === "info");
    expect(steps.map(({ step }) => step)).toEqual(expect.arrayContaining(["release", "confirm", "write", "done"]));
    expect(new Set(steps.filter(({ step }) => step !== "event").map(({ traceId }) => traceId)).size).toBe(1);
    expect(stage.having({ step: "release" })).toMatchObject([{ quarantine: stage.entries()[0]?.traceId }]);
  });

  test("is not touched by what comes later: what a person takes out of rotation then stays out", async () => {
    await stage.zombie();
    stage.pod(next);
    await stage.advance(5_000);
    stage.disable(ID);
    await stage.advance(120_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    expect(stage.released()).toHaveLength(1);
  });

  test("and dies before the release is written leaves the entry out of rotation", async () => {
    await stage.zombie();
    stage.api.answer = () => {
      stage.kill(next);
      return Promise.resolve();
    };
    stage.pod(next);
    await stage.advance(0);
    stage.api.answer = () => Promise.resolve();
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    expect(await stage.releases({ result: "NotConfirmed" })).toBe(1);
  });

  test("and is asked to end again is no reason: nothing is written", async () => {
    await stage.zombie();
    stage.pod({ ...next, deleting: true });
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    expect((await stage.scrape()).has("hygeia_releases_total")).toBe(false);
  });

  test("while this replica may not write any more leaves the entry to the next leader", async () => {
    await stage.zombie();
    stage.api.answer = () => {
      stage.leads = false;
      return Promise.resolve();
    };
    stage.pod(next);
    await stage.advance(0);
    expect(await stage.releases({ result: "Fenced" })).toBe(1);
    expect(stage.isQuarantined(ID)).toBe(true);
  });

  test("has it put back where no policy is in charge of the pod: what we did is ours to undo", async () => {
    stage.policy({ match: { namespaceSelector: { matchLabels: { team: "shop" } } } });
    await stage.zombie();
    stage.server.remove(ID);
    stage.pod({ ...next, namespace: "elsewhere" });
    stage.register(ID, IP, held);
    await stage.advance(0);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(stage.results()).toEqual(["Released"]);
    expect(stage.counts()).toMatchObject({ Live: 0 });
  });

  test("comes before new quarantines that wait as well", async () => {
    stage.policy({ zombies: { budget: { evictionsPerSecond: 1000, burst: 1000, unexplainedPercentPerMinute: 100 } } });
    await stage.zombie();
    const others = Array.from({ length: 200 }, (_, i): PodSpec => ({ name: `pod-${i}`, ips: [`10.42.1.${i}`] }));
    for (const [i, spec] of others.entries()) {
      stage.pod(spec);
      stage.register(`/other/${i}`, spec.ips?.[0] ?? "", { ...held, service: "other" });
    }
    await stage.advance(20_000);
    const order: string[] = [];
    stage.disturbed.quarantine = async (record, ...call) => {
      order.push("quarantine");
      await stage.clock.sleep(10);
      return (await stage.plain?.quarantine?.(record, ...call)) ?? { outcome: "Gone" };
    };
    stage.disturbed.release = async (...call) => {
      order.push("release");
      return (await stage.plain?.release?.(...call)) ?? { outcome: "Gone" };
    };
    for (const spec of others) stage.kill(spec);
    stage.pod(next);
    await stage.advance(2_000);
    // As many as there are workers may have begun before.
    expect(order.indexOf("release")).toBeLessThanOrEqual(64);
    expect(order.length).toBeGreaterThan(90);
  });

  test("has it put back again and again until that is proven, and with growing waits", async () => {
    await stage.zombie();
    let asked = 0;
    stage.disturbed.release = () => {
      asked++;
      return Promise.reject(new RegistryError("PermissionDenied", "not allowed"));
    };
    stage.pod(next);
    await stage.advance(10_000);
    expect(asked).toBeGreaterThan(3);
    expect(asked).toBeLessThan(10);
    expect(stage.quarantined()).toBe(1);
    stage.disturbed = {};
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(stage.results()).toEqual(["Released"]);
  });

  test("has it put back by us also when the registry's answer got lost", async () => {
    await stage.zombie();
    stage.disturbed.release = async (...call) => {
      await stage.plain?.release?.(...call);
      stage.disturbed = {};
      throw new RegistryError("TimedOut", "no answer in time");
    };
    stage.pod(next);
    await stage.advance(5_000);
    expect(stage.results()).toEqual(["Released"]);
  });
});

describe("an heir of the flag", () => {
  test("that registers within a minute of the dead one's leaving is put back, whatever its id", async () => {
    await stage.zombie();
    stage.server.remove(ID);
    await stage.advance(50_000);
    stage.pod(next);
    stage.register(HEIR, IP, held);
    expect(stage.isQuarantined(HEIR)).toBe(true);
    await stage.advance(0);
    expect(stage.isQuarantined(HEIR)).toBe(false);
    expect(stage.results()).toEqual(["Released"]);
  });

  test("beside the dead one, whose connection the registry still holds, is put back", async () => {
    await stage.zombie();
    stage.pod(next);
    stage.register(HEIR, IP, held);
    await stage.advance(0);
    expect(stage.isQuarantined(HEIR)).toBe(false);
  });

  test("whose pod is not seen yet waits for it", async () => {
    await stage.zombie();
    stage.server.remove(ID);
    stage.register(ID, IP, held);
    await stage.advance(1_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    stage.pod(next);
    await stage.advance(0);
    expect(stage.isQuarantined(ID)).toBe(false);
  });

  test("is none when it comes later, and what a person takes out of rotation then stays out", async () => {
    await stage.zombie();
    stage.server.remove(ID);
    await stage.advance(70_000);
    stage.pod(next);
    stage.register(ID, IP, held);
    await stage.advance(5_000);
    expect(stage.results()).toEqual(["Ended"]);
    stage.disable(ID);
    await stage.advance(120_000);
    expect(stage.isQuarantined(ID)).toBe(true);
  });

  test("of another service at the address is nothing of ours", async () => {
    await stage.zombie();
    stage.server.remove(ID);
    stage.pod(next);
    stage.register(HEIR, IP, { ...held, service: "cart" });
    stage.disable(HEIR);
    await stage.advance(60_000);
    expect(stage.isQuarantined(HEIR)).toBe(true);
  });
});

describe("another leader", () => {
  const stored: EvictionEntry = {
    time: new Date(0),
    registry: REGISTRY,
    service: "shop",
    instance: ID,
    id: ID,
    address: `${IP}:80`,
    evidence: "Confirmed",
    reason: "DeathConfirmed",
    pod: { namespace: "shop", name: "owner", uid: "uid-owner" },
    traceId: "t-earlier",
    result: "Quarantined",
    restore: undefined,
  };

  /** A pod lives at the address of an entry that is out of rotation, by whomever. */
  async function takeOver(report: readonly EvictionEntry[], owner = next): Promise<void> {
    stage.report = () => Promise.resolve(report);
    stage.pod(owner);
    stage.register(ID, IP, held);
    stage.disable(ID);
    await stage.start();
    await stage.advance(20_000);
  }

  test("puts back what the report says that an earlier one had taken out of rotation", async () => {
    await takeOver([stored]);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(stage.entries()).toMatchObject([{ traceId: "t-earlier", result: "Released" }]);
    expect(stage.controller.summary.evicted(POLICY).total).toBe(0);
  });

  test("puts it back as soon as the report could be read", async () => {
    stage.report = async () => {
      await stage.clock.sleep(5_000);
      return [stored];
    };
    stage.pod(next);
    stage.register(ID, IP, held);
    stage.disable(ID);
    await stage.start();
    await stage.advance(4_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    await stage.advance(2_000);
    expect(stage.isQuarantined(ID)).toBe(false);
  });

  test("puts it back where no policy is in charge of the pod that lives there", async () => {
    stage.policy({ match: { namespaceSelector: { matchLabels: { team: "shop" } } } });
    await takeOver([stored], { ...next, namespace: "elsewhere" });
    expect(stage.isQuarantined(ID)).toBe(false);
  });

  test("never touches what the report does not know: a person did that", async () => {
    await takeOver([]);
    expect(stage.isQuarantined(ID)).toBe(true);
    expect(stage.released()).toEqual([]);
  });

  for (const result of ["Released", "Ended"]) {
    test(`never touches what the report calls ${result}`, async () => {
      await takeOver([{ ...stored, result }]);
      expect(stage.isQuarantined(ID)).toBe(true);
    });
  }

  test("that released it meanwhile is believed by this one when it leads again", async () => {
    await stage.zombie();
    await stage.end();
    const [own] = stage.entries();
    if (own === undefined) throw new Error("nothing was noted");
    stage.report = () => Promise.resolve([{ ...own, result: "Released" }]);
    stage.pod(next);
    await stage.start();
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    expect(stage.results()).toEqual(["Released"]);
    expect(stage.released()).toEqual([]);
  });

  test("leaves what this one had not reported yet to this one", async () => {
    await stage.zombie();
    await stage.end();
    stage.pod(next);
    await stage.start();
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(false);
  });
});
