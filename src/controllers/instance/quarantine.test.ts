import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { POLICY, REGISTRY } from "../../../test/support/instance-stage.ts";
import { HEIR, held, ID, IP, next, owner, QuarantineStage } from "../../../test/support/quarantine-stage.ts";
import { RegistryError } from "../../registry/errors.ts";

let stage: QuarantineStage;

beforeEach(() => {
  stage = new QuarantineStage();
});

afterEach(async () => {
  await stage.stop();
});

describe("a zombie that no delete removes", () => {
  test("is taken out of rotation, and noted as one that we can put back", async () => {
    await stage.zombie();
    expect(stage.isListed(ID)).toBe(true);
    expect(stage.entries()).toMatchObject([{ id: ID, address: `${IP}:80`, result: "Quarantined", restore: undefined }]);
    expect(stage.controller.summary.quarantines(POLICY)).toEqual(stage.entries());
    expect(stage.told).toContain(`evicted ${ID} Quarantined`);
    const labels = { policy: POLICY, registry: REGISTRY, class: "Confirmed", result: "Quarantined" };
    const reading = await stage.scrape();
    expect(reading.sum("hygeia_evictions_total", labels)).toBe(1);
    expect(reading.sum("hygeia_quarantines", { policy: POLICY })).toBe(1);
  });

  test("stays a finding and is not acted on again, and nothing holds evictions back", async () => {
    await stage.zombie();
    await stage.advance(120_000);
    expect(stage.results()).toEqual(["Quarantined"]);
    const [finding] = stage.controller.summary.findings(POLICY, 10);
    expect(finding).toMatchObject({ action: "None:Quarantined", judgement: { verdict: { kind: "Zombie" } } });
    expect(stage.controller.summary.blocked(POLICY)).toBeUndefined();
    expect((await stage.scrape()).has("hygeia_blocked_evictions_total")).toBe(false);
  });

  test("is left as it is when a person had taken it out of rotation before it died", async () => {
    await stage.living(owner, ID, held);
    stage.disable(ID);
    stage.kill(owner);
    await stage.advance(60_000);
    expect(stage.entries()).toEqual([]);
    stage.pod(next);
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    expect(stage.released()).toEqual([]);
  });

  test("waits while it is not known what earlier leaders have in quarantine", async () => {
    stage.report = () => Promise.reject(new Error("no answer"));
    await stage.living(owner, ID, held);
    stage.kill(owner);
    await stage.advance(1_000);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(stage.controller.summary.blocked(POLICY)).toMatchObject({ reason: "QuarantineLimit" });
    stage.report = () => Promise.resolve([]);
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(true);
  });

  test("is in the report before the registry is asked, so that the end of this process loses nothing", async () => {
    await stage.living(owner, ID, held);
    const saved: unknown[] = [];
    stage.saved = () => {
      saved.push(stage.isQuarantined(ID), stage.controller.summary.quarantines(POLICY));
      return Promise.resolve();
    };
    stage.kill(owner);
    await stage.advance(0);
    expect(saved).toMatchObject([false, [{ id: ID, result: "Quarantined", traceId: stage.entries()[0]?.traceId }]]);
    expect(stage.isQuarantined(ID)).toBe(true);
  });

  test("stays in rotation while the report can not be written, and out of the report", async () => {
    await stage.living(owner, ID, held);
    stage.saved = () => Promise.reject(new Error("no answer"));
    stage.kill(owner);
    await stage.advance(5_000);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(stage.quarantined()).toBe(0);
    stage.saved = () => Promise.resolve();
    await stage.advance(30_000);
    expect(stage.isQuarantined(ID)).toBe(true);
  });

  test("is not in the report when the last look spoke against it", async () => {
    await stage.living(owner, ID, held);
    stage.saved = () => {
      stage.register(ID, IP, held);
      stage.pod(next);
      return Promise.resolve();
    };
    stage.kill(owner);
    await stage.advance(1_000);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(stage.quarantined()).toBe(0);
    expect(stage.entries()).toEqual([]);
  });

  test("is ours also when the registry's answer got lost", async () => {
    await stage.living(owner, ID, held);
    stage.disturbed.quarantine = async (...call) => {
      await stage.plain?.quarantine?.(...call);
      stage.disturbed = {};
      throw new RegistryError("TimedOut", "no answer in time");
    };
    stage.kill(owner);
    await stage.advance(3_000);
    expect(stage.results()).toEqual(["Quarantined"]);
    stage.pod(next);
    await stage.advance(0);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(stage.results()).toEqual(["Released"]);
  });

  test("is ours also when the answer got lost and the entry left before anybody could ask", async () => {
    await stage.living(owner, ID, held);
    stage.disturbed.quarantine = async (...call) => {
      await stage.plain?.quarantine?.(...call);
      stage.server.remove(ID);
      stage.disturbed = {};
      throw new RegistryError("TimedOut", "no answer in time");
    };
    stage.kill(owner);
    await stage.advance(3_000);
    stage.pod(next);
    stage.register(HEIR, IP, held);
    expect(stage.isQuarantined(HEIR)).toBe(true);
    await stage.advance(0);
    expect(stage.isQuarantined(HEIR)).toBe(false);
  });

  test("is ours also when the write lands while the next attempt is under way", async () => {
    await stage.living(owner, ID, held);
    let attempts = 0;
    stage.disturbed.quarantine = async (...call) => {
      attempts++;
      if (attempts === 1) throw new RegistryError("TimedOut", "no answer in time");
      if (attempts === 2) stage.disable(ID);
      if (attempts === 3) await stage.clock.sleep(1_000);
      return (await stage.plain?.quarantine?.(...call)) ?? { outcome: "Gone" };
    };
    stage.kill(owner);
    while (attempts < 3) await stage.advance(10);
    // Until it is known what became of it, the report names it.
    expect(stage.quarantined()).toBe(1);
    await stage.advance(10_000);
    expect(stage.results()).toEqual(["Quarantined"]);
    stage.pod(next);
    await stage.advance(0);
    expect(stage.isQuarantined(ID)).toBe(false);
  });

  test("that never reached the registry is tried again, and noted once", async () => {
    await stage.living(owner, ID, held);
    stage.disturbed.quarantine = () => Promise.reject(new RegistryError("TimedOut", "no answer in time"));
    stage.kill(owner);
    await stage.advance(5_000);
    stage.disturbed = {};
    await stage.advance(30_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    expect(stage.results()).toEqual(["Quarantined"]);
    expect(stage.counts()).toMatchObject({ Zombie: 1 });
  });
});

describe("a registry that forgets the quarantine", () => {
  test("is asked for it again, a few times, and then the entry is left alone", async () => {
    await stage.zombie();
    for (let times = 1; times <= 2; times++) {
      stage.server.restart();
      expect(stage.isQuarantined(ID)).toBe(false);
      await stage.advance(10_000);
      expect(stage.isQuarantined(ID)).toBe(true);
      expect(stage.results()).toEqual(["Quarantined", ...Array.from({ length: times }, () => "Ended")]);
    }
    stage.server.restart();
    await stage.advance(120_000);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(stage.counts()).toMatchObject({ Resurrected: 1 });
    expect(stage.told.filter((text) => text.includes("Resurrected"))).toEqual([`judged ${ID} Resurrected`]);
    expect(stage.quarantined()).toBe(0);
  });

  test("and lists the entry without the flag right after the write is not asked again before the view has caught up", async () => {
    await stage.living(owner, ID, held);
    let asked = 0;
    stage.disturbed.quarantine = async (record, ...call) => {
      asked++;
      const result = await stage.plain?.quarantine?.(record, ...call);
      stage.server.setQuarantined(ID, false);
      return result ?? { outcome: "Gone" };
    };
    stage.kill(owner);
    await stage.advance(400);
    expect(asked).toBe(1);
    await stage.advance(120_000);
    expect(asked).toBe(3);
    expect(stage.counts()).toMatchObject({ Resurrected: 1 });
  });
});

describe("what the policy asks for", () => {
  test("Audit writes nothing, and leaves and names what is in quarantine; Enforce puts it back", async () => {
    await stage.zombie();
    stage.policy({ mode: "Audit" });
    stage.pod(next);
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    expect(stage.quarantined()).toBe(1);
    expect(stage.results()).toEqual(["Quarantined"]);
    stage.policy({ mode: "Enforce" });
    await stage.advance(1_000);
    expect(stage.isQuarantined(ID)).toBe(false);
  });

  test("Audit takes nothing out of rotation", async () => {
    stage.policy({ mode: "Audit" });
    await stage.living(owner, ID, held);
    stage.kill(owner);
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(false);
  });

  test("Paused does nothing at all", async () => {
    await stage.zombie();
    stage.policy({ mode: "Paused" });
    stage.pod(next);
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(true);
  });

  test("a policy that is deleted leaves what it took out to people", async () => {
    await stage.zombie();
    stage.deletePolicy();
    stage.policy({ uid: "another" });
    stage.pod(next);
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    expect(stage.quarantined()).toBe(0);
  });

  test("a policy that is not in force for a while finds what it took out in its report again", async () => {
    await stage.zombie();
    const [own] = stage.entries();
    if (own === undefined) throw new Error("nothing was noted");
    stage.report = () => Promise.resolve([own]);
    stage.policy({ match: { podSelector: { matchLabels: { "a..b/x": "y" } } } });
    await stage.advance(60_000);
    expect(stage.quarantined()).toBe(0);
    stage.policy();
    await stage.advance(1_000);
    expect(stage.quarantined()).toBe(1);
    expect(stage.controller.summary.quarantines(POLICY)).toEqual([own]);
    stage.pod(next);
    await stage.advance(0);
    expect(stage.isQuarantined(ID)).toBe(false);
  });

  test("nothing is told to a report before it is known what it held", async () => {
    stage.report = () => Promise.reject(new Error("no answer"));
    await stage.living(owner, ID, held);
    expect(stage.controller.summary.quarantines(POLICY)).toBeUndefined();
  });

  test("a change of the policy while the pods are read stops the release, and the next attempt does it", async () => {
    await stage.zombie();
    stage.api.answer = () => {
      stage.policy({ zombies: { minInstances: 1 } });
      stage.api.answer = () => Promise.resolve();
      return Promise.resolve();
    };
    stage.pod(next);
    await stage.advance(100);
    expect(await stage.releases({ result: "Fenced" })).toBe(1);
    await stage.advance(2_000);
    expect(stage.isQuarantined(ID)).toBe(false);
  });

  test("the budget holds for quarantines as well", async () => {
    stage.policy({ zombies: { budget: { evictionsPerSecond: 1, burst: 1, unexplainedPercentPerMinute: 100 } } });
    stage.pod({ name: "second", ips: ["10.42.0.8"] });
    stage.register(HEIR, "10.42.0.8", held);
    stage.pod(owner);
    stage.register(ID, IP, held);
    await stage.start();
    await stage.advance(20_000);
    stage.kill(owner);
    stage.kill({ name: "second", ips: ["10.42.0.8"] });
    await stage.advance(500);
    expect(stage.quarantined()).toBe(1);
    await stage.advance(2_000);
    expect(stage.quarantined()).toBe(2);
  });
});
