import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { PodSpec } from "../../../test/support/cluster-view-fixture.ts";
import { InstanceStage, POLICY, REGISTRY } from "../../../test/support/instance-stage.ts";
import { RegistryError } from "../../registry/errors.ts";
import type { EvictionEntry } from "../types.ts";

const ID = "/shop/1";
const HEIR = "/shop/2";
const IP = "10.42.0.7";
const owner: PodSpec = { name: "owner", ips: [IP] };
const next: PodSpec = { name: "next", ips: [IP] };
/** It hangs on a connection: no delete removes it. */
const held = { removable: "No" } as const;

let stage: InstanceStage;

beforeEach(() => {
  stage = new InstanceStage();
});

afterEach(async () => {
  await stage.stop();
});

const entries = (policy = POLICY) => stage.controller.summary.evictions(policy);
const results = (): string[] => entries().map(({ result }) => result);
const quarantined = (): number => stage.controller.summary.quarantined(POLICY);
const counts = () => stage.controller.summary.counts(POLICY);
const released = (): string[] => stage.told.filter((text) => text.startsWith("released"));

async function releases(labels: Readonly<Record<string, string>>): Promise<number> {
  return (await stage.scrape()).sum("hygeia_releases_total", labels);
}

/** A pod that has registered itself and is known as Live. */
async function living(): Promise<void> {
  stage.pod(owner);
  stage.register(ID, IP, held);
  await stage.start();
  await stage.advance(20_000);
  expect(counts()).toMatchObject({ Live: 1 });
}

/** One of which no delete removes the entry has died, and is out of rotation by us. */
async function zombie(): Promise<void> {
  await living();
  stage.kill(owner);
  await stage.advance(0);
  expect(stage.isQuarantined(ID)).toBe(true);
  await stage.advance(2_000);
}

function disable(id: string): void {
  stage.server.setQuarantined(id, true);
}

