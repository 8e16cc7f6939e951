import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { expect, it } from "vitest";

import { ClusterViewFixture } from "../../test/support/cluster-view-fixture.ts";
import type { PodRecord } from "./types.ts";

const count = 20_000;
const podsPerWorkload = 10;
const nodes = 400;

function hex(seed: number, length: number): string {
  return ((seed * 2_654_435_761) % 2 ** 32).toString(16).padStart(8, "0").repeat(5).slice(0, length);
}

/** About what a Deployment's (or, every tenth workload, a StatefulSet's) pod with a sidecar looks like: some 6 KB. */
function podJson(i: number): string {
  const workload = Math.floor(i / podsPerWorkload);
  const isStateful = workload % 10 === 0;
  const hash = hex(workload, 10);
  const app = `service-${workload}`;
  const name = isStateful ? `${app}-${i % podsPerWorkload}` : `${app}-${hash}-${hex(i, 5)}`;
  const node = i % nodes;
  const hostIP = `10.0.${node >> 8}.${node & 255}`;
  const ip = `10.${64 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
  const container = (title: string, port: number): object => ({
    name: title,
    image: `registry.example/${app}/${title}:1.2.3`,
    ports: [{ name: "http", containerPort: port, protocol: "TCP" }],
    env: Array.from({ length: 10 }, (_, n) => ({ name: `SETTING_${n}`, value: `value ${n} of ${app}` })),
    resources: { requests: { cpu: "100m", memory: "128Mi" } },
  });
  const status = (title: string): object => ({
    name: title,
    ready: true,
    restartCount: 0,
    containerID: `containerd://${hex(i, 40)}`,
    state: { running: { startedAt: "2026-01-01T00:00:00Z" } },
  });
  return JSON.stringify({
    metadata: {
      name,
      namespace: `team-${workload % 50}`,
      uid: `${hex(i, 8)}-${hex(i + 1, 4)}-4${hex(i + 2, 3)}-8${hex(i + 3, 3)}-${hex(i + 4, 12)}`,
      resourceVersion: String(100_000 + i),
      labels: {
        "app.kubernetes.io/name": app,
        "app.kubernetes.io/version": "1.2.3",
        "app.kubernetes.io/part-of": "shop",
        team: `team-${workload % 50}`,
        ...(isStateful ? { "statefulset.kubernetes.io/pod-name": name } : { "pod-template-hash": hash }),
      },
      annotations: { "prometheus.io/scrape": "true", checksum: hex(i, 40), note: "x".repeat(500) },
      ownerReferences: [
        {
          kind: isStateful ? "StatefulSet" : "ReplicaSet",
          name: isStateful ? app : `${app}-${hash}`,
          controller: true,
        },
      ],
      managedFields: Array.from({ length: 3 }, (_, n) => ({ manager: `m${n}`, fieldsV1: { "f:a": "y".repeat(500) } })),
    },
    spec: {
      nodeName: `ip-10-0-${node >> 8}-${node & 255}.eu-west-1.compute.internal`,
      ...(isStateful && { hostname: name, subdomain: app }),
      containers: [container("app", 8080), container("proxy", 15_001)],
    },
    status: {
      phase: "Running",
      podIP: ip,
      podIPs: [{ ip }],
      hostIP,
      hostIPs: [{ ip: hostIP }],
      conditions: [{ type: "Ready", status: "True", lastTransitionTime: "2026-01-01T00:00:00Z" }],
      containerStatuses: [status("app"), status("proxy")],
    },
  });
}

it("a pod costs at most 1 KiB of heap, with all indexes", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const heap = (): number => {
    collect();
    collect();
    return process.memoryUsage().heapUsed;
  };
  const cluster = new ClusterViewFixture();
  cluster.events.push = () => 0;
  const { sinks } = cluster.view;
  const before = heap();
  const jsonBytes = podJson(1).length;
  for (let from = 0; from < count; from += 500) {
    const page: PodRecord[] = [];
    for (let i = from; i < from + 500; i++) page.push(cluster.projector.project(JSON.parse(podJson(i)) as unknown));
    sinks.pods.apply(
      page.map((object) => ({ type: "Added", object, createdAfter: cluster.now + 0.5 })),
      "Watch",
    );
  }
  const perPod = (heap() - before) / count;
  expect(cluster.view.counts.pods).toBe(count);
  process.stdout.write(
    `heap per cached pod: ${perPod.toFixed(0)} bytes (${count} pods of ${jsonBytes} bytes of JSON)\n`,
  );
  expect(perPod).toBeLessThan(1024);
});
