import { describe, expect, test } from "vitest";

import { ClusterViewFixture } from "../../../test/support/cluster-view-fixture.ts";
import { Sites } from "../../admission/sites.ts";
import { DnsServices, projectService } from "../../cluster/dns-service.ts";
import { PolicyAdmissionSnapshot } from "./admission-snapshot.ts";
import { projectPolicy } from "./compile.ts";
import { Policies } from "./policy-set.ts";

const KEEPALIVE = { time: "300s", interval: "30s", probes: 3 };

function policy(name: string, spec: Record<string, unknown>) {
  const metadata = { name, uid: name, resourceVersion: "1", generation: 1, creationTimestamp: "2026-01-01T00:00:00Z" };
  return projectPolicy({
    metadata,
    spec: { mode: "Enforce", registration: { registries: [{ name: "main" }] }, ...spec },
  });
}

function setUp(...specs: Record<string, unknown>[]) {
  const cluster = new ClusterViewFixture();
  const dns = new DnsServices();
  const server = { minor: 36 as number | undefined, subscribe: () => () => undefined };
  const objections = new Map<string, string>();
  const policies = new Policies((namespace) => cluster.view.namespaceLabels(namespace));
  cluster.view.subscribe((events) => {
    for (const event of events) if (event.kind === "Namespace") policies.namespaceChanged(event.name);
  });
  // The cluster's identity.
  cluster.namespace("kube-system");
  cluster.namespace("shop", "shop", { "kubernetes.io/metadata.name": "shop", team: "a" });
  policies.apply(specs.map((spec, i) => ({ type: "Added", object: policy(`p${i}`, spec), createdAfter: 0 })));
  const sites = new Sites({ cluster: cluster.view, dns, server, objections, clock: cluster.clock });
  const snapshot = (dryRun = false) => new PolicyAdmissionSnapshot(policies, sites, dryRun);
  const node = (kubeletVersion: string, labels = {}) =>
    cluster.nodes.set({
      metadata: { name: "n1", uid: "n1", resourceVersion: "1", labels },
      status: { nodeInfo: { operatingSystem: "linux", kubeletVersion, kernelVersion: "6.1.0" } },
    });
  return { cluster, dns, server, objections, policies, snapshot, node };
}

describe("the policy in charge of a pod that is being created", () => {
  const inCharge = (specs: Record<string, unknown>[], labels: Record<string, string> = {}, namespace = "shop") =>
    setUp(...specs)
      .snapshot()
      .inChargeOf(namespace, labels)?.policy.name;
  const dns = { dns: { ndots: 2 } };

  test("is the one that matches", () => {
    expect(inCharge([{ ...dns, match: { podSelector: { matchLabels: { app: "a" } } } }], { app: "a" })).toBe("p0");
  });

  test("is none where none matches", () => {
    expect(inCharge([{ ...dns, match: { podSelector: { matchLabels: { app: "a" } } } }], { app: "b" })).toBeUndefined();
  });

  test("is the one of the highest priority", () => {
    expect(inCharge([dns, { ...dns, priority: 5 }])).toBe("p1");
  });

  test("is none where the one of the highest priority only audits", () => {
    expect(inCharge([dns, { ...dns, priority: 5, mode: "Audit" }])).toBeUndefined();
  });

  test("is none where the one of the highest priority wants nothing of pods", () => {
    expect(inCharge([dns, { priority: 5 }])).toBeUndefined();
  });

  test("is none where it is paused", () => {
    expect(inCharge([{ ...dns, mode: "Paused" }])).toBeUndefined();
  });

  test("is none where its keepalive does not fit into a path and it wants nothing else", () => {
    const paths = [{ name: "lb", preset: "AWSNLB" }];
    expect(inCharge([{ keepalive: { ...KEEPALIVE, paths } }])).toBeUndefined();
    expect(inCharge([{ keepalive: KEEPALIVE }])).toBe("p0");
  });

  test("is chosen by the labels of its namespace", () => {
    const byTeam = (team: string) => ({ ...dns, match: { namespaceSelector: { matchLabels: { team } } } });
    expect(inCharge([byTeam("a")])).toBe("p0");
    expect(inCharge([byTeam("b")])).toBeUndefined();
  });

  test("is none in a namespace that is not known yet, where one of higher priority could match", () => {
    const byTeam = { ...dns, priority: 5, match: { namespaceSelector: { matchLabels: { team: "a" } } } };
    expect(inCharge([byTeam, dns], {}, "new")).toBeUndefined();
    expect(inCharge([dns], {}, "new")).toBe("p0");
  });

  test("is none with --dry-run", () => {
    expect(setUp(dns).snapshot(true).inChargeOf("shop", {})).toBeUndefined();
  });

  test("is none until the version of the API server is known", () => {
    const { server, snapshot } = setUp(dns);
    server.minor = undefined;
    expect(snapshot().inChargeOf("shop", {})).toBeUndefined();
  });
});

