/** spec.rollout with strategy Evict: within PodDisruptionBudgets, one pod at a time, and never another pod of the name. */
import { afterAll, beforeAll, expect, test } from "vitest";

import { hold, KubeProxy } from "../env/proxy/index.ts";
import type { Operator } from "../support/operator.ts";
import { eventually } from "../support/operator-wait.ts";
import {
  annotationOf,
  isServing,
  obeys,
  type Pod,
  RolloutStage,
  type Shop,
  type Workload,
} from "../support/rollout-stage.ts";

let stage: RolloutStage;
let proxy: KubeProxy;
let operator: Operator;

beforeAll(async () => {
  stage = await RolloutStage.start();
  proxy = await KubeProxy.start(stage.controlPlane);
  operator = await stage.operator({ proxy });
});

afterAll(async () => {
  await operator.stop();
  await proxy.stop();
  await stage.stop();
});

function budgetPath({ name }: Shop): string {
  return `/apis/policy/v1/namespaces/${name}/poddisruptionbudgets`;
}

async function createBudget(shop: Shop, minAvailable: number, name = "db"): Promise<void> {
  const spec = { minAvailable, selector: { matchLabels: { app: "db" } } };
  await stage.client.create(budgetPath(shop), { metadata: { name }, spec });
  await eventually("the budget is known", async () => {
    interface Budget {
      readonly status?: { readonly expectedPods?: number; readonly currentHealthy?: number };
    }
    const { status } = await stage.client.get<Budget>(`${budgetPath(shop)}/${name}`);
    return (
      status?.expectedPods !== undefined && status.expectedPods > 0 && status.currentHealthy === status.expectedPods
    );
  });
}

/** The API server says so in the pod's status. */
function isEvicted({ status }: Pod): boolean {
  return (
    status?.conditions?.some(
      ({ type, reason }) => type === "DisruptionTarget" && reason === "EvictionByEvictionAPI",
    ) === true
  );
}

async function evictions(result: string): Promise<number> {
  return (await operator.metrics()).sum("hygeia_rollout_pod_evictions_total", { result });
}

test("a budget that allows nothing keeps every pod; one that allows one sees them go one by one", async () => {
  const shop = await stage.shop("budget");
  await shop.create("StatefulSet", "db", 4);
  await shop.untilSettled("StatefulSet");
  await createBudget(shop, 4);
  const before = await shop.podUids();
  const history = await shop.history(shop.podsPath);
  await shop.enforce({ strategy: "Evict" });
  await eventually("an eviction was refused", async () => (await evictions("Refused")) >= 1, 60_000);
  // Asked again, as often as the API server asks for.
  await eventually("another was refused", async () => (await evictions("Refused")) >= 2, 60_000);
  expect(await shop.podUids()).toEqual(before);
  await eventually("the policy's status says what holds it back", async () => {
    const { conditions } = await shop.untilRolledOut("RollingOut", operator);
    const { message } = conditions?.find(({ type }) => type === "RolledOut") ?? {};
    return /a PodDisruptionBudget holds back db-\d/.test(message ?? "");
  });

  await stage.client.patch(`${budgetPath(shop)}/db`, { spec: { minAvailable: 3 } });
  const { rollouts } = await shop.untilRolledOut("Complete", operator);
  expect(rollouts).toMatchObject({ done: 1, failed: 0 });
  const states = await history.states<Pod>();
  expect(Math.min(...states.map((state) => [...state.values()].filter(isServing).length))).toBe(3);
  // Exactly the old ones. (kwok deletes by name, and now and then takes a successor that has not started for the old pod.)
  const evicted = states.flatMap((state) => [...state.values()].filter(isEvicted).map(({ metadata }) => metadata.uid));
  expect([...new Set(evicted)].toSorted()).toEqual(before);
  expect(await evictions("Evicted")).toBe(4);
  expect((await shop.pods()).map(obeys)).toEqual([true, true, true, true]);
  // The pods alone were touched.
  expect(annotationOf(await shop.workload("StatefulSet", "db"))).toBeUndefined();
});

test("pods of two budgets are left alone in the end, for the API server goes by none of them then", async () => {
  const shop = await stage.shop("two-budgets");
  await shop.create("StatefulSet", "db", 2);
  await shop.untilSettled("StatefulSet");
  // Either would allow it.
  for (const name of ["db", "another"]) await createBudget(shop, 1, name);
  const before = await shop.podUids();
  const evicted = await evictions("Evicted");
  await shop.enforce({ strategy: "Evict", availableWithin: "10s" });
  const { conditions, rollouts } = await shop.untilRolledOut("NotPossible", operator);
  expect(rollouts).toMatchObject({ state: "Complete", done: 0, failed: 0, notPossible: 1 });
  expect(conditions?.find(({ type }) => type === "RolledOut")?.message).toMatch(
    /^two-budgets\/StatefulSet\/db: pod db-\d can not be evicted: .*more than one PodDisruptionBudget/,
  );
  expect(await shop.remembered()).toMatchObject([{ name: "db", result: "Blocked" }]);
  expect(await shop.podUids()).toEqual(before);
  expect(await evictions("Evicted")).toBe(evicted);

  await stage.client.delete(`${budgetPath(shop)}/another`);
  await shop.enforce({ strategy: "Evict", availableWithin: "11s" });
  await shop.untilRolledOut("Complete", operator);
  expect((await shop.pods()).map(obeys)).toEqual([true, true]);
});

