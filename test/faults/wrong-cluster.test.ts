import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { type ControlPlane, startControlPlane } from "../env/index.ts";
import { Recording } from "../env/proxy/index.ts";
import { nodeObject } from "../support/cluster-fixture-objects.ts";
import { KubeClient } from "../support/kube-client.ts";
import type { Operator, OperatorOptions } from "../support/operator.ts";
import { forbidNamespace } from "../support/operator-forbidden.ts";
import { installOperator, operatorToken } from "../support/operator-install.ts";
import { applyPolicy, applyRegistry, getPolicy } from "../support/operator-objects.ts";
import { frameworks, layouts, POLICY, REGISTRY, Stage, type StagedInstance } from "../support/operator-stage.ts";
import { untilCondition } from "../support/operator-seen.ts";
import { aboutPods, type Action } from "../support/operator-traffic.ts";
import { eventually } from "../support/operator-wait.ts";
import { EtcdSession } from "../support/registrants/index.ts";

const REPLICAS = 5;
const flags = { "sweep-interval": "500ms", "relist-interval": "2s", "freshness-limit": "12s" };

let stage: Stage;
let operator: Operator;
/** Those that live. */
let instances: StagedInstance[];

beforeAll(async () => {
  stage = await Stage.start({
    proxied: true,
    zombies: { absentFor: "30s", silentFor: "5s", budget: { unexplainedPercentPerMinute: 100 } },
  });
  instances = await stage.instances(
    frameworks.flatMap((framework) => Array.from({ length: REPLICAS }, () => ({ framework, service: "shop" }))),
  );
  await startOperator();
});

afterAll(async () => {
  await stage.stop();
});

/** When the cause is gone, however a test ended: nothing that lives has left, and the operator does its work again. */
afterEach(async () => {
  for (const rule of rules.splice(0)) rule.remove();
  stage.proxy.cut(aboutPods);
  await stage.untilLive(operator, instances.length, 60_000);
  await eventually(
    "nothing holds evictions back",
    async () => (await stage.condition("EvictionBlocked")).status === "False",
  );
  await stage.untilCaughtUp(operator);
  const dying = instances.shift();
  if (dying === undefined) throw new Error("all instances were used");
  await stage.crash(dying);
  expect(await stage.oracle.departure(dying.key, 10_000)).toMatchObject({ cause: "Evicted" });
  await stage.oracle.verify();
});

const rules: ReturnType<Stage["proxy"]["rule"]>[] = [];

/** Until the test is over this happens to everything that the operator asks about pods. */
function disturb(action: Action): (typeof rules)[number] {
  const rule = stage.proxy.rule({ match: aboutPods, action });
  rules.push(rule);
  return rule;
}

async function startOperator(options: Pick<OperatorOptions, "denials"> = {}): Promise<void> {
  operator = await stage.operator({ flags, ...options });
  await stage.untilLive(operator, instances.length);
}

/** A person sees why nothing is evicted. An operator that has just started gave another reason a moment ago. */
async function expectBlocked(reason: string, says: RegExp): Promise<void> {
  const policy = { kind: "RegistrationPolicy", name: POLICY } as const;
  await untilCondition(stage.fixture.client, policy, { type: "EvictionBlocked", status: "True", reason, says });
  expect(await stage.fixture.kubectl("describe", "rpol", POLICY)).toContain(reason);
}

test("another cluster behind the same address, with the same objects of ours and no pods", async () => {
  const other = await startOtherCluster();
  const client = new KubeClient(other);
  try {
    stage.proxy.setBackend({ ...other, substituteToken: await operatorToken(other) });
    stage.proxy.cut(() => true);
    await eventually(
      "the other cluster's pods are believed to be all",
      async () => (await operator.metrics()).sum("hygeia_pods") === 0,
    );
    const { text } = await eventually("/readyz says no", async () => {
      const readiness = await operator.readiness();
      return !readiness.ready && readiness;
    });
    expect(text).toMatch(/belongs to another cluster/);
    await eventually(
      "the log says why",
      () => operator.log.having({ level: "warn", reason: "ClusterIdentityChanged" }).length > 0,
    );
    expect((await operator.metrics()).sum("hygeia_cluster_fresh")).toBe(0);
    await eventually("the policy in the other cluster says why", async () => {
      const { status } = await getPolicy(client, POLICY);
      const ready = status?.conditions?.find(({ type }) => type === "Ready");
      return ready?.reason === "ClusterViewNotFresh" && ready.message.includes("another cluster");
    });
  } finally {
    const { url, caFile } = stage.controlPlane;
    stage.proxy.setBackend({ url, caFile });
    // Only a person can say that it is all right now.
    await operator.restart();
    await client.close();
    await other.stop();
  }
});

/** Its revisions are ahead of the first cluster's, so that nothing seems to go back. */
async function startOtherCluster(): Promise<ControlPlane> {
  const other = await startControlPlane();
  await installOperator(other);
  const client = new KubeClient(other);
  const etcd = new EtcdSession({ endpoints: other.etcdServer.endpoints });
  try {
    const { name, address, podCidrs } = stage.node;
    await client.create("/api/v1/nodes", nodeObject(name, address, podCidrs));
    await applyRegistry(client, REGISTRY, { endpoints: stage.etcd.endpoints, layouts });
    await applyPolicy(client, POLICY, { registries: [REGISTRY] });
    const ahead = (await stage.controlPlane.etcdServer.revision()) + 2_000;
    for (let revision = 0; revision < ahead;) revision = await etcd.put("/ahead", "");
    return other;
  } finally {
    await etcd.close();
    await client.close();
  }
}

test("an API server that has fallen behind", async () => {
  const recording = new Recording();
  const recorder = disturb(recording.recorder);
  await operator.restart();
  await stage.untilLive(operator, instances.length);
  recorder.remove();
  instances.push(...(await stage.instances(frameworks.map((framework) => ({ framework, service: "young" })))));
  await stage.untilLive(operator, instances.length);

  disturb(recording.player);
  stage.proxy.cut(aboutPods);
  await expectBlocked("ViewNotFresh", /WentBack: /);
});

test("one namespace whose pods the operator may not see", async () => {
  await operator.stop();
  await startOperator({ denials: "Expected" });
  const restore = await forbidNamespace(stage.fixture.client, stage.namespace);
  await expectBlocked("ViewNotFresh", /forbidden/i);
  await operator.restart();
  await eventually("/readyz says which kind is missing", async () => {
    const { ready, text } = await operator.readiness();
    return !ready && /\[-\]pods failed: .*forbidden/i.test(text);
  });
  await eventually("every instance is Unknown", async () => {
    const metrics = await operator.metrics();
    return metrics.sum("hygeia_instances", { verdict: "Unknown" }) === instances.length;
  });
  await restore();
});
