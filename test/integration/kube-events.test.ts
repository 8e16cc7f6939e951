import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";

import { systemClock } from "../../src/clock/system.ts";
import { EventRecorder } from "../../src/kube/event-recorder.ts";
import type { EventNote } from "../../src/kube/event-recorder.ts";
import { KubeError } from "../../src/kube/http-errors.ts";
import { KubeTransport, loadKubeConfig } from "../../src/kube/transport.ts";
import type { CallRequest, CallResponse } from "../../src/kube/transport.ts";
import { createLogger } from "../../src/telemetry/log.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { KubeClient } from "../support/kube-client.ts";
import type { KubeObject } from "../support/kube-client.ts";

interface StoredEvent extends KubeObject {
  readonly reason: string;
  readonly note: string;
  readonly eventTime: string;
  readonly regarding: { readonly name: string; readonly uid?: string };
}

const namespace = "kube-events";
let kube: KubeClient;
let transport: KubeTransport;

beforeAll(async () => {
  const env = inject("env");
  kube = new KubeClient({ url: env.kubeUrl, caFile: env.kubeCaFile, token: env.kubeToken });
  transport = new KubeTransport({ config: await loadKubeConfig(env.kubeconfig), clock: systemClock });
  await kube.create("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
});

afterAll(async () => {
  await kube.delete(`/api/v1/namespaces/${namespace}`);
  await transport.close();
  await kube.close();
});

function recorderWith(request: (call: CallRequest) => Promise<CallResponse> = (call) => transport.request(call)) {
  const metrics = createMetrics({ version: "test" });
  const recorder = new EventRecorder({
    transport: { request },
    reportingInstance: "hygeia-0",
    clock: systemClock,
    random: Math.random,
    log: createLogger({ level: "silent" }),
    metrics,
  });
  const dropped = async () =>
    (await metrics.render()).split("\n").filter((line) => line.startsWith("hygeia_events_dropped_total{"));
  return { recorder, dropped };
}

/** An event about a pod of this test's own name. */
function about(name: string, note: string, fields: Partial<EventNote> = {}): EventNote {
  const regarding = { apiVersion: "v1", kind: "Pod", namespace, name, uid: `uid-of-${name}` };
  return { regarding, type: "Normal", reason: "ZombieEvicted", note, ...fields };
}

async function eventsOf(name: string, where = namespace): Promise<StoredEvent[]> {
  const events = await kube.list<StoredEvent>(`/apis/events.k8s.io/v1/namespaces/${where}/events`);
  return events.filter((event) => event.regarding.name === name);
}

describe("an Event on the API server", () => {
  test("is what was told, and kubectl finds it by the object's UID", async () => {
    const { recorder, dropped } = recorderWith();
    const related = { apiVersion: "hygeia.dev/v1alpha1", kind: "RegistrationPolicy", name: "all", uid: "p1" };
    recorder.publish(about("told", "cart left the registry.", { related, action: "Evicted" }));
    recorder.publish(about("told", "cart left the registry."));
    await recorder.close(30_000);
    const events = await eventsOf("told");
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({
      type: "Normal",
      reason: "ZombieEvicted",
      action: "Evicted",
      note: "cart left the registry.",
      reportingController: "hygeia.dev/operator",
      reportingInstance: "hygeia-0",
      related,
    });
    expect(events[0]?.eventTime).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    const env = inject("env");
    const select = "involvedObject.uid=uid-of-told";
    const { stdout } = await promisify(execFile)(env.kubectl, [
      ...["--kubeconfig", env.kubeconfig, "-n", namespace, "get", "events", "--field-selector", select],
    ]);
    expect(stdout).toContain("cart left the registry.");
    expect(await dropped()).toEqual([]);
  });

  test("about a cluster-scoped object is in the namespace default", async () => {
    const { recorder, dropped } = recorderWith();
    const regarding = { apiVersion: "hygeia.dev/v1alpha1", kind: "Registry", name: "etcd-in-default", uid: "r1" };
    recorder.publish(about("", "It can not be reached.", { regarding, type: "Warning", reason: "Unreachable" }));
    await recorder.close(30_000);
    expect(await eventsOf("etcd-in-default", "default")).toHaveLength(1);
    expect(await dropped()).toEqual([]);
  });

  test("is accepted at every limit", async () => {
    const { recorder, dropped } = recorderWith();
    recorder.publish(about("limits", "😀".repeat(1_000)));
    recorder.publish(about("limits", "x".repeat(1_024)));
    recorder.publish(about("limits", "long reason", { reason: "R".repeat(200), action: "A".repeat(200) }));
    const name = `limits-${"n".repeat(220)}.${"m".repeat(25)}`;
    recorder.publish(about(name, "long name"));
    await recorder.close(30_000);
    expect(await dropped()).toEqual([]);
    expect(await eventsOf("limits")).toHaveLength(3);
    expect(await eventsOf(name)).toHaveLength(1);
  });

  test("whose first answer was lost is written once", async () => {
    let calls = 0;
    const { recorder, dropped } = recorderWith(async (call) => {
      const response = await transport.request(call);
      calls += 1;
      if (calls === 1) throw new KubeError("ConnectionLost", "the answer was lost");
      return response;
    });
    recorder.publish(about("once", "cart left the registry."));
    await recorder.close(30_000);
    expect(await eventsOf("once")).toHaveLength(1);
    expect(await dropped()).toEqual([]);
  });

  test("that the server refuses is dropped and counted, and does not hold up the next one", async () => {
    const { recorder, dropped } = recorderWith();
    const regarding = { apiVersion: "v1", kind: "Pod", namespace: "no-such-namespace", name: "refused" };
    recorder.publish(about("", "nowhere", { regarding }));
    recorder.publish(about("refused", "somewhere"));
    await recorder.close(30_000);
    expect(await dropped()).toEqual(['hygeia_events_dropped_total{cause="Rejected"} 1']);
    expect(await eventsOf("refused")).toHaveLength(1);
  });

  test("in a flood is one of few", async () => {
    const { recorder } = recorderWith();
    for (let i = 0; i < 500; i++) recorder.publish(about("flood", `instance ${i}`));
    await recorder.close(30_000);
    const { length } = await eventsOf("flood");
    expect(length).toBeGreaterThanOrEqual(10);
    expect(length).toBeLessThan(50);
  });
});
