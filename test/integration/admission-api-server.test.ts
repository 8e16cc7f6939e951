/** What admission rests on in a real API server: who is asked again when another changes the pod later, and what can be changed how. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { mutatingPolicy } from "../../src/admission/cel/objects.ts";
import { mutatePod } from "../../src/admission/mutate.ts";
import { ADMISSION_LABEL, APPLIED_ANNOTATION, type PodPolicy, SKIPPED_ANNOTATION } from "../../src/admission/types.ts";
import { dnsPolicy, KEEPALIVE, SITE } from "../support/admission-cases.ts";
import { compiledCase, installCompiled } from "../support/compiled-case.ts";
import { ForeignWebhook, type ReviewedPod, type Verdict } from "../support/foreign-webhook.ts";
import { KubeApiError, type KubeObject } from "../support/kube-client.ts";
import { eventually } from "../support/operator-wait.ts";
import { type WebhookReplica, WebhookStage } from "../support/webhook-stage.ts";

interface Pod extends KubeObject {
  readonly spec: {
    readonly containers: readonly { readonly name: string; readonly lifecycle?: object }[];
    readonly dnsConfig?: { readonly searches?: readonly string[]; readonly options?: readonly object[] };
    readonly securityContext?: { readonly sysctls?: readonly object[] };
  };
}

const ADMISSION = "/apis/admissionregistration.k8s.io/v1";
const policy: PodPolicy = {
  ...dnsPolicy({ options: [{ name: "ndots", value: "2" }], searches: ["infra.example"] }),
  sysctls: KEEPALIVE.sysctls,
  preStopSleep: 5,
};
const SLEEP = { preStop: { sleep: { seconds: 5 } } };
/** The foreign webhook removes the label by which the pod was spared. */
const FREED = { metadata: { labels: { late: "label", [ADMISSION_LABEL]: "Disabled" } } };

let stage: WebhookStage;
let replica: WebhookReplica;
/** Comes after ours: its configuration's name is later in the alphabet. */
let foreign: ForeignWebhook;

/** As a service mesh does: a container more, and a resolver option as it wants it. */
function change({ metadata: { labels = {} }, spec }: ReviewedPod): Verdict {
  if (labels["late"] === "label")
    return { allowed: true, patch: [{ op: "remove", path: `/metadata/labels/${ADMISSION_LABEL.replace("/", "~1")}` }] };
  if (labels["late"] !== "container") return { allowed: true };
  const patch: object[] = [{ op: "add", path: "/spec/containers/-", value: { name: "agent", image: "agent" } }];
  const options = [{ name: "ndots", value: "4" }];
  if (spec["dnsConfig"] === undefined) patch.push({ op: "add", path: "/spec/dnsConfig", value: { options } });
  else patch.push({ op: "replace", path: "/spec/dnsConfig/options", value: options });
  return { allowed: true, patch };
}

async function createPod(way: string, { metadata = {} }: { metadata?: { labels?: object } } = {}): Promise<Pod> {
  const labels = { way, ...metadata.labels };
  return (await stage.createPod("shop", { labels }, {}, { dryRun: "All" })) as Pod;
}

const isApplied = ({ metadata }: Pod): boolean => metadata.annotations?.[APPLIED_ANNOTATION] !== undefined;

beforeAll(async () => {
  stage = await WebhookStage.start();
  await stage.createNamespace("shop");
  foreign = await ForeignWebhook.start(change);
  await stage.client.create(`${ADMISSION}/mutatingwebhookconfigurations`, {
    metadata: { name: "zz-foreign" },
    webhooks: [foreign.entry("late.foreign.test")],
  });
  const byPolicy = compiledCase(mutatingPolicy, "late", { policy, site: SITE }, { matchLabels: { way: "policy" } });
  await installCompiled(stage.client, byPolicy);
  await stage.configure();
  const snapshot = {
    inChargeOf: (_: string, { way }: Readonly<Record<string, string>>) =>
      way === "webhook" ? { policy, site: SITE } : undefined,
  };
  replica = await stage.startReplica({ mutate: mutatePod, snapshot: () => snapshot });
  await replica.untilReady();
  for (const way of ["webhook", "policy"])
    await eventually(`pods are changed by the ${way}`, async () => isApplied(await createPod(way)));
}, 120_000);