describe("where the pod will run", () => {
  const siteOf = ({ snapshot }: ReturnType<typeof setUp>, namespace = "shop") =>
    snapshot().inChargeOf(namespace, {})?.site;

  test("is known from the cluster", () => {
    const parts = setUp({ keepalive: KEEPALIVE });
    parts.node("v1.36.3");
    const metadata = { name: "kube-dns", namespace: "kube-system", uid: "s", resourceVersion: "1" };
    const object = projectService({ metadata, spec: { clusterIP: "10.96.0.10" } });
    parts.dns.apply([{ type: "Added", object, createdAfter: 0 }]);
    parts.objections.set("strict", "no sysctls here");
    parts.cluster.namespace("strict", "strict", { "kubernetes.io/metadata.name": "strict" });
    expect(siteOf(parts)).toEqual({
      namespace: "shop",
      namespaceLabels: { "kubernetes.io/metadata.name": "shop", team: "a" },
      serverMinor: 36,
      clusterNameservers: ["10.96.0.10"],
      sysctlObstacle: undefined,
      engineObjection: undefined,
    });
    expect(siteOf(parts, "strict")?.engineObjection).toBe("no sysctls here");
  });

  test("has an obstacle as soon as a node comes that is too old, and none when it is gone", () => {
    const parts = setUp({ keepalive: KEEPALIVE });
    expect(siteOf(parts)?.sysctlObstacle?.reason).toBe("NodesUnknown");
    parts.node("v1.36.3");
    expect(siteOf(parts)?.sysctlObstacle).toBeUndefined();
    parts.node("v1.28.9");
    expect(siteOf(parts)?.sysctlObstacle?.reason).toBe("NodeTooOld");
    parts.node("v1.29.0");
    expect(siteOf(parts)?.sysctlObstacle).toBeUndefined();
  });

  test("has an obstacle that names the labels of the node as they are now", () => {
    const parts = setUp({ keepalive: KEEPALIVE });
    const poolOf = () => siteOf(parts)?.sysctlObstacle?.nodeLabels?.get("pool")?.values;
    parts.node("v1.28.9", { pool: "old" });
    expect(poolOf()).toEqual(["old"]);
    parts.node("v1.28.9", { pool: "new" });
    expect(poolOf()).toEqual(["new"]);
  });

  test("may refuse sysctls in a namespace that is not known yet, though a policy is in charge of every namespace", () => {
    const parts = setUp({ keepalive: KEEPALIVE });
    parts.node("v1.36.3");
    expect(siteOf(parts, "new")?.sysctlObstacle?.reason).toBe("NamespaceUnknown");
    parts.cluster.namespace("new", "new", { "kubernetes.io/metadata.name": "new" });
    expect(siteOf(parts, "new")?.sysctlObstacle).toBeUndefined();
  });

  test("may refuse sysctls by what has changed since the cluster was last seen", () => {
    const parts = setUp({ keepalive: KEEPALIVE });
    parts.node("v1.36.3");
    parts.cluster.freshness.namespaces = { caughtUpTo: parts.cluster.now - 60_000 };
    expect(siteOf(parts)?.sysctlObstacle).toEqual({
      reason: "ViewNotFresh",
      message: "nodes and namespaces may have changed: namespaces are 60 s old",
    });
    parts.cluster.freshness.namespaces = {};
    expect(siteOf(parts)?.sysctlObstacle).toBeUndefined();
  });

  test("takes an older kernel for a policy without finTimeout", () => {
    const parts = setUp({ keepalive: KEEPALIVE, priority: 1 }, { keepalive: { ...KEEPALIVE, finTimeout: "30s" } });
    const nodeInfo = { operatingSystem: "linux", kubeletVersion: "v1.36.3", kernelVersion: "4.5.0" };
    parts.cluster.nodes.set({ metadata: { name: "n1", uid: "n1", resourceVersion: "1" }, status: { nodeInfo } });
    expect(siteOf(parts)?.sysctlObstacle).toBeUndefined();
    parts.policies.apply([{ type: "Deleted", object: policy("p0", {}), final: true }]);
    expect(siteOf(parts)?.sysctlObstacle?.reason).toBe("NodeTooOld");
  });

  test("looks at the nodes once for many pods", () => {
    const parts = setUp({ keepalive: KEEPALIVE });
    parts.node("v1.36.3");
    const { view } = parts.cluster;
    const nodes = view.nodes.bind(view);
    let looks = 0;
    view.nodes = () => {
      looks++;
      return nodes();
    };
    const snapshot = parts.snapshot();
    for (let i = 0; i < 100; i++) snapshot.inChargeOf("shop", {});
    expect(looks).toBe(1);
  });
});
