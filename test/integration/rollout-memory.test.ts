/** spec.rollout: what was begun is not begun again, whoever reverts and restarts, and budgets hold for hundreds. */
import { afterAll, beforeAll, expect, test } from "vitest";

import type { Operator } from "../support/operator.ts";
import { eventually } from "../support/operator-wait.ts";
import {
  annotationOf,
  isServing,
  isSettled,
  obeys,
  type Pod,
  RolloutStage,
  type Shop,
  type Workload,
} from "../support/rollout-stage.ts";
import { mapBounded } from "../support/concurrency.ts";

const WORKLOADS = 300;
const PER_HOUR = 24;
const AT_ONCE = 4;
const BINDING = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings";

let stage: RolloutStage;
let operator: Operator;

beforeAll(async () => {
  stage = await RolloutStage.start();
  operator = await stage.operator();
});

afterAll(async () => {
  await operator.stop();
  await stage.stop();
});

/** As a GitOps tool does that finds a field which is not in its repository. */
async function revert(shop: Shop, name: string): Promise<void> {
  const template = { metadata: { annotations: { "hygeia.dev/rollout": null } } };
  await stage.client.patch(shop.pathOf("Deployment", name), { spec: { template } });
}

/** How often the annotation came to a Deployment. */
function timesSet(states: readonly ReadonlyMap<string, Workload>[], name: string): number {
  const values = states.map((state) => {
    const workload = state.get(name);
    return workload && annotationOf(workload);
  });
  return values.filter((value, i) => value !== undefined && value !== values[i - 1]).length;
}

test("a revert after the roll-out, with the operator down and pods that differ again, brings no second one", async () => {
  const shop = await stage.shop("reverted");
  for (const name of ["web", "worker"]) await shop.create("Deployment", name, 3);
  await shop.untilSettled("Deployment");
  const deployments = await shop.history(shop.pathOf("Deployment"));
  await shop.enforce({ strategy: "Template" });
  await shop.untilRolledOut("Complete", operator);

  await revert(shop, "web");
  await shop.untilSettled("Deployment");
  // Its pods obey again, and there is nothing to do. Now they come out as they were without a policy.
  await operator.kill();
  await stage.client.delete(`${BINDING}/hygeia-reverted`);
  await eventually(
    "no pod is changed",
    async () => {
      await stage.client.patch(shop.pathOf("Deployment", "worker"), {
        spec: { template: { metadata: { annotations: { turn: `${Date.now()}`, "hygeia.dev/rollout": null } } } },
      });
      await shop.untilSettled("Deployment");
      return (await shop.pods("worker")).filter(isServing).every((pod) => !obeys(pod));
    },
    60_000,
  );
  // The last in turn: once it is begun, the others would have been.
  await shop.create("Deployment", "late", 4);
  await shop.untilSettled("Deployment");
  await operator.restart();
  await operator.untilReady();
  await eventually(
    "the late one is rolled out",
    async () => (await shop.remembered()).some(({ name, result }) => name === "late" && result === "Done"),
    60_000,
  );
  const drifted = (await shop.pods("worker")).filter(isServing).filter((pod) => !obeys(pod));
  expect(drifted.length).toBe(3);
  const states = await deployments.states<Workload>();
  expect(["web", "worker", "late"].map((name) => timesSet(states, name))).toEqual([1, 1, 1]);
});

test("a revert while it rolls out stops it, and is not fought", async () => {
  const shop = await stage.shop("fought");
  for (const name of ["web", "worker"]) await shop.create("Deployment", name, 3, { minReadySeconds: 3 });
  await shop.untilSettled("Deployment");
  const deployments = await shop.history(shop.pathOf("Deployment"));
  await shop.enforce({ strategy: "Template" });
  await eventually(
    "it is begun",
    async () => annotationOf(await shop.workload("Deployment", "web")) !== undefined,
    60_000,
  );
  await revert(shop, "web");
  const { rollouts } = await shop.untilRolledOut("Stopped", operator);
  expect(rollouts).toMatchObject({ done: 0, failed: 1, pending: 1 });
  expect((await shop.remembered())[0]?.message).toMatch(
    /^the annotation hygeia.dev\/rollout was taken out of its pod template/,
  );
  await operator.restart();
  await operator.untilReady();
  await eventually(
    "it knows again that it stopped",
    async () => (await operator.metrics()).sum("hygeia_rollout_stopped", { policy: "fought" }) === 1,
  );
  const states = await deployments.states<Workload>();
  expect([timesSet(states, "web"), timesSet(states, "worker")]).toEqual([1, 0]);
});

test(`${WORKLOADS} workloads: at most ${AT_ONCE} at once and ${PER_HOUR} an hour, across a restart`, async () => {
  const shop = await stage.shop("many");
  const names = Array.from({ length: WORKLOADS }, (_, i) => `w${String(i).padStart(3, "0")}`);
  await mapBounded(names, 16, (name) => shop.create("Deployment", name, 1));
  await shop.untilSettled("Deployment");
  const deployments = await shop.history(shop.pathOf("Deployment"));
  const pods = await shop.history(shop.podsPath);
  await shop.enforce({ strategy: "Template", maxConcurrentWorkloads: AT_ONCE, perHour: PER_HOUR });
  await eventually(
    "half of the hour's are begun",
    async () => (await shop.workloads("Deployment")).filter(annotationOf).length >= PER_HOUR / 2,
    120_000,
  );
  await operator.restart();
  await operator.untilReady();
  const { rollouts } = await shop.untilRolledOut("PerHour", operator);
  expect(rollouts).toMatchObject({ state: "Waiting", done: PER_HOUR, pending: WORKLOADS - PER_HOUR, failed: 0 });

  const states = await deployments.states<Workload>();
  const begun = states.map((state) => [...state.values()].filter((each) => annotationOf(each) !== undefined));
  expect(begun.at(-1)?.length).toBe(PER_HOUR);
  const underWay = begun.map((workloads) => workloads.filter((each) => !isSettled(each)).length);
  expect(Math.max(...underWay)).toBeLessThanOrEqual(AT_ONCE);
  // Several at once, else the line above would say nothing.
  expect(Math.max(...underWay)).toBeGreaterThan(1);
  for (const name of names) expect(timesSet(states, name)).toBeLessThanOrEqual(1);
  // Of one replica each: the new pod came before the old one went.
  const serving = (await pods.states<Pod>()).map((state) => [...state.values()].filter(isServing).length);
  expect(Math.min(...serving)).toBeGreaterThanOrEqual(WORKLOADS);
});
