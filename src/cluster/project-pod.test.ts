import { describe, expect, it } from "vitest";

import { rawPod } from "../../test/support/cluster-view-fixture.ts";
import { PodProjector } from "./project-pod.ts";
import type { PodRecord } from "./types.ts";

const project = (raw: object): PodRecord => new PodProjector().project(raw);
const done = { terminated: { exitCode: 0 } };
const running = { running: {} };
const waiting = { waiting: { reason: "PodInitializing" } };

interface Containers {
  readonly containers: readonly object[];
  readonly initContainers?: readonly object[];
  readonly containerStatuses?: readonly object[];
  readonly initContainerStatuses?: readonly object[];
  readonly phase?: string;
}

function podOf({ containers, initContainers, phase = "Running", ...statuses }: Containers): object {
  return { metadata: { uid: "u", name: "p" }, spec: { containers, initContainers }, status: { phase, ...statuses } };
}

describe("a projected pod is terminated only when nothing of it can run", () => {
  const a = { name: "a" };
  const b = { name: "b" };
  const sidecar = { name: "s", restartPolicy: "Always" };
  const cases: Record<string, [Containers, boolean]> = {
    "its only container has terminated": [{ containers: [a], containerStatuses: [{ ...a, state: done }] }, true],
    "its only container runs": [{ containers: [a], containerStatuses: [{ ...a, state: running }] }, false],
    "one of two containers still runs": [
      {
        containers: [a, b],
        containerStatuses: [
          { ...a, state: done },
          { ...b, state: running },
        ],
      },
      false,
    ],
    "one of two containers has no status": [
      { containers: [a, b], containerStatuses: [{ ...a, state: done }], phase: "Failed" },
      false,
    ],
    "no container was ever started": [{ containers: [a] }, false],
    "no container was ever started and the phase is Failed": [{ containers: [a], phase: "Failed" }, false],
    "the phase is Failed and its container waits": [
      { containers: [a], containerStatuses: [{ ...a, state: waiting }], phase: "Failed" },
      false,
    ],
    "the phase is Succeeded and its container waits": [
      { containers: [a], containerStatuses: [{ ...a, state: waiting }], phase: "Succeeded" },
      false,
    ],
    "a status without a state": [{ containers: [a], containerStatuses: [a] }, false],
    "its sidecar still runs": [
      {
        containers: [a],
        initContainers: [sidecar],
        containerStatuses: [{ ...a, state: done }],
        initContainerStatuses: [{ name: "s", state: running }],
      },
      false,
    ],
    "its sidecar has no status": [
      { containers: [a], initContainers: [sidecar], containerStatuses: [{ ...a, state: done }] },
      false,
    ],
    "its sidecar has terminated as well": [
      {
        containers: [a],
        initContainers: [sidecar],
        containerStatuses: [{ ...a, state: done }],
        initContainerStatuses: [{ name: "s", state: done }],
      },
      true,
    ],
    "an init container that runs once is not asked": [
      { containers: [a], initContainers: [b], containerStatuses: [{ ...a, state: done }] },
      true,
    ],
    "only the init container has terminated": [
      {
        containers: [a],
        initContainers: [b],
        containerStatuses: [{ ...a, state: waiting }],
        initContainerStatuses: [{ ...b, state: done }],
      },
      false,
    ],
    "the spec names no container": [{ containers: [] }, false],
  };
  it.each(Object.entries(cases))("%s", (_, [containers, expected]) => {
    expect(project(podOf(containers)).terminated).toBe(expected);
  });
});

describe("a projected pod's addresses", () => {
  it("are canonical, each once, the primary first, whatever is no address left out", () => {
    const pod = project(rawPod({ name: "p", ips: ["10.42.0.7", "FD00:0::7", "::ffff:10.42.0.7", "10.42.0.7%eth0"] }));
    expect(pod.addresses).toEqual(["10.42.0.7", "fd00::7"]);
  });

  it("come from podIP where podIPs is missing", () => {
    expect(project({ metadata: {}, status: { podIP: "10.42.0.7", hostIP: "10.0.0.1" } })).toMatchObject({
      addresses: ["10.42.0.7"],
      hostAddresses: ["10.0.0.1"],
    });
  });
});

