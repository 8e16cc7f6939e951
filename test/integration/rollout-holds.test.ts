/**
 * What holds a roll-out back: a policy that is not enforced or asks for none, a window that is closed, and evictions that
 * would fall behind.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type EtcdServer, startEtcd } from "../env/index.ts";
import { applyRegistry } from "../support/operator-objects.ts";
import type { Operator } from "../support/operator.ts";
import { eventually } from "../support/operator-wait.ts";
import { obeys, RolloutStage, type Shop } from "../support/rollout-stage.ts";

const HOUR_MS = 3_600_000;

let stage: RolloutStage;
let operator: Operator;
let etcd: EtcdServer;

beforeAll(async () => {
  [stage, etcd] = await Promise.all([RolloutStage.start(), startEtcd()]);
  operator = await stage.operator();
});

afterAll(async () => {
  await operator.stop();
  await Promise.all([stage.stop(), etcd.stop()]);
});

/** A namespace with one Deployment whose pods differ from what the policy will want. */
async function drifted(name: string): Promise<Shop> {
  const shop = await stage.shop(name);
  await shop.create("Deployment", "web", 2);
  await shop.untilSettled("Deployment");
  return shop;
}

/** Waits until the policy's condition tells of the hold. @returns the condition's message */
async function heldBack(shop: Shop, reason: string): Promise<string> {
  const { conditions, rollouts } = await shop.untilRolledOut(reason, operator);
  expect(rollouts).toMatchObject({ state: "Waiting", pending: 1, done: 0 });
  expect(await shop.remembered()).toEqual([]);
  expect((await shop.pods()).map(obeys)).toEqual([false, false]);
  return conditions?.find(({ type }) => type === "RolledOut")?.message ?? "";
}

async function isDone(shop: Shop): Promise<void> {
  const { rollouts } = await shop.untilRolledOut("Complete", operator);
  expect(rollouts).toMatchObject({ state: "Complete", done: 1, pending: 0 });
  await shop.untilSettled("Deployment");
  expect((await shop.pods()).filter(({ metadata }) => metadata.deletionTimestamp === undefined).map(obeys)).toEqual([
    true,
    true,
  ]);
}

describe.concurrent("a roll-out", () => {
  test("nothing is begun outside the maintenance window, whose hours are those of its time zone", async () => {
    const shop = await drifted("window");
    // Tokyo has no summer time: always nine hours ahead.
    const hour = (fromNow: number): number => new Date(Date.now() + (9 + fromNow) * HOUR_MS).getUTCHours();
    const window = (fromNow: number) => ({
      strategy: "Template",
      maintenanceWindow: { schedule: `0 ${hour(fromNow)} * * *`, timeZone: "Asia/Tokyo", duration: "3h" },
    });
    // Read as UTC, the first would open in 17 to 18 hours and the second would be closed.
    await shop.enforce(window(9));
    const message = await heldBack(shop, "OutsideWindow");
    const opensAt = new Date(/opens at (\S+)/.exec(message)?.[1] ?? "");
    expect(opensAt.getTime() - Date.now()).toBeGreaterThan(7 * HOUR_MS);
    expect(opensAt.getTime() - Date.now()).toBeLessThanOrEqual(9 * HOUR_MS);
    await shop.enforce(window(-1));
    await isDone(shop);
  });

  test("a window that is none is named in the condition, and nothing is begun", async () => {
    const shop = await drifted("no-window");
    await shop.enforce({ strategy: "Template", maintenanceWindow: { schedule: "0 2 31 2 8", duration: "3h" } });
    expect(await heldBack(shop, "InvalidWindow")).toMatch(
      /^spec\.rollout\.maintenanceWindow\.schedule: "0 2 31 2 8" is/,
    );
  });

  test("no death is added while the policy's evictions are held back", async () => {
    const shop = await drifted("behind");
    const layouts = [{ layout: "GoMicro" }] as const;
    await applyRegistry(stage.client, "behind", {
      endpoints: [`http://127.0.0.1:${await stage.freePort()}`],
      layouts,
    });
    await shop.enforce({ strategy: "Template" }, { registration: { registries: [{ name: "behind" }] } });
    expect(await heldBack(shop, "EvictionsBehind")).toMatch(/RegistryViewNotFresh: the view of registry behind/);
    await applyRegistry(stage.client, "behind", { endpoints: etcd.endpoints, layouts });
    await isDone(shop);
  });

  test("in mode Audit nothing is begun, and in mode Enforce it is", async () => {
    const shop = await drifted("audit");
    await shop.enforce({ strategy: "Template" }, { mode: "Audit" });
    expect(await heldBack(shop, "Audit")).toMatch(/spec\.mode is Audit: what differs is reported only$/);
    await shop.enforce({ strategy: "Template" });
    await isDone(shop);
  });

  test("in mode Paused no pod is judged and none is evicted, and nobody calls that complete", async () => {
    const shop = await drifted("mode-paused");
    const before = await shop.podUids();
    await shop.enforce({ strategy: "Evict" }, { mode: "Paused" });
    const { conditions, rollouts } = await shop.untilRolledOut("Audit", operator);
    expect(rollouts).toMatchObject({ state: "Waiting", pending: 0, done: 0 });
    expect(conditions).toContainEqual(
      expect.objectContaining({
        type: "RolledOut",
        status: "False",
        message: "spec.mode is Paused: no pod is judged, and none is replaced",
      }),
    );
    expect(await shop.remembered()).toEqual([]);
    expect(await shop.podUids()).toEqual(before);
    await shop.enforce({ strategy: "Evict" });
    await isDone(shop);
  });

  test.each([
    ["strategy None", "none", { strategy: "None" }],
    ["no spec.rollout", "absent", undefined],
  ])("with %s nothing is replaced, while other policies' pods are", async (_, name, rollout) => {
    const [shop, other] = [await drifted(name), await drifted(`beside-${name}`)];
    const before = await shop.podUids();
    await shop.enforce(rollout);
    const { rollouts } = await shop.untilRolledOut("NotConfigured", operator);
    expect(rollouts).toBeUndefined();
    await eventually("its pods are known to differ", async () => (await shop.status()).pods?.drifted === 2);
    await other.enforce({ strategy: "Template" });
    await isDone(other);
    expect(await shop.remembered()).toEqual([]);
    expect(await shop.podUids()).toEqual(before);
  });
});

test("with --dry-run nothing is begun, and without it is", async () => {
  const shop = await drifted("dry-run");
  await operator.stop();
  operator = await stage.operator({ flags: { admission: "policy", "dry-run": "true" } });
  await shop.enforce({ strategy: "Template" });
  expect(await heldBack(shop, "Audit")).toMatch(/the operator runs with --dry-run: what differs is reported only$/);
  await operator.stop();
  operator = await stage.operator();
  await isDone(shop);
});
