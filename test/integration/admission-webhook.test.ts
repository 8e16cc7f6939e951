import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import type { AdmissionSnapshot } from "../../src/admission/types.ts";
import { everywhere } from "../support/admission-review.ts";
import { OPERATOR_NAMESPACE } from "../support/operator-install.ts";
import { eventually } from "../support/operator-wait.ts";
import { CONFIGURATION, isMutated, type WebhookReplica, WebhookStage } from "../support/webhook-stage.ts";

let stage: WebhookStage;

beforeAll(async () => {
  stage = await WebhookStage.start();
  await stage.createNamespace("shop", { "pod-security.kubernetes.io/enforce": "restricted" });
});

afterAll(async () => {
  await stage.stop();
});

describe("pods created through the webhook", () => {
  let replica: WebhookReplica;

  beforeAll(async () => {
    await stage.configure();
    replica = await stage.startReplica();
    await replica.untilReady();
    await stage.untilMutating("shop");
  });

  afterAll(async () => {
    await stage.clear();
  });

  test("come out changed", async () => {
    const pod = await stage.createPod("shop");
    expect(isMutated(pod)).toBe(true);
    expect(pod.metadata.annotations).toEqual({ "test/mutated": "yes" });
  });

  test("keep what their author wrote, and are not changed twice", async () => {
    const before = await replica.requests({ reason: "Compliant" });
    const pod = await stage.createPod("shop", { annotations: { author: "me", "test/mutated": "yes" } });
    expect(pod.metadata.annotations).toEqual({ author: "me", "test/mutated": "yes" });
    expect(await replica.requests({ reason: "Compliant" })).toBe(before + 1);
  });

  test("are answered alike in a dry run", async () => {
    expect(isMutated(await stage.createPod("shop", {}, {}, { dryRun: "All" }))).toBe(true);
  });

  const spared: Record<string, { namespace: string; metadata?: object; spec?: object }> = {
    "a pod that opts out": { namespace: "shop", metadata: { labels: { "hygeia.dev/admission": "Disabled" } } },
    "a pod of kube-system": { namespace: "kube-system" },
    "a pod of our own namespace": { namespace: OPERATOR_NAMESPACE },
    "the mirror of a static pod": {
      namespace: "shop",
      metadata: { annotations: { "kubernetes.io/config.mirror": "abc" } },
      spec: { nodeName: "node-1" },
    },
  };
  test.each(Object.entries(spared))("%s is created without a question", async (_, { namespace, metadata, spec }) => {
    const before = await replica.requests();
    expect(isMutated(await stage.createPod(namespace, metadata, spec))).toBe(false);
    // The next pod is asked about: so the count does move.
    expect(isMutated(await stage.createPod("shop"))).toBe(true);
    expect(await replica.requests()).toBe(before + 1);
  });

  test("a change of a pod is no question for the webhook", async () => {
    const { name } = (await stage.createPod("shop")).metadata;
    const before = await replica.requests();
    const path = `/api/v1/namespaces/shop/pods/${name}`;
    await stage.client.patch(path, { metadata: { labels: { changed: "yes" } } });
    await stage.client.delete(path, { gracePeriodSeconds: 0 });
    expect(await replica.requests()).toBe(before);
  });

  test("the rights of config/default are enough", async () => {
    expect((await replica.reading()).sum("rest_client_requests_total", { code: "403" })).toBe(0);
  });

  test("the certificate holds under what the API server trusts, and its end is told", async () => {
    const reading = await replica.reading();
    expect(reading.sum("hygeia_webhook_trusted")).toBe(1);
    const end = reading.sum("hygeia_webhook_certificate_expiry_timestamp_seconds", { certificate: "Leaf" });
    expect(end * 1000).toBeGreaterThan(Date.now() + 6 * 86_400_000);
  });
});

describe("when nobody answers", () => {
  beforeEach(() => stage.configure());
  afterEach(() => stage.clear());

  test("pods are created unchanged while no replica listens", async () => {
    expect(isMutated(await stage.createPod("shop"))).toBe(false);
  });

  test("pods are created unchanged when the network loses everything, and changed when it is back", async () => {
    const replica = await stage.startReplica();
    await replica.untilReady();
    await stage.untilMutating("shop");
    stage.front.setSilent(true);
    expect(isMutated(await stage.createPod("shop"))).toBe(false);
    stage.front.setSilent(false);
    await stage.untilMutating("shop");
  });

  test("pods are created unchanged while the policies are not known", async () => {
    const known: { snapshot: AdmissionSnapshot | undefined } = { snapshot: undefined };
    const replica = await stage.startReplica({ snapshot: () => known.snapshot });
    await replica.untilReady();
    await eventually("the API server asks", async () => {
      expect(isMutated(await stage.createPod("shop"))).toBe(false);
      return (await replica.requests({ result: "Failed", reason: "NotReady" })) > 0;
    });
    known.snapshot = everywhere;
    await stage.untilMutating("shop");
  });

  test("a replica that stops answers to the last, and every pod is changed by one or the other", async () => {
    const [first, second] = [await stage.startReplica(), await stage.startReplica()];
    await Promise.all([first.untilReady(), second.untilReady()]);
    await stage.untilMutating("shop");
    const state = { isStopped: false };
    const stopping = stage.stopReplica(first).finally(() => (state.isStopped = true));
    while (!state.isStopped) expect(isMutated(await stage.createPod("shop"))).toBe(true);
    await stopping;
    expect(first.webhook.port).toBeUndefined();
    for (let i = 0; i < 20; i++) expect(isMutated(await stage.createPod("shop"))).toBe(true);
  });
});

describe("--admission=auto", () => {
  afterEach(() => stage.clear());

  test("waits for the configuration, and is on from then", async () => {
    const replica = await stage.startReplica({ settings: { mode: "auto" } });
    await eventually(
      "it has looked for the configuration",
      async () =>
        (await replica.reading()).sum("hygeia_reflector_lists_total", { resource: "mutatingwebhookconfigurations" }) >
        0,
    );
    expect(replica.webhook.ready()).toEqual([]);
    expect(replica.webhook.port).toBeUndefined();
    await stage.configure();
    await replica.untilReady();
    await stage.untilMutating("shop");
  });

  test("none asks the API server for nothing", async () => {
    const replica = await stage.startReplica({ settings: { mode: "none" } });
    await stage.configure();
    const other = await stage.startReplica();
    await other.untilReady();
    expect(replica.webhook.ready()).toEqual([]);
    expect((await replica.reading()).sum("rest_client_requests_total")).toBe(0);
  });

  test("a webhook without its configuration is ready, since nobody calls, and serves as soon as there is one", async () => {
    const replica = await stage.startReplica();
    await replica.untilReady();
    await stage.configure();
    await stage.untilMutating("shop");
    expect(await stage.client.get(CONFIGURATION)).toMatchObject({ webhooks: [{ failurePolicy: "Ignore" }] });
  });
});