afterAll(async () => {
  await stage.stop();
  await foreign.close();
});

describe.each(["webhook", "policy"])("where the %s changes pods, and a webhook of others changes them later", (way) => {
  test("the container that was added is given its part as well, and what the other set is kept", async () => {
    const before = await replica.requests();
    const pod = await createPod(way, { metadata: { labels: { late: "container" } } });
    expect(pod.spec.containers.map(({ name, lifecycle }) => [name, lifecycle])).toEqual([
      ["app", SLEEP],
      ["agent", SLEEP],
    ]);
    expect(pod.spec.dnsConfig).toEqual({ searches: ["infra.example"], options: [{ name: "ndots", value: "4" }] });
    expect(pod.spec.securityContext?.sysctls).toEqual(KEEPALIVE.sysctls);
    expect(pod.metadata.annotations).toMatchObject({
      [APPLIED_ANNOTATION]: "shop@3",
      [SKIPPED_ANNOTATION]: "dns=SetByAuthor",
    });
    if (way === "webhook") expect(await replica.requests()).toBe(before + 2);
  });

  test("a pod that was spared at first is not looked at again, though its label is gone", async () => {
    const [before, seenBefore] = [await replica.requests(), foreign.reviewed];
    const pod = await createPod(way, FREED);
    expect(pod.metadata.labels).toEqual({ way, late: "label" });
    expect(isApplied(pod)).toBe(false);
    expect(pod.spec.dnsConfig).toBeUndefined();
    expect(foreign.reviewed).toBe(seenBefore + 1);
    expect(await replica.requests()).toBe(before);
  });
});

test("an apply configuration can not add an option to a pod's dnsConfig: that takes a JSONPatch", async () => {
  const [rule, binding] = compiledCase(
    mutatingPolicy,
    "apply",
    { policy, site: SITE },
    { matchLabels: { way: "apply" } },
  );
  if (rule === undefined || binding === undefined) throw new Error("it was not compiled");
  const expression =
    'Object{spec: Object.spec{dnsConfig: Object.spec.dnsConfig{options: [Object.spec.dnsConfig.options{name: "ndots", value: "2"}]}}}';
  const { mutations: _, variables: __, ...spec } = rule.spec;
  const applying = {
    ...spec,
    failurePolicy: "Fail",
    mutations: [{ patchType: "ApplyConfiguration", applyConfiguration: { expression } }],
  };
  await installCompiled(stage.client, [{ ...rule, spec: applying }, binding]);
  const refusal = await eventually("the API server has read it", async () =>
    createPod("apply").then(
      () => undefined,
      (error: unknown) => error,
    ),
  );
  expect(refusal).toBeInstanceOf(KubeApiError);
  expect((refusal as KubeApiError).message).toContain("may not mutate atomic arrays");
});

describe("of a pod that exists", () => {
  const path = "/api/v1/namespaces/shop/pods/there";

  beforeAll(async () => {
    await stage.createPod("shop", { name: "there", generateName: "", labels: { way: "webhook" } });
  });

  test.each(
    Object.entries({
      dnsConfig: { dnsConfig: { options: [{ name: "ndots", value: "3" }] } },
      dnsPolicy: { dnsPolicy: "Default" },
      sysctls: { securityContext: { sysctls: [{ name: "net.ipv4.tcp_keepalive_time", value: "10" }] } },
      "the grace period": { terminationGracePeriodSeconds: 90 },
    }),
  )("%s can not be changed", async (_, spec) => {
    await expect(stage.client.patch(path, { spec })).rejects.toThrow("pod updates may not change fields other than");
  });

  test("labels and annotations can", async () => {
    const metadata = { labels: { changed: "yes" }, annotations: { changed: "yes" } };
    expect((await stage.client.patch(path, { metadata })).metadata).toMatchObject(metadata);
  });
});