test("without a budget too the next pod goes only when the one before is counted on again", async () => {
  const shop = await stage.shop("no-budget");
  await shop.create("StatefulSet", "db", 3, { minReadySeconds: 3 });
  await shop.untilSettled("StatefulSet");
  const history = await shop.history(shop.pathOf("StatefulSet"));
  await shop.enforce({ strategy: "Evict" });
  await shop.untilRolledOut("Complete", operator);
  expect((await shop.pods()).map(obeys)).toEqual([true, true, true]);
  const available = (await history.states<Workload>()).map((state) => state.get("db")?.status?.availableReplicas);
  expect(Math.min(...available.map((count) => count ?? 0))).toBe(2);
});

test("a pod of the same name that came meanwhile is spared", async () => {
  const shop = await stage.shop("same-name");
  await shop.create("StatefulSet", "db", 2);
  await shop.untilSettled("StatefulSet");
  const held = proxy.rule({
    match: ({ method, path }) =>
      method === "POST" && path.includes("/namespaces/same-name/pods/") && path.includes("/eviction"),
    action: hold(),
    times: 1,
  });
  const changed = await evictions("Changed");
  await shop.enforce({ strategy: "Evict" });
  await eventually("an eviction is on its way", () => held.applied === 1, 60_000);
  const name = proxy.requests
    .findLast(({ path }) => path.includes("/eviction"))
    ?.path.match(/pods\/([^/]+)\/eviction/)?.[1];
  const [old] = (await shop.pods()).filter(({ metadata }) => metadata.name === name);
  await stage.client.delete(`${shop.podsPath}/${name}`);
  const fresh = await eventually("another pod has the name", async () => {
    const pod = await stage.client.find<Pod>(`${shop.podsPath}/${name}`);
    return pod !== undefined && pod.metadata.uid !== old?.metadata.uid && isServing(pod) && pod;
  });
  held.remove();
  await shop.untilRolledOut("Complete", operator);
  expect((await stage.client.get(`${shop.podsPath}/${name}`)).metadata.uid).toBe(fresh.metadata.uid);
  expect((await evictions("Changed")) - changed).toBe(1);
});

test.each([
  { how: "paused", name: "paused", rollout: { state: "Paused" }, spec: {}, reason: "Paused" },
  { how: "put into mode Audit", name: "audited", rollout: {}, spec: { mode: "Audit" }, reason: "Audit" },
])("$how half-way it evicts no further pod, and goes on afterwards", async ({ name, rollout, spec, reason }) => {
  const shop = await stage.shop(name);
  await shop.create("StatefulSet", "db", 4, { minReadySeconds: 3 });
  await shop.untilSettled("StatefulSet");
  await shop.enforce({ strategy: "Evict" });
  await eventually("the first pod is replaced", async () => (await shop.pods()).some(obeys), 60_000);
  await shop.enforce({ strategy: "Evict", ...rollout }, spec);
  const { rollouts } = await shop.untilRolledOut(reason, operator);
  expect(rollouts).toMatchObject({ state: "Waiting", pending: 1 });
  const rest = (await shop.pods()).filter((pod) => !obeys(pod)).map(({ metadata }) => metadata.uid);
  expect(rest.length).toBeGreaterThan(0);
  // Also when another process takes over.
  await operator.restart();
  await operator.untilReady();
  await eventually("it knows again what is to come", async () => {
    const metrics = await operator.metrics();
    return metrics.sum("hygeia_rollout_workloads", { policy: name, state: "Pending" }) === 1;
  });
  expect(await shop.podUids()).toEqual(expect.arrayContaining(rest));

  await shop.enforce({ strategy: "Evict", state: "Active" });
  await shop.untilRolledOut("Complete", operator);
  expect((await shop.pods()).map(obeys)).toEqual([true, true, true, true]);
});

test("a workload of one replica is left alone, and the report says why", async () => {
  const shop = await stage.shop("single");
  await shop.create("StatefulSet", "db", 1);
  await shop.create("Deployment", "web", 1);
  await shop.untilSettled("StatefulSet");
  await shop.untilSettled("Deployment");
  const before = await shop.podUids();
  await shop.enforce({ strategy: "Evict" });
  const { rollouts } = await shop.untilRolledOut("NotPossible", operator);
  expect(rollouts).toMatchObject({ state: "Complete", done: 0, notPossible: 2 });
  const findings = await eventually("the report says why", async () => {
    const found = await shop.podFindings();
    return found.length === 2 && found.every(({ rollout }) => rollout !== undefined) && found;
  });
  for (const { rollout } of findings) expect(rollout).toMatch(/^NoSpareReplica: /);
  expect(await shop.podUids()).toEqual(before);
});
