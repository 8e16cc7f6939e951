/** The check of the whole way to the webhook, by dry runs that a real API server makes after each change of a certificate. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { afterAll, beforeAll, expect, test } from "vitest";

import { type Operator, startOperator } from "../support/operator.ts";
import { eventually } from "../support/operator-wait.ts";
import { WebhookStage } from "../support/webhook-stage.ts";

const execute = promisify(execFile);
/** A new leaf comes every ten seconds or so, the next one takes at most that long. */
const WITHIN_MS = 60_000;

let stage: WebhookStage;
let operator: Operator;

beforeAll(async () => {
  stage = await WebhookStage.start();
  await stage.createNamespace("shop");
  await stage.client.create("/apis/hygeia.dev/v1alpha1/registrationpolicies", {
    apiVersion: "hygeia.dev/v1alpha1",
    kind: "RegistrationPolicy",
    metadata: { name: "shop" },
    spec: {
      mode: "Enforce",
      match: { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "shop" } } },
      keepalive: { time: "300s", interval: "30s", probes: 3 },
    },
  });
  const { kubectl, kubeconfig } = stage.controlPlane;
  await execute(kubectl, [`--kubeconfig=${kubeconfig}`, "apply", "-k", "config/dry-run"]);
  await stage.configure();
  const port = await stage.freePort();
  stage.front.setBackends(() => [port]);
  operator = await startOperator({
    cluster: stage.controlPlane,
    flags: {
      admission: "webhook",
      "webhook-bind-address": `127.0.0.1:${port}`,
      "webhook-ca-lifetime": "1h",
      "webhook-certificate-lifetime": "15s",
    },
  });
  await operator.untilReady();
}, 120_000);

afterAll(async () => {
  await operator.stop();
  await stage.stop();
});

async function checks(result: "Passed" | "Failed"): Promise<number> {
  return (await operator.metrics()).sum("hygeia_webhook_checks_total", { check: "DryRun", result });
}

async function trusted(check: "DryRun" | "Handshake"): Promise<number> {
  return (await operator.metrics()).sum("hygeia_webhook_trusted", { check });
}

async function leaves(): Promise<number> {
  return (await operator.metrics()).sum("hygeia_webhook_certificates_total", { certificate: "Leaf" });
}

test("passes after the first certificate, and once more after each further one", async () => {
  await eventually("it has passed", async () => (await checks("Passed")) > 0, WITHIN_MS);
  for (let times = 0; times < 2; times++) {
    const [leavesBefore, passedBefore] = [await leaves(), await checks("Passed")];
    await eventually("another certificate is served", async () => (await leaves()) > leavesBefore, WITHIN_MS);
    await eventually("it has passed again", async () => (await checks("Passed")) > passedBefore, WITHIN_MS);
  }
  expect(await trusted("DryRun")).toBe(1);
  expect(await checks("Failed")).toBe(0);
  // One for each certificate at most: nobody is asked all the time.
  expect(await checks("Passed")).toBeLessThanOrEqual(await leaves());
}, 180_000);

test("fails where the way to the webhook is lost, which no handshake with itself finds, and passes when it is back", async () => {
  stage.front.setSilent(true);
  await eventually("it has failed", async () => (await checks("Failed")) > 0, WITHIN_MS);
  expect(await trusted("DryRun")).toBe(0);
  expect(await trusted("Handshake")).toBe(1);
  stage.front.setSilent(false);
  await eventually("it has passed", async () => (await trusted("DryRun")) === 1, WITHIN_MS);
}, 180_000);
