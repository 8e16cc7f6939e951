/**
 * Pods are created through the webhook of two replicas, real processes, while certificates and authorities rotate, one
 * replica is killed, one is stopped as a kubelet does, and for a moment there is none.
 */
import { X509Certificate } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { connect } from "node:tls";

import { afterAll, beforeAll, expect, test } from "vitest";

import type { KubeObject } from "../support/kube-client.ts";
import { findReport, getPolicy } from "../support/operator-objects.ts";
import { eventually } from "../support/operator-wait.ts";
import { isWithin, PodCreations, touches, type Window } from "../support/pod-creations.ts";
import { WebhookReplicas } from "../support/webhook-replicas.ts";
import { SECRET, WebhookStage } from "../support/webhook-stage.ts";

/** Creations that the whole takes: the authorities rotate twice meanwhile. */
const PODS = 20_000;
const RATE = 250;
const PARALLEL = 12;
/** Pods are said to belong to so many workloads, so that the report has room to tell of each. */
const WORKLOADS = 100;
const POLICY = "shop";

/** The shortest lives that the flags take: an authority is succeeded after about 40 s, a leaf is made anew after 10. */
const FLAGS = { "webhook-ca-lifetime": "60s", "webhook-certificate-lifetime": "15s" };

interface Pod extends KubeObject {
  readonly spec: {
    readonly dnsConfig?: { readonly options?: readonly { readonly name: string; readonly value?: string }[] };
  };
}

let stage: WebhookStage;
let replicas: WebhookReplicas;

beforeAll(async () => {
  stage = await WebhookStage.start();
  await stage.createNamespace("shop");
  await stage.client.create("/apis/hygeia.dev/v1alpha1/registrationpolicies", {
    apiVersion: "hygeia.dev/v1alpha1",
    kind: "RegistrationPolicy",
    metadata: { name: POLICY },
    spec: {
      mode: "Enforce",
      match: { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "shop" } } },
      registration: { registries: [{ name: "none" }] },
      dns: { ndots: 2 },
    },
  });
  await stage.configure();
  replicas = await WebhookReplicas.start(stage, 2, FLAGS);
  await replicas.untilReady(2);
  await eventually("a pod comes out changed", async () =>
    isChanged((await stage.createPod("shop", {}, {}, { dryRun: "All" })) as Pod),
  );
});

afterAll(async () => {
  await replicas.stop();
  await stage.stop();
});

function isChanged({ metadata, spec }: Pod): boolean {
  const ndots = spec.dnsConfig?.options?.find(({ name }) => name === "ndots")?.value;
  return metadata.annotations?.["hygeia.dev/applied"] === `${POLICY}@1` && ndots === "2";
}

function workloadOf(index: number): string {
  return `batch-${index % WORKLOADS}`;
}

async function createPod(index: number) {
  const workload = workloadOf(index);
  const owner = { apiVersion: "apps/v1", kind: "StatefulSet", name: workload, uid: workload, controller: true };
  const pod = (await stage.createPod("shop", { ownerReferences: [owner] })) as Pod;
  return { name: pod.metadata.name, workload, isChanged: isChanged(pod) };
}

/** Looks at what the API server is to trust and at what the replicas show, again and again. */
class RotationWatch {
  readonly authorities = new Set<string>();
  readonly leaves = new Set<string>();
  readonly #looking: Promise<void>;
  #isStopped = false;

  constructor() {
    this.#looking = this.#look();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#looking;
  }

  async #look(): Promise<void> {
    while (!this.#isStopped) {
      const { data } = await stage.client.get<KubeObject & { data: Record<string, string> }>(SECRET);
      this.authorities.add(new X509Certificate(Buffer.from(data["ca.crt"] ?? "", "base64")).fingerprint256);
      for (const { port } of replicas.all) {
        const leaf = await leafAt(port);
        if (leaf !== undefined) this.leaves.add(leaf);
      }
      await delay(500);
    }
  }
}

/** Undefined while nobody answers there. */
async function leafAt(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate()?.fingerprint256);
      socket.destroy();
    });
    socket.once("error", () => resolve(undefined));
  });
}

