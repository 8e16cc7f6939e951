/** The shortest TTL of a policy's instances, which its keepalive is measured by. */
import { afterEach, beforeEach, expect, test } from "vitest";

import { InstanceStage, POLICY } from "../../../test/support/instance-stage.ts";

let stage: InstanceStage;

beforeEach(async () => {
  stage = new InstanceStage();
  for (const n of [1, 2, 3]) stage.pod({ name: `p${n}`, ips: [`10.42.0.${n}`] });
  await stage.start();
});

afterEach(async () => {
  await stage.stop();
});

async function register(n: number, ttlMs: number): Promise<void> {
  stage.register(`/shop/${n}`, `10.42.0.${n}`, { ttlMs });
  await stage.advance(1_000);
}

const shortest = (): number | undefined => stage.controller.summary.shortestTtlMs(POLICY);

test("is not known without instances, and of those that are never forgotten", async () => {
  expect(shortest()).toBeUndefined();
  await register(1, 0);
  expect(shortest()).toBeUndefined();
});

test("is the shortest of those there are, also when one leaves or comes to have another", async () => {
  for (const [n, ttlMs] of [
    [1, 90_000],
    [2, 60_000],
    [3, 60_000],
  ] as const) {
    await register(n, ttlMs);
  }
  expect(shortest()).toBe(60_000);
  stage.server.remove("/shop/2");
  await stage.advance(1_000);
  expect(shortest()).toBe(60_000);
  await register(3, 120_000);
  expect(shortest()).toBe(90_000);
  stage.server.remove("/shop/1");
  await stage.advance(1_000);
  expect(shortest()).toBe(120_000);
  stage.server.remove("/shop/3");
  await stage.advance(1_000);
  expect(shortest()).toBeUndefined();
});

test("is not that of what is another cluster's", async () => {
  stage.register("/shop/9", "172.30.0.9", { ttlMs: 5_000 });
  await register(1, 90_000);
  expect(stage.controller.summary.counts(POLICY)).toMatchObject({ Foreign: 1, Live: 1 });
  expect(shortest()).toBe(90_000);
});

test("is a policy's own, and moves with the instance to another", async () => {
  await register(1, 90_000);
  stage.policy({ name: "better", priority: 10 });
  await stage.advance(60_000);
  expect(shortest()).toBeUndefined();
  expect(stage.controller.summary.shortestTtlMs("better")).toBe(90_000);
});