describe("a zombie that no delete removes", () => {
  test("is taken out of rotation, and noted as one that we can put back", async () => {
    await zombie();
    expect(stage.isListed(ID)).toBe(true);
    expect(entries()).toMatchObject([{ id: ID, address: `${IP}:80`, result: "Quarantined", restore: undefined }]);
    expect(stage.controller.summary.quarantines(POLICY)).toEqual(entries());
    expect(stage.told).toContain(`evicted ${ID} Quarantined`);
    const labels = { policy: POLICY, registry: REGISTRY, class: "Confirmed", result: "Quarantined" };
    const reading = await stage.scrape();
    expect(reading.sum("hygeia_evictions_total", labels)).toBe(1);
    expect(reading.sum("hygeia_quarantines", { policy: POLICY })).toBe(1);
  });

  test("stays a finding and is not acted on again, and nothing holds evictions back", async () => {
    await zombie();
    await stage.advance(120_000);
    expect(results()).toEqual(["Quarantined"]);
    const [finding] = stage.controller.summary.findings(POLICY, 10);
    expect(finding).toMatchObject({ action: "None:Quarantined", judgement: { verdict: { kind: "Zombie" } } });
    expect(stage.controller.summary.blocked(POLICY)).toBeUndefined();
    expect((await stage.scrape()).has("hygeia_blocked_evictions_total")).toBe(false);
  });

  test("is left as it is when a person had taken it out of rotation before it died", async () => {
    await living();
    disable(ID);
    stage.kill(owner);
    await stage.advance(60_000);
    expect(entries()).toEqual([]);
    stage.pod(next);
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    expect(released()).toEqual([]);
  });

  test("waits while it is not known what earlier leaders have in quarantine", async () => {
    stage.report = () => Promise.reject(new Error("no answer"));
    await living();
    stage.kill(owner);
    await stage.advance(1_000);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(stage.controller.summary.blocked(POLICY)).toMatchObject({ reason: "QuarantineLimit" });
    stage.report = () => Promise.resolve([]);
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(true);
  });

  test("is in the report before the registry is asked, so that the end of this process loses nothing", async () => {
    await living();
    const saved: unknown[] = [];
    stage.saved = () => {
      saved.push(stage.isQuarantined(ID), stage.controller.summary.quarantines(POLICY));
      return Promise.resolve();
    };
    stage.kill(owner);
    await stage.advance(0);
    expect(saved).toMatchObject([false, [{ id: ID, result: "Quarantined", traceId: entries()[0]?.traceId }]]);
    expect(stage.isQuarantined(ID)).toBe(true);
  });

  test("stays in rotation while the report can not be written, and out of the report", async () => {
    await living();
    stage.saved = () => Promise.reject(new Error("no answer"));
    stage.kill(owner);
    await stage.advance(5_000);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(quarantined()).toBe(0);
    stage.saved = () => Promise.resolve();
    await stage.advance(30_000);
    expect(stage.isQuarantined(ID)).toBe(true);
  });

  test("is not in the report when the last look spoke against it", async () => {
    await living();
    stage.saved = () => {
      stage.register(ID, IP, held);
      stage.pod(next);
      return Promise.resolve();
    };
    stage.kill(owner);
    await stage.advance(1_000);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(quarantined()).toBe(0);
    expect(entries()).toEqual([]);
  });

  test("is ours also when the registry's answer got lost", async () => {
    await living();
    stage.disturbed.quarantine = async (...call) => {
      await stage.plain?.quarantine?.(...call);
      stage.disturbed = {};
      throw new RegistryError("TimedOut", "no answer in time");
    };
    stage.kill(owner);
    await stage.advance(3_000);
    expect(results()).toEqual(["Quarantined"]);
    stage.pod(next);
    await stage.advance(0);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(results()).toEqual(["Released"]);
  });

  test("is ours also when the answer got lost and the entry left before anybody could ask", async () => {
    await living();
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
    await living();
    let attempts = 0;
    stage.disturbed.quarantine = async (...call) => {
      attempts++;
      if (attempts === 1) throw new RegistryError("TimedOut", "no answer in time");
      if (attempts === 2) disable(ID);
      if (attempts === 3) await stage.clock.sleep(1_000);
      return (await stage.plain?.quarantine?.(...call)) ?? { outcome: "Gone" };
    };
    stage.kill(owner);
    while (attempts < 3) await stage.advance(10);
    // Until it is known what became of it, the report names it.
    expect(quarantined()).toBe(1);
    await stage.advance(10_000);
    expect(results()).toEqual(["Quarantined"]);
    stage.pod(next);
    await stage.advance(0);
    expect(stage.isQuarantined(ID)).toBe(false);
  });

  test("that never reached the registry is tried again, and noted once", async () => {
    await living();
    stage.disturbed.quarantine = () => Promise.reject(new RegistryError("TimedOut", "no answer in time"));
    stage.kill(owner);
    await stage.advance(5_000);
    stage.disturbed = {};
    await stage.advance(30_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    expect(results()).toEqual(["Quarantined"]);
    expect(counts()).toMatchObject({ Zombie: 1 });
  });
});

describe("a pod that lives again at the address", () => {
  test("has the entry put back at once, which is told, counted and logged under one trace id", async () => {
    await zombie();
    stage.lines.length = 0;
    stage.pod(next);
    await stage.advance(0);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(results()).toEqual(["Released"]);
    expect(released()).toEqual([`released ${ID} next`]);
    expect(await releases({ policy: POLICY, registry: REGISTRY, result: "Released" })).toBe(1);
    expect((await stage.scrape()).sum("hygeia_quarantines", { policy: POLICY })).toBe(0);
    const steps = stage.lines.filter(({ level }) => level === "info");
    expect(steps.map(({ step }) => step)).toEqual(expect.arrayContaining(["release", "confirm", "write", "done"]));
    expect(new Set(steps.filter(({ step }) => step !== "event").map(({ traceId }) => traceId)).size).toBe(1);
    expect(stage.having({ step: "release" })).toMatchObject([{ quarantine: entries()[0]?.traceId }]);
  });

  test("is not touched by what comes later: what a person takes out of rotation then stays out", async () => {
    await zombie();
    stage.pod(next);
    await stage.advance(5_000);
    disable(ID);
    await stage.advance(120_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    expect(released()).toHaveLength(1);
  });

  test("and dies before the release is written leaves the entry out of rotation", async () => {
    await zombie();
    stage.api.answer = () => {
      stage.kill(next);
      return Promise.resolve();
    };
    stage.pod(next);
    await stage.advance(0);
    stage.api.answer = () => Promise.resolve();
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    expect(await releases({ result: "NotConfirmed" })).toBe(1);
  });

  test("and is asked to end again is no reason: nothing is written", async () => {
    await zombie();
    stage.pod({ ...next, deleting: true });
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    expect((await stage.scrape()).has("hygeia_releases_total")).toBe(false);
  });

  test("while this replica may not write any more leaves the entry to the next leader", async () => {
    await zombie();
    stage.api.answer = () => {
      stage.leads = false;
      return Promise.resolve();
    };
    stage.pod(next);
    await stage.advance(0);
    expect(await releases({ result: "Fenced" })).toBe(1);
    expect(stage.isQuarantined(ID)).toBe(true);
  });

  test("has it put back where no policy is in charge of the pod: what we did is ours to undo", async () => {
    stage.policy({ match: { namespaceSelector: { matchLabels: { team: "shop" } } } });
    await zombie();
    stage.server.remove(ID);
    stage.pod({ ...next, namespace: "elsewhere" });
    stage.register(ID, IP, held);
    await stage.advance(0);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(results()).toEqual(["Released"]);
    expect(counts()).toMatchObject({ Live: 0 });
  });

  test("comes before new quarantines that wait as well", async () => {
    stage.policy({ zombies: { budget: { evictionsPerSecond: 1000, burst: 1000, unexplainedPercentPerMinute: 100 } } });
    await zombie();
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
    await zombie();
    let asked = 0;
    stage.disturbed.release = () => {
      asked++;
      return Promise.reject(new RegistryError("PermissionDenied", "not allowed"));
    };
    stage.pod(next);
    await stage.advance(10_000);
    expect(asked).toBeGreaterThan(3);
    expect(asked).toBeLessThan(10);
    expect(quarantined()).toBe(1);
    stage.disturbed = {};
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(results()).toEqual(["Released"]);
  });

  test("has it put back by us also when the registry's answer got lost", async () => {
    await zombie();
    stage.disturbed.release = async (...call) => {
      await stage.plain?.release?.(...call);
      stage.disturbed = {};
      throw new RegistryError("TimedOut", "no answer in time");
    };
    stage.pod(next);
    await stage.advance(5_000);
    expect(results()).toEqual(["Released"]);
  });
});

describe("an heir of the flag", () => {
  test("that registers within a minute of the dead one's leaving is put back, whatever its id", async () => {
    await zombie();
    stage.server.remove(ID);
    await stage.advance(50_000);
    stage.pod(next);
    stage.register(HEIR, IP, held);
    expect(stage.isQuarantined(HEIR)).toBe(true);
    await stage.advance(0);
    expect(stage.isQuarantined(HEIR)).toBe(false);
    expect(results()).toEqual(["Released"]);
  });

  test("beside the dead one, whose connection the registry still holds, is put back", async () => {
    await zombie();
    stage.pod(next);
    stage.register(HEIR, IP, held);
    await stage.advance(0);
    expect(stage.isQuarantined(HEIR)).toBe(false);
  });

  test("whose pod is not seen yet waits for it", async () => {
    await zombie();
    stage.server.remove(ID);
    stage.register(ID, IP, held);
    await stage.advance(1_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    stage.pod(next);
    await stage.advance(0);
    expect(stage.isQuarantined(ID)).toBe(false);
  });

  test("is none when it comes later, and what a person takes out of rotation then stays out", async () => {
    await zombie();
    stage.server.remove(ID);
    await stage.advance(70_000);
    stage.pod(next);
    stage.register(ID, IP, held);
    await stage.advance(5_000);
    expect(results()).toEqual(["Ended"]);
    disable(ID);
    await stage.advance(120_000);
    expect(stage.isQuarantined(ID)).toBe(true);
  });

  test("of another service at the address is nothing of ours", async () => {
    await zombie();
    stage.server.remove(ID);
    stage.pod(next);
    stage.register(HEIR, IP, { ...held, service: "cart" });
    disable(HEIR);
    await stage.advance(60_000);
    expect(stage.isQuarantined(HEIR)).toBe(true);
  });
});

describe("a registry that forgets the quarantine", () => {
  test("is asked for it again, a few times, and then the entry is left alone", async () => {
    await zombie();
    for (let times = 1; times <= 2; times++) {
      stage.server.restart();
      expect(stage.isQuarantined(ID)).toBe(false);
      await stage.advance(10_000);
      expect(stage.isQuarantined(ID)).toBe(true);
      expect(results()).toEqual(["Quarantined", ...Array.from({ length: times }, () => "Ended")]);
    }
    stage.server.restart();
    await stage.advance(120_000);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(counts()).toMatchObject({ Resurrected: 1 });
    expect(stage.told.filter((text) => text.includes("Resurrected"))).toEqual([`judged ${ID} Resurrected`]);
    expect(quarantined()).toBe(0);
  });

  test("and lists the entry without the flag right after the write is not asked again before the view has caught up", async () => {
    await living();
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
    expect(counts()).toMatchObject({ Resurrected: 1 });
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
    disable(ID);
    await stage.start();
    await stage.advance(20_000);
  }

  test("puts back what the report says that an earlier one had taken out of rotation", async () => {
    await takeOver([stored]);
    expect(stage.isQuarantined(ID)).toBe(false);
    expect(entries()).toMatchObject([{ traceId: "t-earlier", result: "Released" }]);
    expect(stage.controller.summary.evicted(POLICY).total).toBe(0);
  });

  test("puts it back as soon as the report could be read", async () => {
    stage.report = async () => {
      await stage.clock.sleep(5_000);
      return [stored];
    };
    stage.pod(next);
    stage.register(ID, IP, held);
    disable(ID);
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
    expect(released()).toEqual([]);
  });

  for (const result of ["Released", "Ended"]) {
    test(`never touches what the report calls ${result}`, async () => {
      await takeOver([{ ...stored, result }]);
      expect(stage.isQuarantined(ID)).toBe(true);
    });
  }

  test("that released it meanwhile is believed by this one when it leads again", async () => {
    await zombie();
    await stage.end();
    const [own] = entries();
    if (own === undefined) throw new Error("nothing was noted");
    stage.report = () => Promise.resolve([{ ...own, result: "Released" }]);
    stage.pod(next);
    await stage.start();
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    expect(results()).toEqual(["Released"]);
    expect(released()).toEqual([]);
  });

  test("leaves what this one had not reported yet to this one", async () => {
    await zombie();
    await stage.end();
    stage.pod(next);
    await stage.start();
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(false);
  });
});

describe("what the policy asks for", () => {
  test("Audit writes nothing, and leaves and names what is in quarantine; Enforce puts it back", async () => {
    await zombie();
    stage.policy({ mode: "Audit" });
    stage.pod(next);
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    expect(quarantined()).toBe(1);
    expect(results()).toEqual(["Quarantined"]);
    stage.policy({ mode: "Enforce" });
    await stage.advance(1_000);
    expect(stage.isQuarantined(ID)).toBe(false);
  });

  test("Audit takes nothing out of rotation", async () => {
    stage.policy({ mode: "Audit" });
    await living();
    stage.kill(owner);
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(false);
  });

  test("Paused does nothing at all", async () => {
    await zombie();
    stage.policy({ mode: "Paused" });
    stage.pod(next);
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(true);
  });

  test("a policy that is deleted leaves what it took out to people", async () => {
    await zombie();
    stage.deletePolicy();
    stage.policy({ uid: "another" });
    stage.pod(next);
    await stage.advance(60_000);
    expect(stage.isQuarantined(ID)).toBe(true);
    expect(quarantined()).toBe(0);
  });

  test("a policy that is not in force for a while finds what it took out in its report again", async () => {
    await zombie();
    const [own] = entries();
    if (own === undefined) throw new Error("nothing was noted");
    stage.report = () => Promise.resolve([own]);
    stage.policy({ match: { podSelector: { matchLabels: { "a..b/x": "y" } } } });
    await stage.advance(60_000);
    expect(quarantined()).toBe(0);
    stage.policy();
    await stage.advance(1_000);
    expect(quarantined()).toBe(1);
    expect(stage.controller.summary.quarantines(POLICY)).toEqual([own]);
    stage.pod(next);
    await stage.advance(0);
    expect(stage.isQuarantined(ID)).toBe(false);
  });

  test("nothing is told to a report before it is known what it held", async () => {
    stage.report = () => Promise.reject(new Error("no answer"));
    await living();
    expect(stage.controller.summary.quarantines(POLICY)).toBeUndefined();
  });

  test("a change of the policy while the pods are read stops the release, and the next attempt does it", async () => {
    await zombie();
    stage.api.answer = () => {
      stage.policy({ zombies: { minInstances: 1 } });
      stage.api.answer = () => Promise.resolve();
      return Promise.resolve();
    };
    stage.pod(next);
    await stage.advance(100);
    expect(await releases({ result: "Fenced" })).toBe(1);
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
    expect(quarantined()).toBe(1);
    await stage.advance(2_000);
    expect(quarantined()).toBe(2);
  });
});
