import { Sites } from "../../src/admission/sites.ts";
import type { AdmissionSnapshot } from "../../src/admission/types.ts";
import { DnsServices } from "../../src/cluster/dns-service.ts";
import { PolicyAdmissionSnapshot } from "../../src/controllers/policy/admission-snapshot.ts";
import { projectPolicy } from "../../src/controllers/policy/compile.ts";
import { Policies } from "../../src/controllers/policy/policy-set.ts";
import { ClusterViewFixture } from "../support/cluster-view-fixture.ts";

/** Labels of the pods that the policy behind all others is in charge of. */
export const BENCH_LABELS = { app: "web", tier: "bench" } as const;

/** How many policies there are; half of them select pods of the namespace. */
const POLICIES = 50;
const NODES = 100;

/** Wants something of every part of a pod. */
const wanted = {
  mode: "Enforce",
  dns: { ndots: 2, searches: ["infra.example"], goResolver: "Go", goContainers: ["app"] },
  keepalive: { time: "300s", interval: "30s", probes: 3 },
  lifecycle: { terminationGracePeriodSeconds: 60, preStopSleepSeconds: 5 },
};

function policy(name: string, priority: number, match: object) {
  const metadata = { name, uid: name, resourceVersion: "1", generation: 1, creationTimestamp: "2026-01-01T00:00:00Z" };
  return projectPolicy({ metadata, spec: { ...wanted, priority, match } });
}

/** The operator's own way from a pod to its policy and site, with many policies, of which the last matches. */
export function benchSnapshot(namespace: string): AdmissionSnapshot {
  const cluster = new ClusterViewFixture();
  // The cluster's identity.
  cluster.namespace("kube-system");
  cluster.namespace(namespace, namespace, { "kubernetes.io/metadata.name": namespace, team: "bench" });
  for (let i = 0; i < NODES; i++) {
    cluster.nodes.set({
      metadata: { name: `node-${i}`, uid: `node-${i}`, resourceVersion: `${i + 1}` },
      status: { nodeInfo: { operatingSystem: "linux", kubeletVersion: "v1.36.3", kernelVersion: "6.1.0" } },
    });
  }
  const policies = new Policies((name) => cluster.view.namespaceLabels(name));
  const others = Array.from({ length: POLICIES - 1 }, (_, i) =>
    policy(`other-${i}`, POLICIES - i, {
      namespaceSelector: { matchLabels: { team: i % 2 === 0 ? "bench" : `team-${i}` } },
      podSelector: {
        matchLabels: { app: "web" },
        matchExpressions: [{ key: "tier", operator: "In", values: [`tier-${i}`, `tier-${i + 1}`] }],
      },
    }),
  );
  const last = policy("bench", 0, { podSelector: { matchLabels: BENCH_LABELS } });
  policies.apply([...others, last].map((object) => ({ type: "Added", object, createdAfter: -Infinity })));
  const sites = new Sites({
    cluster: cluster.view,
    dns: new DnsServices(),
    server: { minor: 36, subscribe: () => () => undefined },
    objections: new Map(),
    clock: cluster.clock,
  });
  return new PolicyAdmissionSnapshot(policies, sites, false);
}
