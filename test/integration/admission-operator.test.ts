import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { KubeApiError, KubeClient, type KubeObject } from "../support/kube-client.ts";
import { type Operator, startOperator } from "../support/operator.ts";
import { OPERATOR_NAMESPACE, operatorToken } from "../support/operator-install.ts";
import { eventually } from "../support/operator-wait.ts";
import { SECRET, WebhookStage } from "../support/webhook-stage.ts";

interface Pod extends KubeObject {
  readonly spec: {
    readonly dnsConfig?: { readonly options?: readonly { readonly name: string; readonly value?: string }[] };
    readonly securityContext?: { readonly sysctls?: readonly { readonly name: string; readonly value: string }[] };
  };
}

const execute = promisify(execFile);
const POLICIES = "/apis/hygeia.dev/v1alpha1/registrationpolicies";

let stage: WebhookStage;
let operator: Operator;

/** The real operator, with the flags of a Deployment but for where it listens. */
async function start(port: number): Promise<Operator> {
  return startOperator({
    cluster: stage.controlPlane,
    // What the policy engine says about a dry run has the word in it.
    denials: "Expected",
    flags: { admission: "auto", "webhook-bind-address": `127.0.0.1:${port}` },
  });
}

async function createPod(namespace: string, metadata: object = {}): Promise<Pod> {
  return (await stage.createPod(namespace, metadata, {}, { dryRun: "All" })) as Pod;
}

beforeAll(async () => {
  stage = await WebhookStage.start();
  await Promise.all([stage.createNamespace("shop", { team: "shop" }), stage.createNamespace("other")]);
  // A policy engine of the old school: no sysctl at all.
  await stage.createNamespace("strict", { team: "shop", "test/engine": "strict" });
  await addEngine();
  await addNode();
  await stage.client.create(POLICIES, {
    apiVersion: "hygeia.dev/v1alpha1",
    kind: "RegistrationPolicy",
    metadata: { name: "shop" },
    spec: {
      mode: "Enforce",
      match: { namespaceSelector: { matchLabels: { team: "shop" } } },
      registration: { registries: [{ name: "none" }] },
      dns: { ndots: 2 },
      keepalive: { time: "300s", interval: "30s", probes: 3 },
    },
  });
  const { kubectl, kubeconfig } = stage.controlPlane;
  await execute(kubectl, [`--kubeconfig=${kubeconfig}`, "apply", "-k", "config/dry-run"]);
  await stage.configure();
  const port = await stage.freePort();
  stage.front.setBackends(() => [port]);
  operator = await start(port);
  await operator.untilReady();
});

afterAll(async () => {
  await operator.stop();
  await stage.stop();
});

async function addEngine(): Promise<void> {
  const api = "/apis/admissionregistration.k8s.io/v1";
  const common = { apiVersion: "admissionregistration.k8s.io/v1", metadata: { name: "no-sysctls" } };
  await stage.client.create(`${api}/validatingadmissionpolicies`, {
    ...common,
    kind: "ValidatingAdmissionPolicy",
    spec: {
      matchConstraints: {
        namespaceSelector: { matchLabels: { "test/engine": "strict" } },
        resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] }],
      },
      validations: [
        { expression: "!has(object.spec.securityContext.sysctls)", message: "sysctls are not allowed here" },
      ],
    },
  });
  await stage.client.create(`${api}/validatingadmissionpolicybindings`, {
    ...common,
    kind: "ValidatingAdmissionPolicyBinding",
    spec: { policyName: "no-sysctls", validationActions: ["Deny"] },
  });
}

