/**
 * What of others may refuse pods, on a real API server, where the operator has only the rights of its default installation: it
 * can not try what they say, and pods get no sysctls where one of them looks. In both ways of changing pods.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ForeignWebhook } from "../support/foreign-webhook.ts";
import type { KubeObject } from "../support/kube-client.ts";
import { type Operator, startOperator } from "../support/operator.ts";
import { eventually } from "../support/operator-wait.ts";
import { CONFIGURATION, WebhookStage } from "../support/webhook-stage.ts";

interface Pod extends KubeObject {
  readonly spec: {
    readonly dnsConfig?: { readonly options?: readonly object[] };
    readonly securityContext?: { readonly sysctls?: readonly object[] };
  };
}

interface Policy extends KubeObject {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly message: string }[] };
}

const execute = promisify(execFile);
const POLICY = "/apis/hygeia.dev/v1alpha1/registrationpolicies/shop";
const ADMISSION = "/apis/admissionregistration.k8s.io/v1";
/** What was tried before every API server had read a change is tried again half a minute later. */
const SETTLED_WITHIN_MS = 60_000;
const HOOKS = `${ADMISSION}/validatingwebhookconfigurations`;

let stage: WebhookStage;
let engine: ForeignWebhook;

beforeAll(async () => {
  stage = await WebhookStage.start();
  // A policy engine of the old school: no sysctl at all.
  engine = await ForeignWebhook.start(({ spec }) => {
    const { sysctls } = (spec["securityContext"] ?? {}) as { sysctls?: readonly object[] };
    return sysctls === undefined
      ? { allowed: true }
      : { allowed: false, status: { message: "sysctls are not allowed in this cluster" } };
  });
  await stage.createNamespace("shop", { team: "shop" });
  await stage.createNamespace("strict", { team: "shop", "test/engine": "strict" });
  await addRule();
  await stage.client.create("/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata: { name: "node-1" } });
  const nodeInfo = { kubeletVersion: "v1.36.3", kernelVersion: "6.1.0", operatingSystem: "linux" };
  await stage.client.patch("/api/v1/nodes/node-1/status", { status: { nodeInfo } });
  await stage.client.create("/apis/hygeia.dev/v1alpha1/registrationpolicies", {
    apiVersion: "hygeia.dev/v1alpha1",
    kind: "RegistrationPolicy",
    metadata: { name: "shop" },
    spec: {
      mode: "Enforce",
      match: { namespaceSelector: { matchLabels: { team: "shop" } } },
      dns: { ndots: 2 },
      keepalive: { time: "300s", interval: "30s", probes: 3 },
    },
  });
}, 120_000);

afterAll(async () => {
  await engine.close();
  await stage.stop();
});

/** The API server's own policy, bound to some namespaces. */
async function addRule(): Promise<void> {
  const common = { apiVersion: "admissionregistration.k8s.io/v1", metadata: { name: "no-sysctls" } };
  await stage.client.create(`${ADMISSION}/validatingadmissionpolicies`, {
    ...common,
    kind: "ValidatingAdmissionPolicy",
    spec: {
      matchConstraints: {
        resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] }],
      },
      validations: [{ expression: "!has(object.spec.securityContext.sysctls)", message: "no sysctls here" }],
    },
  });
  await stage.client.create(`${ADMISSION}/validatingadmissionpolicybindings`, {
    ...common,
    kind: "ValidatingAdmissionPolicyBinding",
    spec: {
      policyName: "no-sysctls",
      validationActions: ["Deny"],
      matchResources: { namespaceSelector: { matchLabels: { "test/engine": "strict" } } },
    },
  });
}

async function createPod(namespace: string, spec: object = {}): Promise<Pod> {
  return (await stage.createPod(namespace, {}, spec, { dryRun: "All" })) as Pod;
}

async function untilPod(what: string, namespace: string, holds: (pod: Pod) => boolean, within?: number): Promise<Pod> {
  const probe = async (): Promise<Pod | false> => {
    const pod = await createPod(namespace);
    return holds(pod) && pod;
  };
  return eventually(what, probe, within);
}

const hasSysctls = ({ spec }: Pod): boolean => spec.securityContext?.sysctls !== undefined;
const isSpared = ({ spec, metadata }: Pod): boolean =>
  spec.dnsConfig !== undefined && metadata.annotations?.["hygeia.dev/skipped"] === "keepalive=PolicyEngine";

