/** A policy without spec.registration wins pods whole: what they register is left alone, and that is said. */
import { afterAll, beforeAll, expect, test } from "vitest";

import type { RegistrationPolicy } from "../../src/api/v1alpha1/index.ts";
import type { Operator } from "../support/operator.ts";
import { findReport, getPolicy } from "../support/operator-objects.ts";
import { POLICY, REGISTRY, Stage, type StagedInstance } from "../support/operator-stage.ts";
import { eventually } from "../support/operator-wait.ts";

const PODS_ONLY = "pods-only";
const PATH = `/apis/hygeia.dev/v1alpha1/registrationpolicies/${PODS_ONLY}`;

let stage: Stage;
let operator: Operator;
/** Its pod is the pods-only policy's. Without a lease, so that only somebody's delete takes it away. */
let won: StagedInstance;
/** Of the policy for everything. */
let others: StagedInstance;

beforeAll(async () => {
  stage = await Stage.start();
  const namespace = await stage.fixture.namespace();
  const body = {
    apiVersion: "hygeia.dev/v1alpha1",
    kind: "RegistrationPolicy",
    metadata: { name: PODS_ONLY },
    spec: {
      mode: "Enforce",
      priority: 10,
      match: { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } } },
      dns: { ndots: 2, libc: "Glibc" },
    },
  };
  const query = { fieldManager: "test", fieldValidation: "Strict" };
  await stage.fixture.client.patch(PATH, body, "application/apply-patch+yaml", query);
  won = await stage.instance({ framework: "Unleased", service: "won", namespace });
  others = await stage.instance({ framework: "Unleased", service: "others" });
  operator = await stage.operator({ flags: { "sweep-interval": "500ms" } });
  await stage.untilLive(operator, 1);
});

afterAll(async () => {
  await stage.stop();
});

async function policyOnce(name: string, what: string, holds: (policy: RegistrationPolicy) => boolean) {
  return eventually(`policy ${name} ${what}`, async () => {
    const policy = await getPolicy(stage.fixture.client, name);
    return holds(policy) ? policy : undefined;
  });
}

function saying({ status }: RegistrationPolicy, type: string) {
  const { reason, message } = status?.conditions?.find((condition) => condition.type === type) ?? {};
  return { reason, message };
}

test("it counts its pods, and says nothing of registries and instances", async () => {
  const policy = await policyOnce(PODS_ONLY, "has judged its pod", ({ status }) => status?.pods?.drifted === 1);
  expect(Object.keys(policy.status ?? {}).sort()).toEqual(["conditions", "observedGeneration", "pods"]);
  expect(saying(policy, "Ready").reason).toBe("Ready");
  expect(saying(policy, "EvictionBlocked")).toEqual({
    reason: "NotConfigured",
    message: "spec.registration is absent: what the pods of this policy register is judged by nobody",
  });
  const row = await stage.fixture.kubectl("get", "rpol", PODS_ONLY);
  expect(row.split("\n")[1]).toMatch(/^pods-only +Enforce +True +0\/1 +\S+$/);
});

test("the policy that loses pods to it says that nobody judges what they register", async () => {
  const loses = ({ status }: RegistrationPolicy): boolean =>
    status?.conditions?.some(({ reason }) => reason === "PartlySuperseded") === true;
  const policy = await policyOnce(POLICY, "is superseded in part", loses);
  expect(saying(policy, "Superseded").message).toContain(
    `"${PODS_ONLY}" has no spec.registration, so what 1 pod registers is judged by nobody`,
  );
});

test("it evicts nothing, while the other does, also after a restart", async () => {
  await stage.crash(won);
  await stage.crash(others);
  await stage.reportedEviction(others.key);
  // A new leader's first look is at every record.
  await operator.kill();
  others = await stage.instance({ framework: "Unleased", service: "others" });
  await operator.restart();
  await stage.untilLive(operator, 1);
  expect(await stage.session.get(won.key)).toBeDefined();
  expect(await stage.finding(won.key)).toBeUndefined();
  const report = await findReport(stage.fixture.client, PODS_ONLY);
  expect(report?.status).toMatchObject({ findings: [], evictions: [], summary: { findings: 0 } });
});

test("when it is gone, the next policy takes over", async () => {
  const { namespace } = won.pod;
  const seen = await stage.instance({ framework: "Unleased", service: "won", namespace });
  await stage.untilCaughtUp(operator);
  await eventually("the operator knows all three entries", async () => {
    return (await operator.metrics()).sum("hygeia_registry_instances", { registry: REGISTRY }) === 3;
  });
  await stage.crash(seen);
  await stage.crash(others);
  await stage.reportedEviction(others.key);
  expect(await stage.session.get(seen.key)).toBeDefined();
  await stage.fixture.client.delete(PATH);
  expect((await stage.reportedEviction(seen.key)).evidence).toBe("Confirmed");
  expect(await stage.session.get(seen.key)).toBeUndefined();
  // Of the one that died before this operator began nobody knows the order of things: it waits.
  expect(await eventually("the other is judged", () => stage.finding(won.key))).toMatchObject({ verdict: "Suspect" });
});