describe("a projected pod's ports", () => {
  it("keep the host port that was asked for", () => {
    const pod = project(rawPod({ name: "p", ports: [{ name: "http", containerPort: 80, hostPort: 8080 }] }));
    expect(pod.ports).toEqual([{ port: 80, hostPort: 8080, name: "http" }]);
  });

  it("are ports of the node on the host network, also without a host port", () => {
    const pod = project(rawPod({ name: "p", hostNetwork: true, ports: [{ containerPort: 9100 }] }));
    expect(pod.ports).toEqual([{ port: 9100, hostPort: 9100, name: "" }]);
  });

  it("include those of sidecars and not those of other init containers", () => {
    const pod = project({
      spec: {
        containers: [{ name: "a", ports: [{ containerPort: 1 }] }],
        initContainers: [
          { name: "b", restartPolicy: "Always", ports: [{ containerPort: 2 }] },
          { name: "c", ports: [{ containerPort: 3 }] },
        ],
      },
    });
    expect(pod.ports.map(({ port }) => port)).toEqual([1, 2]);
  });
});

describe("a projected pod's workload", () => {
  const owned = (kind: string, name: string, labels: object = {}, controller = true): object => ({
    metadata: { uid: "u", namespace: "shop", name: "p", labels, ownerReferences: [{ kind, name, controller }] },
  });
  const cases: Record<string, [object, string]> = {
    "is its own UID without an owner": [{ metadata: { uid: "u", name: "p" } }, "u"],
    "is its own UID when no owner controls it": [owned("Widget", "w", {}, false), "u"],
    "is the Deployment behind a ReplicaSet": [
      owned("ReplicaSet", "web-5d4f", { "pod-template-hash": "5d4f" }),
      "shop/Deployment/web",
    ],
    "is the ReplicaSet when its name does not end in the hash": [
      owned("ReplicaSet", "web", { "pod-template-hash": "5d4f" }),
      "shop/ReplicaSet/web",
    ],
    "is the ReplicaSet without a hash": [owned("ReplicaSet", "web-5d4f"), "shop/ReplicaSet/web-5d4f"],
    "is the StatefulSet": [owned("StatefulSet", "db"), "shop/StatefulSet/db"],
    "is the Job, also one that a CronJob made": [owned("Job", "report-29384756"), "shop/Job/report-29384756"],
  };
  it.each(Object.entries(cases))("%s", (_, [raw, expected]) => {
    expect(project(raw).workload).toBe(expected);
  });
});

describe("a projected pod's DNS names", () => {
  const long = "x".repeat(62);
  const cases: Record<string, [Parameters<typeof rawPod>[0], string[]]> = {
    "are none without a subdomain": [{ name: "web-1", hostname: "web-1" }, []],
    "are host name, subdomain and namespace": [
      { name: "db-0", hostname: "db-0", subdomain: "db", namespace: "data" },
      ["db-0.db.data"],
    ],
    "take the pod's name where it has no host name": [
      { name: "db-0", subdomain: "db", namespace: "data" },
      ["db-0.db.data"],
    ],
    "cut a long pod name as the kubelet does": [
      { name: `${long}-0`, subdomain: "db", namespace: "data" },
      [`${long}.db.data`],
    ],
  };
  it.each(Object.entries(cases))("%s", (_, [spec, expected]) => {
    expect(project(rawPod(spec)).dnsNames).toEqual(expected);
  });
});

