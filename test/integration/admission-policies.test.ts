/** The operator with --admission=policy, installed by config/default-policy, on a real API server. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { afterAll, beforeAll, expect, test } from "vitest";

import { type ControlPlane, Scope, startControlPlane } from "../env/index.ts";
import { KubeClient, type KubeObject } from "../support/kube-client.ts";
import { installOperator } from "../support/operator-install.ts";
import { type Operator, startOperator } from "../support/operator.ts";
import { eventually } from "../support/operator-wait.ts";

interface Pod extends KubeObject {
  readonly spec: {
    readonly dnsConfig?: { readonly options?: readonly { readonly name: string; readonly value?: string }[] };
    readonly securityContext?: { readonly sysctls?: readonly object[] };
  };
}

interface Policy extends KubeObject {
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly reason: string; readonly message: string }[];
  };
}

interface Binding extends KubeObject {
  readonly spec: { readonly validationActions: readonly string[] };
}

const execute = promisify(execFile);
const POLICIES = "/apis/hygeia.dev/v1alpha1/registrationpolicies";
const ADMISSION = "/apis/admissionregistration.k8s.io/v1";
const BINDING = `${ADMISSION}/mutatingadmissionpolicybindings/hygeia-shop`;
const CHECK_BINDING = `${ADMISSION}/validatingadmissionpolicybindings/hygeia-shop`;
const kinds = [
  "mutatingadmissionpolicies",
  "mutatingadmissionpolicybindings",
  "validatingadmissionpolicies",
  "validatingadmissionpolicybindings",
] as const;
const scope = new Scope();
let controlPlane: ControlPlane;
let client: KubeClient;
let operator: Operator;

const start = (admission: string): Promise<Operator> => startOperator({ cluster: controlPlane, flags: { admission } });

async function kubectl(...args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return execute(controlPlane.kubectl, [`--kubeconfig=${controlPlane.kubeconfig}`, ...args]);
}

async function createPolicy(name: string, spec: object): Promise<void> {
  await client.create(POLICIES, {
    apiVersion: "hygeia.dev/v1alpha1",
    kind: "RegistrationPolicy",
    metadata: { name },
    spec: { registration: { registries: [{ name: "none" }] }, ...spec },
  });
}

async function createPod(labels: object = {}, namespace = "shop"): Promise<Pod> {
  const pod = { metadata: { generateName: "web-", labels }, spec: { containers: [{ name: "app", image: "app" }] } };
  return client.create<Pod>(`/api/v1/namespaces/${namespace}/pods`, pod, { dryRun: "All" });
}

async function addNode(name: string, kubeletVersion: string): Promise<void> {
  await client.create("/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata: { name } });
  const nodeInfo = { kubeletVersion, kernelVersion: "6.1.0", operatingSystem: "linux" };
  await client.patch(`/api/v1/nodes/${name}/status`, { status: { nodeInfo } });
}

async function untilApplied(policy: string, reason: string): Promise<string> {
  return eventually(`AppliedToNewPods of ${policy} has reason ${reason}`, async () => {
    const { status } = await client.get<Policy>(`${POLICIES}/${policy}`);
    const found = status?.conditions?.find(({ type }) => type === "AppliedToNewPods");
    return found?.reason === reason && found.message;
  });
}

/** Names of ours, by kind; what is not there is left out. */
async function written(): Promise<string[]> {
  const lists = await Promise.all(
    kinds.map(async (kind) =>
      (await client.list(`${ADMISSION}/${kind}`, { labelSelector: "hygeia.dev/compiled-from" })).map(
        ({ metadata }) => `${kind}/${metadata.name}`,
      ),
    ),
  );
  return lists.flat();
}

beforeAll(async () => {
  controlPlane = await startControlPlane({ scope, apiserverFlags: ["--disable-admission-plugins=ServiceAccount"] });
  client = new KubeClient(controlPlane);
  await installOperator(controlPlane);
  await kubectl("apply", "--server-side", "--force-conflicts", "-k", "config/default-policy");
  await client.create("/api/v1/namespaces", { metadata: { name: "shop", labels: { team: "shop" } } });
  await client.create("/api/v1/namespaces", { metadata: { name: "other" } });
  await addNode("node-1", "v1.36.3");
  await createPolicy("shop", {
    mode: "Enforce",
    match: { namespaceSelector: { matchLabels: { team: "shop" } } },
    dns: { ndots: 2 },
    keepalive: { time: "300s", interval: "30s", probes: 3 },
  });
  operator = await start("policy");
  await operator.untilReady();
}, 120_000);

afterAll(async () => {
  await operator.stop();
  await client.close();
  await scope.stop();
});

