import { afterAll, beforeAll, expect, test } from "vitest";

import { answer, delay, hold } from "../env/proxy/index.ts";
import type { Operator } from "../support/operator.ts";
import { frameworks, REGISTRY, Stage, type StagedInstance } from "../support/operator-stage.ts";
import { firstPodPages, laterPodPages, podLists, smallerPages } from "../support/operator-traffic.ts";
import { eventually } from "../support/operator-wait.ts";

const SERVICES = 60;
const REPLICAS = 3;
const RESTARTS = 5;
/** Silence of two thirds of it is believed, so that 20 s are left when it is acted on. */
const UNSEEN_TTL = 60;
/** So that the pods make four pages. */
const PAGE_SIZE = 50;
/** How late each part of a page comes, milliseconds. */
const PAGE_DELAY = 100;

let stage: Stage;
let operator: Operator;
let instances: StagedInstance[];
/** Its pod dies while no operator runs: only its absence and the silence of its lease tell. */
let unseen: StagedInstance;

beforeAll(async () => {
  stage = await Stage.start({ proxied: true, zombies: { absentFor: "30s" } });
  const wishes = Array.from({ length: SERVICES * REPLICAS }, (_, i) => {
    const service = i % SERVICES;
    return { framework: frameworks[service % frameworks.length] ?? "Kratos", service: `service-${service}` };
  });
  instances = await stage.instances(wishes);
  unseen = await stage.instance({ framework: "Kitex", service: "unseen", ttl: UNSEEN_TTL });
  instances.push(unseen);
  stage.proxy.rule({ match: podLists, action: smallerPages(PAGE_SIZE) });
  operator = await stage.operator({ flags: { "sweep-interval": "500ms" } });
  await stage.untilLive(operator, instances.length);
});

afterAll(async () => {
  await stage.stop();
});

/** Kills the operator and starts it again; its list of pods is slow, fails on the way, and expires once. */
async function restartBlindly(meanwhile: () => Promise<void>): Promise<void> {
  const { proxy } = stage;
  await operator.kill();
  await meanwhile();
  const slow = proxy.rule({ match: podLists, action: delay(PAGE_DELAY) });
  const held = proxy.rule({ match: firstPodPages, action: hold() });
  const broken = proxy.rule({
    match: laterPodPages,
    action: answer({ status: 500, reason: "InternalError" }),
    times: 1,
  });
  const expired = proxy.rule({
    match: laterPodPages,
    action: answer({ status: 410, reason: "Expired" }),
    skip: 2,
    times: 1,
  });
  await operator.restart();
  await eventually("the operator knows the whole registry, and not one pod", async () => {
    const metrics = await operator.metrics();
    return metrics.sum("hygeia_registry_instances", { registry: REGISTRY }) === instances.length && held.applied > 0;
  });
  expect((await operator.readiness()).ready).toBe(false);
  held.remove();
  await operator.untilReady();
  expect({ broken: broken.applied, expired: expired.applied }).toEqual({ broken: 1, expired: 1 });
  for (const rule of [slow, broken, expired]) rule.remove();
}

test("60 services of 3 pods: killed and started again 5 times with a list of pods that is late, fails and expires, it evicts nothing that lives", async () => {
  for (let left = RESTARTS; left > 0; left--) {
    const isLast = left === 1;
    await restartBlindly(async () => {
      if (!isLast) return;
      unseen.registrant.crash();
      await stage.fixture.terminatePod(unseen.pod);
    });
    await stage.untilLive(operator, instances.length - (isLast ? 1 : 0));
    await stage.oracle.verify();
    expect(stage.oracle.departures).toEqual([]);
  }
});

test("afterwards what died is evicted: with a witness at once, without one when it was absent for long enough", async () => {
  await stage.untilCaughtUp(operator);
  const dying = frameworks.map((framework) => instances.find((instance) => instance.framework === framework));
  await Promise.all(
    dying.map(async (instance) => {
      if (instance === undefined) throw new Error("a framework has no instance");
      await stage.crash(instance);
      expect(await stage.oracle.departure(instance.key, 5_000)).toMatchObject({ cause: "Evicted" });
    }),
  );
  expect(await stage.oracle.departure(unseen.key, 90_000)).toMatchObject({ cause: "Evicted" });
  expect(await stage.reportedEviction(unseen.key)).toMatchObject({ evidence: "Absent", reason: "NoPodAtAddress" });
  expect(stage.oracle.departures).toHaveLength(dying.length + 1);
});
