import { afterAll, beforeAll, describe, expect, inject, test, vi } from "vitest";

import { systemClock } from "../../src/clock/system.ts";
import { applyObject, applyStatus } from "../../src/kube/apply.ts";
import type { StatusApply } from "../../src/kube/apply.ts";
import { setConditions } from "../../src/kube/conditions.ts";
import { KubeTransport, loadKubeConfig } from "../../src/kube/transport.ts";
import { KubeClient } from "../support/kube-client.ts";
import type { KubeObject } from "../support/kube-client.ts";

type Widget = KubeObject & { status?: Record<string, unknown> & { conditions?: { type: string }[] } };

const group = "apply.test.hygeia.dev";
const widgets = `/apis/${group}/v1/widgets`;
const configMaps = "/api/v1/namespaces/default/configmaps";

/** A kind with the shape of ours: conditions are a list-map by type. */
const definition = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: `widgets.${group}` },
  spec: {
    group,
    scope: "Cluster",
    names: { plural: "widgets", singular: "widget", kind: "Widget" },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: {
          openAPIV3Schema: {
            type: "object",
            properties: {
              spec: { type: "object", properties: { size: { type: "integer" } } },
              status: {
                type: "object",
                properties: {
                  count: { type: "integer" },
                  mode: { type: "string" },
                  conditions: {
                    type: "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["type"],
                    items: {
                      type: "object",
                      required: ["type"],
                      properties: {
                        type: { type: "string" },
                        status: { type: "string" },
                        observedGeneration: { type: "integer" },
                        lastTransitionTime: { type: "string", format: "date-time" },
                        reason: { type: "string" },
                        message: { type: "string" },
                      },
                    },
                  },
                },
              },
            },
          },
        },
      },
    ],
  },
};

let kube: KubeClient;
let transport: KubeTransport;

beforeAll(async () => {
  const env = inject("env");
  kube = new KubeClient({ url: env.kubeUrl, caFile: env.kubeCaFile, token: env.kubeToken });
  transport = new KubeTransport({ config: await loadKubeConfig(env.kubeconfig), clock: systemClock });
  await kube.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition);
  await vi.waitUntil(() => kube.find(widgets), { timeout: 30_000 });
});

afterAll(async () => {
  await kube.delete(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.${group}`);
  await transport.close();
  await kube.close();
});

async function widget(name: string): Promise<{ object: Widget; request: Omit<StatusApply, "status"> }> {
  const object = await kube.create<Widget>(widgets, {
    apiVersion: `${group}/v1`,
    kind: "Widget",
    metadata: { name },
    spec: { size: 1 },
  });
  const request = {
    path: `${widgets}/${name}`,
    apiVersion: `${group}/v1`,
    kind: "Widget",
    name,
    fieldManager: "first",
  };
  return { object, request };
}

const read = (name: string): Promise<Widget> => kube.get<Widget>(`${widgets}/${name}`);
const condition = (type: string, status: "True" | "False") => ({
  ...{ type, status, observedGeneration: 1, reason: "Because", message: "It is so." },
});

describe("a status that is applied", () => {
  test("is written, and what its manager leaves out the next time is removed", async () => {
    const { request } = await widget("removes");
    const result = await applyStatus(transport, { ...request, status: { count: 3, mode: "Normal" } });
    expect(result).toMatchObject({ outcome: "Applied", object: { status: { count: 3, mode: "Normal" } } });
    await applyStatus(transport, { ...request, status: { count: 4 } });
    expect((await read("removes")).status).toEqual({ count: 4 });
  });

  test("keeps the conditions of other managers", async () => {
    const { request } = await widget("merges");
    const now = new Date();
    const ready = setConditions([], [condition("Ready", "True")], now);
    const synced = setConditions([], [condition("Synced", "False")], now);
    await applyStatus(transport, { ...request, status: { conditions: ready } });
    await applyStatus(transport, { ...request, fieldManager: "second", status: { conditions: synced } });
    expect((await read("merges")).status?.conditions).toEqual([...ready, ...synced]);
    await applyStatus(transport, { ...request, status: {} });
    expect((await read("merges")).status?.conditions).toEqual(synced);
  });

  test("does not take fields from another manager, unless forced", async () => {
    const { request } = await widget("forces");
    await applyStatus(transport, { ...request, status: { count: 1 } });
    const other = { ...request, fieldManager: "second", status: { count: 2 } };
    await expect(applyStatus(transport, other)).rejects.toMatchObject({ isConflict: true });
    await applyStatus(transport, { ...other, force: true });
    expect((await read("forces")).status).toEqual({ count: 2 });
  });

  test("is not sent when it says what was observed", async () => {
    const { request } = await widget("same");
    await applyStatus(transport, { ...request, status: { count: 1, mode: "Normal" } });
    const before = await read("same");
    const status = { mode: "Normal", count: 1 };
    expect(await applyStatus(transport, { ...request, status, observed: before.status })).toEqual({
      outcome: "Unchanged",
    });
    // Sent by one who has not seen it yet, it is no change for the server either.
    await applyStatus(transport, { ...request, status });
    expect((await read("same")).metadata.resourceVersion).toBe(before.metadata.resourceVersion);
  });

  test("does not create its object", async () => {
    const { request } = await widget("deleted");
    await kube.delete(request.path);
    await expect(applyStatus(transport, { ...request, status: { count: 1 } })).rejects.toMatchObject({
      isNotFound: true,
    });
    expect(await kube.find(request.path)).toBeUndefined();
  });

  test("does not touch a later object of the same name when it names the version", async () => {
    const { request, object } = await widget("replaced");
    const { resourceVersion } = object.metadata;
    await kube.delete(request.path);
    await widget("replaced");
    const late = applyStatus(transport, { ...request, resourceVersion, status: { count: 1 } });
    await expect(late).rejects.toMatchObject({ isConflict: true });
    expect((await read("replaced")).status).toBeUndefined();
    const { metadata } = await read("replaced");
    await applyStatus(transport, { ...request, resourceVersion: metadata.resourceVersion, status: { count: 2 } });
    expect((await read("replaced")).status).toEqual({ count: 2 });
  });

  test("with a field that the kind does not have is refused and not cut", async () => {
    const { request } = await widget("strict");
    const typo = applyStatus(transport, { ...request, status: { count: 1, cuont: 2 } });
    await expect(typo).rejects.toMatchObject({ message: expect.stringContaining("cuont") as string });
    expect((await read("strict")).status).toBeUndefined();
  });
});

describe("an object that is applied", () => {
  const path = `${configMaps}/applied`;
  const object = (data: Record<string, string>, uid?: string) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "applied", namespace: "default", uid },
    data,
  });

  test("is created, then changed, and keeps what is another's", async () => {
    const options = { path, fieldManager: "hygeia-report" };
    await applyObject(transport, { ...options, object: object({ a: "1", b: "1" }) });
    await kube.patch(path, { data: { foreign: "x" } });
    await applyObject(transport, { ...options, object: object({ a: "2" }) });
    expect(await kube.get(path)).toMatchObject({ data: { a: "2", foreign: "x" } });
    expect(await kube.get(path)).not.toHaveProperty("data.b");
    await kube.delete(path);
    const gone = applyObject(transport, { ...options, object: object({ a: "3" }, crypto.randomUUID()) });
    await expect(gone).rejects.toMatchObject({ isConflict: true });
    expect(await kube.find(path)).toBeUndefined();
  });
});
