/** What a roll-out leaves alone and reports: workloads it may not read, does not find, or whose new pods would be no other. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { Operator } from "../support/operator.ts";
import { eventually } from "../support/operator-wait.ts";
import { isServing, obeys, POD_SPEC, RolloutStage, type Shop } from "../support/rollout-stage.ts";

let stage: RolloutStage;
let operator: Operator;

beforeAll(async () => {
  // As config/default and config/default-policy leave it: without the right to replace pods.
  stage = await RolloutStage.start(["config/default-policy"]);
  operator = await stage.operator({ denials: "Expected" });
});

afterAll(async () => {
  await operator.stop();
  await stage.stop();
});

/** Gives the operator the right to replace pods, where it has it not. */
async function permit(): Promise<void> {
  await stage.apply("config/rollout");
}

/** Waits until nothing is left but what can not be rolled out, and the report says why. @returns reasons by kind and name */
async function leftAlone(shop: Shop, notPossible: number): Promise<Readonly<Record<string, string>>> {
  const { rollouts } = await shop.untilRolledOut("NotPossible", operator);
  expect(rollouts).toMatchObject({ state: "Complete", done: 0, failed: 0, pending: 0, notPossible });
  expect(await shop.remembered()).toEqual([]);
  return await eventually("the report says why", async () => {
    const findings = (await shop.podFindings()).filter(({ state }) => state === "Drifted");
    if (findings.some(({ rollout }) => rollout === undefined)) return undefined;
    const reasons = findings.map(({ kind, name, rollout = "" }) => [`${kind}/${name}`, rollout] as const);
    return reasons.length >= notPossible && Object.fromEntries(reasons);
  });
}

test("without config/rollout no workload is read, and nothing is replaced until the right is given", async () => {
  const shop = await stage.shop("not-permitted");
  await shop.create("Deployment", "web", 2);
  await shop.create("StatefulSet", "db", 2);
  for (const kind of ["Deployment", "StatefulSet"] as const) await shop.untilSettled(kind);
  const before = await shop.podUids();
  for (const strategy of ["Template", "Evict"]) {
    await shop.enforce({ strategy });
    const why = "NotPermitted: the operator may not read it: see docs/permissions.md";
    expect(await leftAlone(shop, 2)).toEqual({ "Deployment/web": why, "StatefulSet/db": why });
  }
  expect(await shop.podUids()).toEqual(before);

  await permit();
  const { rollouts } = await shop.untilRolledOut("Complete", operator);
  expect(rollouts).toMatchObject({ done: 2, notPossible: 0 });
  expect((await shop.pods()).filter(isServing).map(obeys)).toEqual([true, true, true, true]);
});

describe.concurrent("with config/rollout", () => {
  beforeAll(permit);

  test("pods whose Deployment is gone are left alone, also when another has its name", async () => {
    const shop = await stage.shop("orphaned");
    await shop.create("Deployment", "web", 2);
    await shop.untilSettled("Deployment");
    const before = await shop.podUids();
    // Its ReplicaSet stays, with its pods.
    await stage.client.delete(shop.pathOf("Deployment", "web"), { propagationPolicy: "Orphan" });
    await eventually("it is gone", async () => (await shop.workloads("Deployment")).length === 0);
    await shop.enforce({ strategy: "Template" });
    const reasons = { "Deployment/web": "NotFound: there is no such workload" };
    expect(await leftAlone(shop, 1)).toEqual(reasons);

    await shop.create("Deployment", "web", 2, {
      selector: { matchLabels: { app: "other" } },
      labels: { app: "other" },
    });
    await shop.untilSettled("Deployment");
    await eventually(
      "it is found to be another's",
      async () => (await leftAlone(shop, 1))["Deployment/web"]?.startsWith("NotItsPods: ") === true,
      60_000,
    );
    expect((await shop.workload("Deployment", "web")).metadata.generation).toBe(1);
    expect(await shop.podUids()).toEqual(expect.arrayContaining(before));
  });

  test("a workload is left alone where its pods alone were given to the policy", async () => {
    const shop = await stage.shop("by-hand");
    await shop.create("Deployment", "labelled", 2);
    const labels = { app: "ignored", team: "by-hand" };
    await shop.create("Deployment", "ignored", 2, { labels, annotations: { "hygeia.dev/ignore": "true" } });
    await shop.untilSettled("Deployment");
    const before = await shop.podUids();
    for (const { metadata } of await shop.pods()) {
      const given = { labels: { team: "by-hand" }, annotations: { "hygeia.dev/ignore": null } };
      await stage.client.patch(`${shop.podsPath}/${metadata.name}`, { metadata: given });
    }
    await shop.enforce({ strategy: "Template" }, { match: { podSelector: { matchLabels: { team: "by-hand" } } } });
    expect(await leftAlone(shop, 2)).toEqual({
      "Deployment/labelled": "PolicyNotInCharge: the policy would not be in charge of its new pods",
      "Deployment/ignored": "TemplateExempt: its new pods would be exempt (dns: OptedOut)",
    });
    const workloads = await shop.workloads("Deployment");
    expect(workloads.map(({ metadata }) => metadata.generation)).toEqual([1, 1]);
    expect(await shop.podUids()).toEqual(before);
  });

  test("bare pods, DaemonSets, Jobs and StatefulSets with OnDelete are reported, and never replaced", async () => {
    const shop = await stage.shop("kinds");
    const labels = { app: "x" };
    const template = { metadata: { labels }, spec: POD_SPEC };
    const selector = { matchLabels: labels };
    const apps = `/apis/apps/v1/namespaces/${shop.name}`;
    await shop.create("StatefulSet", "by-hand", 2, { updateStrategy: { type: "OnDelete" } });
    await stage.client.create(`${apps}/daemonsets`, { metadata: { name: "log" }, spec: { selector, template } });
    await stage.client.create(`${apps}/replicasets`, { metadata: { name: "set" }, spec: { selector, template } });
    await stage.client.create(`/apis/batch/v1/namespaces/${shop.name}/jobs`, {
      metadata: { name: "once" },
      spec: { template: { spec: { ...POD_SPEC, restartPolicy: "Never" } } },
    });
    await eventually("the namespace takes a bare pod", () =>
      stage.client.create(shop.podsPath, { metadata: { name: "bare" }, spec: POD_SPEC }),
    );
    await eventually("all run", async () => {
      const pods = await shop.pods();
      return pods.length === 6 && pods.every(isServing);
    });
    const before = await shop.podUids();
    for (const strategy of ["Template", "Evict"]) {
      await shop.enforce({ strategy });
      expect(await leftAlone(shop, 5)).toEqual({
        "Pod/bare": "NotRolledOutByKind: a pod that no workload makes is not replaced: do it by hand",
        "DaemonSet/log": "NotRolledOutByKind: pods of a DaemonSet are not replaced: do it by hand",
        "Job/once": "NotRolledOutByKind: pods of a Job are not replaced: do it by hand",
        "ReplicaSet/set": "NotRolledOutByKind: pods of a ReplicaSet are not replaced: do it by hand",
        "StatefulSet/by-hand": "OnDelete: its strategy is OnDelete: replace its pods by hand",
      });
    }
    expect(await shop.podUids()).toEqual(before);
    expect((await shop.pods()).some(obeys)).toBe(false);
    expect((await shop.workload("StatefulSet", "by-hand")).metadata.generation).toBe(1);
  });
});
