/** A process that beats on: while its pod's death is a guess it stays, and where the kubelet was wrong it comes back and is left alone. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { runHttpRegistrant } from "../support/nacos-processes.ts";
import { startHttpRegistrant } from "../support/nacos-registrants.ts";
import { NacosStage } from "../support/nacos-stage.ts";
import { eventsOn, untilEvent } from "../support/operator-seen.ts";
import { eventually } from "../support/operator-wait.ts";
import { nacosId } from "../support/registry-nacos.ts";

const BYSTANDERS = 20;
/**
 * The npm client's first beat comes after ten seconds, the others as often as it is told. Nacos forgets it after two minutes
 * of silence; two thirds of that are believed.
 */
const QUICK_BEATS = {
  "preserved.heart.beat.interval": "1000",
  "preserved.heart.beat.timeout": "12000",
  "preserved.ip.delete.timeout": "120000",
};
const SILENT_FOR = "80s";
/** From the registration on, by the server's clock. */
const STEADY_MS = 15_000;
/** The policy's time, and what it takes to hear of it, milliseconds. */
const HEARD_WITHIN = 120_000;
/** By when the npm client has registered again: it beats every 5 s, and learns from a beat that nobody knows it. */
const BACK_WITHIN = 9_000;
/** What a list lags behind, and this test's own look. */
const SEEN_WITHIN = 2_000;

let stage: NacosStage;

beforeAll(async () => {
  stage = await NacosStage.start({
    sweepInterval: "1s",
    bystanders: BYSTANDERS,
    zombies: { silentFor: SILENT_FOR, budget: { unexplainedPercentPerMinute: 100 } },
  });
});

afterAll(async () => {
  await stage.stop();
});

/** Waits until a client has beaten for a while: its first beat is a late one, and what it ends is a sign of life too. */
async function untilSteady(clientId: string): Promise<void> {
  const first = await stage.api.lastHeard(clientId);
  await eventually("it beats", async () => (await stage.api.lastHeard(clientId)) > first + STEADY_MS);
}

/** Events on the policy with this reason that name the service. */
async function told(reason: string, service: string): Promise<number> {
  const events = await eventsOn(stage.fixture.client, { kind: "RegistrationPolicy", name: stage.policy });
  return events.filter((event) => event.reason === reason && event.note.includes(service)).length;
}

describe("a process that goes on beating", () => {
  test(
    "is Contested after its pod was deleted by force, and leaves when it has fallen silent",
    { timeout: 400_000 },
    async () => {
      const service = "forced";
      const pod = await stage.pod();
      const registration = stage.of(pod, service, QUICK_BEATS);
      const id = nacosId(registration);
      const before = await stage.live();
      const endBeats = await runHttpRegistrant(stage.nacos, registration);
      try {
        await stage.untilLive(before + 1);
        await untilSteady(`${registration.ip}:${String(registration.port)}#true`);
        await stage.untilCaughtUp();
        await stage.fixture.forceDeletePod(pod, "Lives");
        const finding = await stage.untilFinding(id, "Contested", HEARD_WITHIN);
        expect(finding).toMatchObject({ reason: "LeaseRefreshed", action: "None" });
        await stage.untilJudgedAgain();
        expect(await stage.isRegistered(registration)).toBe(true);
        expect(await stage.evictions(id)).toEqual([]);
      } finally {
        await endBeats();
      }
      stage.fixture.truth.podDead(pod.uid);
      expect(await stage.untilEvicted(id, 2 * HEARD_WITHIN)).toMatchObject({
        evidence: "Unconfirmed",
        reason: "SilentAfterDeath",
        result: "Verified",
      });
      expect(await stage.isRegistered(registration)).toBe(false);
    },
  );

  test("whose death was confirmed is evicted, back soon, reported once, and then left alone", async () => {
    const service = "mistaken";
    const pod = await stage.pod();
    const registration = stage.of(pod, service);
    const id = nacosId(registration);
    const before = await stage.live();
    await startHttpRegistrant(stage.nacos, registration);
    await stage.untilLive(before + 1);
    await stage.untilCaughtUp();
    await stage.fixture.confirmDeath(pod);
    await eventually("it has left", async () => {
      await stage.beat();
      return !(await stage.isRegistered(registration));
    });
    const left = performance.now();
    await eventually("it is back", () => stage.isRegistered(registration));
    expect(performance.now() - left).toBeLessThan(BACK_WITHIN + SEEN_WITHIN);
    expect(await stage.untilFinding(id, "Resurrected")).toMatchObject({ action: "None" });
    const policy = { kind: "RegistrationPolicy", name: stage.policy } as const;
    await untilEvent(stage.fixture.client, policy, "InstanceResurrected", /mistaken/);
    await stage.untilJudgedAgain();
    expect(await stage.isRegistered(registration)).toBe(true);
    expect(await stage.evictions(id)).toHaveLength(1);
    expect(await told("InstanceResurrected", service)).toBe(1);
    expect(stage.operator.log.having({ step: "judge", instance: id, verdict: "Resurrected" })).toHaveLength(1);
  });
});