async function addNode(): Promise<void> {
  await stage.client.create("/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata: { name: "node-1" } });
  const nodeInfo = { kubeletVersion: "v1.36.3", kernelVersion: "6.1.0", operatingSystem: "linux" };
  await stage.client.patch("/api/v1/nodes/node-1/status", { status: { nodeInfo } });
}

describe("the operator as it is installed", () => {
  test("makes a new pod obey the policy in charge of it", async () => {
    const pod = await eventually("a pod comes out changed", async () => {
      const created = await createPod("shop");
      // The sysctls come when it is known that no policy engine refuses them.
      return created.spec.securityContext?.sysctls !== undefined && created;
    });
    expect(pod.metadata.annotations?.["hygeia.dev/applied"]).toBe("shop@1");
    expect(pod.spec.dnsConfig?.options).toEqual([{ name: "ndots", value: "2" }]);
    expect(pod.spec.securityContext?.sysctls?.map(({ name, value }) => `${name}=${value}`).toSorted()).toEqual([
      "net.ipv4.tcp_keepalive_intvl=30",
      "net.ipv4.tcp_keepalive_probes=3",
      "net.ipv4.tcp_keepalive_time=300",
    ]);
  });

  test("leaves a pod alone that no policy is in charge of", async () => {
    const pod = await createPod("other");
    expect(pod.metadata.annotations ?? {}).toEqual({});
    expect(pod.spec.dnsConfig).toBeUndefined();
  });

  test("says in /readyz that the webhook serves", async () => {
    expect((await operator.readiness()).text).toContain("[+]webhook ok");
  });

  test("spares pods the sysctls that a policy engine would refuse, and gives them the rest", async () => {
    await eventually(
      "the objection is found",
      async () => (await operator.metrics()).sum("hygeia_admission_objections") > 0,
    );
    const pod = await createPod("strict");
    expect(pod.spec.securityContext?.sysctls).toBeUndefined();
    expect(pod.metadata.annotations?.["hygeia.dev/skipped"]).toContain("keepalive=PolicyEngine");
    expect(pod.spec.dnsConfig?.options).toEqual([{ name: "ndots", value: "2" }]);
    expect((await operator.metrics()).sum("hygeia_admission_objections")).toBe(1);
  });

  test("checks by a dry run that the API server asks", async () => {
    await eventually(
      "the check has passed",
      async () =>
        (await operator.metrics()).sum("hygeia_webhook_checks_total", { check: "DryRun", result: "Passed" }) > 0,
    );
    expect((await operator.metrics()).sum("hygeia_webhook_trusted", { check: "DryRun" })).toBe(1);
  });

  test("may create pods as a dry run only", async () => {
    const client = new KubeClient({ ...stage.controlPlane, token: await operatorToken(stage.controlPlane) });
    try {
      const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "real" }, spec: podSpec };
      await client.create("/api/v1/namespaces/other/pods", pod, { dryRun: "All" });
      const refused = client.create("/api/v1/namespaces/other/pods", pod);
      await expect(refused).rejects.toThrow("as a dry run only");
      await expect(refused).rejects.toBeInstanceOf(KubeApiError);
    } finally {
      await client.close();
    }
  });

  test("was denied nothing by RBAC", async () => {
    expect((await operator.metrics()).sum("rest_client_requests_total", { code: "403" })).toBe(0);
  });

  test("does not let a Registry have the webhook's authority sent anywhere", async () => {
    await stage.client.create("/apis/hygeia.dev/v1alpha1/registries", {
      apiVersion: "hygeia.dev/v1alpha1",
      kind: "Registry",
      metadata: { name: "thief" },
      spec: {
        type: "Consul",
        endpoints: ["https://127.0.0.1:9"],
        consul: { tokenSecretRef: { name: "hygeia-webhook-ca", key: "ca.key" } },
      },
    });
    expect(await stage.client.find(SECRET)).toBeDefined();
    interface Registry extends KubeObject {
      readonly status?: { readonly conditions?: readonly { readonly type: string; readonly reason: string }[] };
    }
    await eventually("the Registry is told that the Secret can not be read", async () => {
      const { status } = await stage.client.get<Registry>("/apis/hygeia.dev/v1alpha1/registries/thief");
      return status?.conditions?.some(({ reason }) => reason === "SecretUnreadable") === true;
    });
  });
});

const podSpec = { containers: [{ name: "app", image: "app" }] };

test("the namespace of config/default is the one that the webhook leaves out", async () => {
  const { webhooks } = await stage.client.get<
    KubeObject & {
      readonly webhooks: readonly {
        readonly namespaceSelector: { readonly matchExpressions: readonly { readonly values: readonly string[] }[] };
      }[];
    }
  >("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/hygeia-mutating-webhook-configuration");
  expect(webhooks[0]?.namespaceSelector.matchExpressions[0]?.values).toContain(OPERATOR_NAMESPACE);
});