describe("the name that a pod is made to call itself by", () => {
  const cases: Record<string, [string | undefined, string | undefined]> = {
    "is none when nothing overrides it": [undefined, undefined],
    "is kept where it looks like a pod's in DNS": ["db-0.db.data", "db-0.db.data"],
    "is kept without what follows svc": ["db-0.db.data.svc.cluster.local", "db-0.db.data"],
    "is not kept with one label, which may be anybody's": ["db-0", undefined],
    "is not kept with two, which are a Service's": ["db.data", undefined],
    "is not kept where it can not be a pod's": ["db-0.db.example.com", undefined],
  };
  it.each(Object.entries(cases))("%s", (_, [hostnameOverride, expected]) => {
    const pod = project(rawPod({ name: "p", ...(hostnameOverride !== undefined && { hostnameOverride }) }));
    expect(pod).toMatchObject({ nameOverride: expected, dnsNames: [] });
  });
});

describe("a projected pod's labels and annotations", () => {
  it("share one object between pods with equal labels, in whatever order", () => {
    const projector = new PodProjector();
    const a = projector.project(rawPod({ name: "a", labels: { app: "web", tier: "front" } }));
    const b = projector.project(rawPod({ name: "b", labels: { tier: "front", app: "web" } }));
    expect(a.labels).toBe(b.labels);
    expect(a.labels).toEqual({ app: "web", tier: "front" });
  });

  it("hold nothing but the pod's labels, even for names that objects inherit", () => {
    expect(project(rawPod({ name: "a" })).labels.constructor).toBeUndefined();
    expect(project(rawPod({ name: "a", labels: { constructor: "x" } })).labels.constructor).toBe("x");
  });

  it("keep the pod's own name as a label's value without confusing pods", () => {
    const projector = new PodProjector();
    const named = (name: string): PodRecord => projector.project(rawPod({ name, labels: { pod: name } }));
    expect([named("a").labels, named("b").labels]).toEqual([{ pod: "a" }, { pod: "b" }]);
  });

  it("keep only the annotations that are asked for and our own, and none that is too long to be a name", () => {
    const projector = new PodProjector();
    const annotations = { service: "orders", long: "x".repeat(513), other: "y", "hygeia.dev/ignore": "true" };
    const raw = rawPod({ name: "a", annotations: { ...annotations, "evil-hygeia.dev/x": "z" } });
    expect(projector.project(raw).annotations).toEqual({ "hygeia.dev/ignore": "true" });
    expect(projector.keepAnnotations(["service", "long"])).toBe(true);
    expect(projector.project(raw).annotations).toEqual({ service: "orders", "hygeia.dev/ignore": "true" });
    expect(projector.keepAnnotations(["service"])).toBe(false);
  });

  it("have another version whenever an annotation more is kept, also one that was kept before", () => {
    const projector = new PodProjector();
    const versions = [["a"], ["a"], [], ["a"], ["a", "b"]].map((keys) => {
      projector.keepAnnotations(keys);
      return projector.version();
    });
    expect(versions).toEqual([1, 1, 1, 2, 3]);
  });
});

describe("a projected pod", () => {
  it("of an empty object knows nothing and ends nothing", () => {
    expect(project({})).toEqual({
      uid: "",
      namespace: "",
      name: "",
      resourceVersion: "",
      phase: "Unknown",
      deleting: false,
      terminated: false,
      ready: false,
      node: "",
      hostNetwork: false,
      graceMs: 30_000,
      addresses: [],
      hostAddresses: [],
      ports: [],
      labels: {},
      annotations: {},
      workload: "",
      dnsNames: [],
      nameOverride: undefined,
      template: '{"metadata":{},"spec":{"containers":[]}}',
    });
  });

  it("says deleting, ready, phase, node and grace period", () => {
    const raw = rawPod({ name: "p", deleting: true, phase: "Pending", node: "n", graceSeconds: 7 }) as {
      status: object;
    };
    Object.assign(raw.status, { conditions: [{ type: "Ready", status: "True" }] });
    expect(project(raw)).toMatchObject({ deleting: true, ready: true, phase: "Pending", node: "n", graceMs: 7000 });
  });
});
