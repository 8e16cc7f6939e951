/** spec.rollout where the operator's webhook changes pods: nothing is begun without it, and little is lost where it is not reached. */
import { afterAll, beforeAll, expect, test } from "vitest";

import type { Operator } from "../support/operator.ts";
import { annotationOf, isServing, obeys, RolloutStage } from "../support/rollout-stage.ts";
import { configureWebhook, leadServiceHere, webhookManifest } from "../support/webhook-install.ts";

let stage: RolloutStage;
let operator: Operator;
let port: number;

beforeAll(async () => {
  stage = await RolloutStage.start(["config/rollout"]);
  await leadServiceHere(stage.client);
  port = await stage.freePort();
  operator = await stage.operator({ flags: { admission: "auto", "webhook-bind-address": `127.0.0.1:${port}` } });
});

afterAll(async () => {
  await operator.stop();
  await stage.stop();
});

test("a workload is begun when there is a webhook that changes its new pods, and not before", async () => {
  const shop = await stage.shop("hooked");
  await shop.create("Deployment", "web", 3);
  await shop.untilSettled("Deployment");
  await shop.enforce({ strategy: "Template" });
  const waiting = await shop.untilRolledOut("AdmissionInactive", operator);
  expect(waiting.rollouts).toMatchObject({ state: "Waiting", done: 0, pending: 1 });
  expect((await shop.workload("Deployment", "web")).metadata.generation).toBe(1);
  expect(await shop.remembered()).toEqual([]);

  await configureWebhook(stage.client, await webhookManifest(stage.controlPlane), port);
  const { rollouts } = await shop.untilRolledOut("Complete", operator);
  expect(rollouts).toMatchObject({ done: 1, failed: 0 });
  const pods = (await shop.pods()).filter(isServing);
  expect(pods.map(obeys)).toEqual([true, true, true]);
});

test("where the API server does not reach the webhook, it stops after the first workload", async () => {
  const shop = await stage.shop("unreached");
  for (const name of ["a", "b"]) await shop.create("Deployment", name, 2);
  await shop.untilSettled("Deployment");
  // Nobody listens there, and the operator can not know it.
  await configureWebhook(stage.client, await webhookManifest(stage.controlPlane), await stage.freePort());
  await shop.enforce({ strategy: "Template", availableWithin: "10s" });
  const { rollouts } = await shop.untilRolledOut("Stopped", operator);
  expect(rollouts).toMatchObject({ done: 0, failed: 1, pending: 1 });
  expect((await shop.remembered())[0]?.message).toMatch(/differs from the policy too: admission did not change it$/);
  const [first, second] = await shop.workloads("Deployment");
  expect([first, second].map((each) => each && annotationOf(each) !== undefined)).toEqual([true, false]);
});
