/** Policies without spec.registration: nothing that is registered is theirs to judge. */
import { afterEach, beforeEach, expect, test } from "vitest";

import type { PodSpec } from "../../../test/support/cluster-view-fixture.ts";
import { InstanceStage, POLICY } from "../../../test/support/instance-stage.ts";

const ID = "/shop/1";
const IP = "10.42.0.7";
const owner: PodSpec = { name: "owner", ips: [IP] };
const next: PodSpec = { name: "next", ips: [IP] };
const PODS_ONLY = "pods-only";

let stage: InstanceStage;

beforeEach(() => {
  stage = new InstanceStage();
});

afterEach(async () => {
  await stage.stop();
});

/** The owner lives and has registered, and every sweep has been through. */
async function living(registration?: { readonly removable: "No" }): Promise<void> {
  stage.pod(owner);
  stage.register(ID, IP, registration);
  await stage.start();
  await stage.advance(20_000);
}

const judged = (policy: string): number =>
  Object.values(stage.controller.summary.counts(policy)).reduce((sum, count) => sum + count, 0);

test("one that wins a pod leaves what it registered to nobody, alive and dead", async () => {
  stage.policy({ name: PODS_ONLY, priority: 10, registries: [] });
  await living();
  expect([judged(PODS_ONLY), judged(POLICY)]).toEqual([0, 0]);
  stage.kill(owner);
  await stage.advance(600_000);
  expect(stage.isListed(ID)).toBe(true);
  expect([judged(PODS_ONLY), judged(POLICY)]).toEqual([0, 0]);
});

test("one that loses the pod changes nothing", async () => {
  stage.policy({ name: PODS_ONLY, priority: -10, registries: [] });
  await living();
  expect([judged(PODS_ONLY), judged(POLICY)]).toEqual([0, 1]);
  stage.kill(owner);
  await stage.advance(1_000);
  expect(stage.isListed(ID)).toBe(false);
});

test("one that matches everything does not stand in for pods that nobody remembers", async () => {
  stage.policy({ registries: [] });
  stage.register(ID, IP);
  await stage.start();
  await stage.advance(600_000);
  expect(stage.isListed(ID)).toBe(true);
  expect(judged(POLICY)).toBe(0);
});

test("one that had a registration puts back what it took out of rotation then, and takes nothing out any more", async () => {
  await living({ removable: "No" });
  stage.kill(owner);
  await stage.advance(2_000);
  expect(stage.isQuarantined(ID)).toBe(true);
  stage.policy({ registries: [] });
  await stage.advance(60_000);
  expect(stage.isQuarantined(ID)).toBe(true);
  expect(stage.controller.summary.quarantined(POLICY)).toBe(1);
  stage.pod(next);
  await stage.advance(1_000);
  expect(stage.isQuarantined(ID)).toBe(false);
  stage.kill(next);
  await stage.advance(600_000);
  expect(stage.isQuarantined(ID)).toBe(false);
});