test(`${PODS} pods: none refused, none unchanged but those whom no replica answered, and those are told as drift`, async () => {
  const rotation = new RotationWatch();
  const creations = new PodCreations({ parallel: PARALLEL, rate: RATE, create: createPod });
  const until = (count: number): Promise<boolean> =>
    eventually(`${count} pods are created`, () => creations.done.length >= count, 240_000);
  /** What a replica was asked at the moment of its death, nobody answers: the API server asks once. */
  const deaths: Window[] = [];
  const outages: Window[] = [];
  const kill = async ({ operator, port }: WebhookReplicas["all"][number]): Promise<void> => {
    await operator.metrics();
    const from = performance.now();
    process.kill(operator.pid, "SIGKILL");
    await eventually("its connections are gone", () => stage.front.connectionsTo(port) === 0);
    deaths.push({ from, until: performance.now() });
    await operator.exited;
  };
  const [first, second] = replicas.all as [WebhookReplicas["all"][number], WebhookReplicas["all"][number]];

  await until(PODS * 0.25);
  await kill(first);
  await until(PODS * 0.4);
  await first.operator.restart();
  await replicas.untilReady(2);

  await until(PODS * 0.55);
  await second.operator.kill("SIGTERM");
  await until(PODS * 0.65);
  await second.operator.restart();
  await replicas.untilReady(2);

  await until(PODS * 0.75);
  await kill(first);
  const from = performance.now();
  await kill(second);
  const before = creations.done.length;
  await until(before + 100);
  await Promise.all(replicas.all.map(({ operator }) => operator.restart()));
  await eventually("a replica is ready again", () => replicas.ready > 0, 60_000);
  outages.push({ from, until: performance.now() });
  await replicas.untilReady(2);

  await until(PODS);
  await eventually("the third authority signs", () => rotation.authorities.size >= 3, 120_000);
  await creations.stop();
  await rotation.stop();

  expect(creations.refusals).toEqual([]);
  const unchanged = creations.done.filter((one) => !one.isChanged);
  expect(unchanged.filter((one) => !touches(one, [...deaths, ...outages]))).toEqual([]);
  // The windows are what they say, else the line above would say nothing.
  const missed = creations.done.filter((one) => isWithin(one, outages));
  expect(missed.length).toBeGreaterThanOrEqual(90);
  const asked = unchanged.filter((one) => !touches(one, outages));
  expect(asked.length).toBeLessThanOrEqual(2 * PARALLEL * deaths.length);
  expect(rotation.authorities.size).toBeGreaterThanOrEqual(3);
  expect(rotation.leaves.size).toBeGreaterThanOrEqual(10);
  for (const { operator } of replicas.all) {
    const reading = await operator.metrics();
    expect(reading.sum("hygeia_admission_requests_total", { result: "Patched" })).toBeGreaterThan(100);
    expect(reading.sum("hygeia_webhook_tls_errors_total", { reason: "CertificateRefused" })).toBe(0);
  }

  // What the API server keeps is what it answered.
  const kept = await stage.client.list<Pod>("/api/v1/namespaces/shop/pods");
  expect(kept.length).toBe(creations.done.length);
  const unchangedNames = new Set(unchanged.map(({ name }) => name));
  expect(new Set(kept.filter((pod) => !isChanged(pod)).map(({ metadata }) => metadata.name))).toEqual(unchangedNames);

  const status = await eventually(
    "all pods are counted",
    async () => {
      const { status } = await getPolicy(stage.client, POLICY);
      const { matched, compliant, drifted } = status?.pods ?? {};
      const isAll = matched === kept.length && (compliant ?? 0) + (drifted ?? 0) === matched;
      return isAll ? status : undefined;
    },
    120_000,
  );
  expect(status.pods).toMatchObject({ drifted: unchanged.length, exempt: 0 });
  const byWorkload = new Map<string, number>();
  for (const { workload } of unchanged) byWorkload.set(workload, (byWorkload.get(workload) ?? 0) + 1);
  const report = await eventually(
    "the report tells of all that drifted",
    async () => {
      const report = await findReport(stage.client, POLICY);
      return report?.status?.summary?.podsDrifted === unchanged.length ? report.status : undefined;
    },
    60_000,
  );
  const findings = report.podFindings ?? [];
  expect(new Map(findings.map(({ name, pods }) => [name, pods]))).toEqual(byWorkload);
  for (const { example, state } of findings) {
    expect(state).toBe("Drifted");
    expect(unchangedNames).toContain(example);
  }
  console.log(
    `${creations.done.length} pods, ${unchanged.length} unchanged (${asked.length} while a replica died), ` +
      `${rotation.authorities.size} authorities, ${rotation.leaves.size} leaves`,
  );
}, 400_000);