test("the API server makes a new pod obey the policy in charge of it", async () => {
  expect(await untilApplied("shop", "AdmissionPolicy")).toBe("MutatingAdmissionPolicy hygeia-shop changes new pods");
  const pod = await eventually("a pod comes out changed", async () => {
    const created = await createPod();
    return created.metadata.annotations?.["hygeia.dev/applied"] !== undefined && created;
  });
  expect(pod.metadata.annotations?.["hygeia.dev/applied"]).toBe("shop@1");
  expect(pod.spec.dnsConfig?.options).toEqual([{ name: "ndots", value: "2" }]);
  expect(pod.spec.securityContext?.sysctls).toHaveLength(3);
  expect((await createPod({}, "other")).spec.dnsConfig).toBeUndefined();
  expect((await createPod({ "hygeia.dev/admission": "Disabled" })).spec.dnsConfig).toBeUndefined();
});

test("a policy of higher priority takes its pods away, though it changes none", async () => {
  await createPolicy("front", {
    priority: 9,
    match: { podSelector: { matchLabels: { app: "front" } } },
    dns: { ndots: 3 },
  });
  await eventually("it is in charge", async () => (await createPod({ app: "front" })).spec.dnsConfig === undefined);
  expect(await untilApplied("front", "NotEnforced")).toBe("spec.mode is Audit: no pod is changed");
  expect((await createPod({ app: "back" })).spec.dnsConfig).toBeDefined();
  await client.delete(`${POLICIES}/front`);
  await eventually("it is no more", async () => (await createPod({ app: "front" })).spec.dnsConfig !== undefined);
});

test("when a node comes that would fail them, new pods get no sysctls, and the status says why", async () => {
  await addNode("old", "v1.28.3");
  const message = await untilApplied("shop", "PartlyLeftOut");
  expect(message).toContain("spec.keepalive: NodeTooOld: node old has kubelet v1.28.3");
  const pod = await eventually("a pod comes out without", async () => {
    const created = await createPod();
    return created.spec.securityContext?.sysctls === undefined && created;
  });
  expect(pod.metadata.annotations?.["hygeia.dev/skipped"]).toBe("keepalive=NodeTooOld");
  expect(pod.spec.dnsConfig?.options).toEqual([{ name: "ndots", value: "2" }]);
  await client.delete("/api/v1/nodes/old");
  await untilApplied("shop", "AdmissionPolicy");
});

test("who creates a pod that escaped is warned, with policy and field, and the pod is created all the same", async () => {
  const run = () => kubectl("run", "web", "--image=app", "--namespace=shop", "--dry-run=server");
  await eventually("a pod that obeys is created without a warning", async () => (await run()).stderr === "");
  // As if the API server had not read it yet, or another had changed the pod after it.
  operator.pause();
  await client.delete(BINDING);
  const escaped = "a pod escapes, and the API server knows of all that it should have";
  const { stdout, stderr } = await eventually(escaped, async () => {
    const ran = await run();
    return ran.stderr.includes("spec.securityContext.sysctls[net.ipv4.tcp_keepalive_time] 300") && ran;
  });
  operator.resume();
  expect(stdout).toContain("pod/web created");
  expect(stderr).toContain("RegistrationPolicy shop wants, and the pod does not have: spec.dnsConfig.options[ndots] 2");
  await eventually("the binding is there again", async () => (await run()).stderr === "", 60_000);
}, 90_000);

test("what another deletes or changes is as it was soon after, long before the next look at all of them", async () => {
  const uid = async () => (await client.find(BINDING))?.metadata.uid;
  // After the first time the next look is half a minute away.
  for (let times = 0; times < 2; times++) {
    const before = await uid();
    await client.delete(BINDING);
    await eventually("it is there again", async () => ![undefined, before].includes(await uid()), 10_000);
  }
  const actions = async () => (await client.get<Binding>(CHECK_BINDING)).spec.validationActions;
  const before = await actions();
  await client.patch(CHECK_BINDING, { spec: { validationActions: ["Deny"] } });
  await eventually("it warns again", async () => JSON.stringify(await actions()) === JSON.stringify(before), 10_000);
});

test("a policy that is deleted leaves nothing", async () => {
  await createPolicy("gone", {
    mode: "Enforce",
    priority: 5,
    match: { podSelector: { matchLabels: { app: "gone" } } },
    dns: { ndots: 4 },
  });
  await untilApplied("gone", "AdmissionPolicy");
  expect(await written()).toEqual(expect.arrayContaining(kinds.map((kind) => `${kind}/hygeia-gone`)));
  await client.delete(`${POLICIES}/gone`);
  await eventually(
    "nothing of it is there",
    async () => !(await written()).some((name) => name.endsWith("/hygeia-gone")),
  );
});

test("with the webhook instead what changed pods is taken away, and the check stays", async () => {
  expect((await operator.metrics()).sum("rest_client_requests_total", { code: "403" })).toBe(0);
  await operator.stop();
  operator = await start("webhook");
  await untilApplied("shop", "Webhook");
  expect(await written()).toEqual([
    "validatingadmissionpolicies/hygeia-shop",
    "validatingadmissionpolicybindings/hygeia-shop",
  ]);
});

test("with none nothing is left", async () => {
  await operator.stop();
  operator = await start("none");
  await untilApplied("shop", "NoWay");
  expect(await written()).toEqual([]);
});