async function says(): Promise<string> {
  const { status } = await stage.client.get<Policy>(POLICY);
  return status?.conditions?.find(({ type }) => type === "AppliedToNewPods")?.message ?? "";
}

async function startWebhook(): Promise<Operator> {
  await stage.configure();
  const port = await stage.freePort();
  stage.front.setBackends(() => [port]);
  const flags = { admission: "webhook", "webhook-bind-address": `127.0.0.1:${port}` };
  return startOperator({ cluster: stage.controlPlane, flags, denials: "Expected" });
}

async function startPolicies(): Promise<Operator> {
  await stage.client.delete(CONFIGURATION);
  const { kubectl, kubeconfig } = stage.controlPlane;
  for (const config of ["config/admission-policy", "config/admission-check"]) {
    await execute(kubectl, [`--kubeconfig=${kubeconfig}`, "apply", "--server-side", "-k", config]);
  }
  return startOperator({ cluster: stage.controlPlane, flags: { admission: "policy" }, denials: "Expected" });
}

describe.each(Object.entries({ "the webhook": startWebhook, "the API server's policies": startPolicies }))(
  "where %s changes pods",
  (_, start) => {
    let operator: Operator;

    beforeAll(async () => {
      operator = await start();
      await operator.untilReady();
    }, 60_000);

    afterAll(async () => {
      await operator.stop();
    });

    test("a namespace at whose pods nothing of others looks gets the sysctls", async () => {
      await untilPod("a pod comes out with sysctls", "shop", hasSysctls);
      await eventually("the condition names no engine", async () => !(await says()).includes("PolicyEngine"));
    });

    test("a namespace for which a policy of others is bound gets the rest, and its pods are created", async () => {
      const sysctls = [{ name: "net.ipv4.tcp_keepalive_time", value: "300" }];
      await expect(createPod("strict", { securityContext: { sysctls } })).rejects.toThrow("no sysctls here");
      const pod = await untilPod("a pod comes out with the rest", "strict", isSpared);
      expect(hasSysctls(pod)).toBe(false);
    });

    test("a webhook of others that comes takes the sysctls from all that it looks at, and is named; and they come back", async () => {
      const path = `${HOOKS}/engine`;
      await stage.client.create(HOOKS, {
        metadata: { name: "engine" },
        webhooks: [engine.entry("engine.foreign.test")],
      });
      await untilPod("a pod comes out without sysctls", "shop", isSpared);
      const before = engine.reviewed;
      for (let i = 0; i < 20; i++) expect(isSpared(await createPod("shop"))).toBe(true);
      expect(engine.reviewed).toBe(before + 20);
      const message = await eventually("the condition names it", async () => {
        const found = await says();
        return found.includes("spec.keepalive: PolicyEngine") && found;
      });
      expect(message).toContain("ValidatingWebhookConfiguration engine");
      expect(message).toContain("config/dry-run");
      await stage.client.delete(path);
      await untilPod("a pod comes out with sysctls again", "shop", hasSysctls);
    });

    test("the rights of the installation are enough to see them", async () => {
      expect((await operator.metrics()).sum("rest_client_requests_total", { code: "403" })).toBe(0);
    });
  },
);

test("with the right to try, a webhook that comes is asked at once, and only what it refuses is left out", async () => {
  const { kubectl, kubeconfig } = stage.controlPlane;
  await execute(kubectl, [`--kubeconfig=${kubeconfig}`, "apply", "-k", "config/dry-run"]);
  const operator = await startWebhook();
  try {
    await untilPod("a pod comes out with sysctls", "shop", hasSysctls);
    await stage.client.create(HOOKS, { metadata: { name: "engine" }, webhooks: [engine.entry("engine.foreign.test")] });
    // Refused ones are tried again. Half a minute later nobody depends on who read the change first.
    await untilPod("a pod is created without sysctls", "shop", isSpared, SETTLED_WITHIN_MS);
    const entry = engine.entry("harmless.foreign.test", { objectSelector: { matchLabels: { none: "none" } } });
    await stage.client.delete(`${HOOKS}/engine`);
    await stage.client.create(HOOKS, { metadata: { name: "harmless" }, webhooks: [entry] });
    await untilPod("a pod comes out with sysctls again", "shop", hasSysctls, SETTLED_WITHIN_MS);
  } finally {
    await operator.stop();
    await stage.client.delete(`${HOOKS}/harmless`);
  }
}, 180_000);
