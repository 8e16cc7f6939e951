import { describe, expect, it } from "vitest";

import { ClusterViewFixture, rawNode, rawPod, type PodSpec } from "../../test/support/cluster-view-fixture.ts";
import type { AddressView } from "./types.ts";

function names(view: AddressView | undefined): { live: string[]; dead: string[] } | undefined {
  return (
    view && { live: view.live.map(({ pod }) => pod.name).sort(), dead: view.tombstones.map(({ pod }) => pod.name) }
  );
}

describe("a pod's address", () => {
  it("finds the pod by each of its addresses, at any port", () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.set(rawPod({ name: "web-1", ips: ["10.42.0.7", "fd00::7"] }));
    for (const ip of ["10.42.0.7", "fd00::7"]) {
      expect(names(cluster.view.lookup(ip, 1))).toEqual({ live: ["web-1"], dead: [] });
      expect(cluster.view.lookup(ip, 1).nodeAddress).toBe(false);
    }
    expect(names(cluster.view.lookup("10.42.0.8", 8080))).toEqual({ live: [], dead: [] });
  });

  it("that is used anew belongs to the new pod, beside the tombstone of the old", () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.set(rawPod({ name: "old", ips: ["10.42.0.7"] }));
    cluster.pods.set(rawPod({ name: "old", ips: ["10.42.0.7"], phase: "Failed", container: "terminated" }));
    cluster.pods.set(rawPod({ name: "new", ips: ["10.42.0.7"] }), 77);
    expect(names(cluster.view.lookup("10.42.0.7", 80))).toEqual({ live: ["new"], dead: ["old"] });
    expect(cluster.view.lookup("10.42.0.7", 80).live[0]).toMatchObject({ createdAfter: 77, seenAt: cluster.now });
  });

  it("that two living pods claim finds both until one of them is gone", () => {
    const cluster = new ClusterViewFixture();
    for (const name of ["a", "b", "c"]) cluster.pods.set(rawPod({ name, ips: ["10.42.0.7"] }));
    cluster.pods.delete(rawPod({ name: "b", ips: ["10.42.0.7"] }));
    expect(names(cluster.view.lookup("10.42.0.7", 80))).toEqual({ live: ["a", "c"], dead: ["b"] });
    cluster.pods.delete(rawPod({ name: "a", ips: ["10.42.0.7"] }));
    expect(names(cluster.view.lookup("10.42.0.7", 80))?.live).toEqual(["c"]);
  });

  it("moves with the pod, one family at a time", () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.set(rawPod({ name: "web-1", ips: ["10.42.0.7", "fd00::7"] }));
    cluster.pods.set(rawPod({ name: "web-1", ips: ["10.42.0.7", "fd00::8"] }));
    expect(names(cluster.view.lookup("10.42.0.7", 80))).toEqual({ live: ["web-1"], dead: [] });
    expect(names(cluster.view.lookup("fd00::7", 80))).toEqual({ live: [], dead: ["web-1"] });
    expect(names(cluster.view.lookup("fd00::8", 80))).toEqual({ live: ["web-1"], dead: [] });
  });

  it("survives the late end of an older pod of the same name", () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.set(rawPod({ name: "db-0", uid: "old", ips: ["10.42.0.7"] }));
    cluster.pods.set(rawPod({ name: "db-0", uid: "new", ips: ["10.42.0.7"] }));
    cluster.pods.delete(rawPod({ name: "db-0", uid: "old", ips: ["10.42.0.7"] }));
    const { live, tombstones } = cluster.view.lookup("10.42.0.7", 80);
    expect(live.map(({ pod }) => pod.uid)).toEqual(["new"]);
    expect(tombstones.map(({ pod }) => pod.uid)).toEqual(["old"]);
  });
});

describe("a node's address", () => {
  const agent: PodSpec = {
    name: "agent",
    hostNetwork: true,
    ips: ["10.0.0.1"],
    hostIPs: ["10.0.0.1"],
    ports: [{ containerPort: 9100 }],
  };
  const web: PodSpec = {
    name: "web",
    ips: ["10.42.0.7"],
    hostIPs: ["10.0.0.1"],
    ports: [{ containerPort: 80, hostPort: 8080 }],
  };

  function clusterWith(...pods: PodSpec[]): ClusterViewFixture {
    const cluster = new ClusterViewFixture();
    cluster.nodes.set(rawNode({ name: "node-1", addresses: ["10.0.0.1", "203.0.113.9", "node-1.example"] }));
    for (const pod of pods) cluster.pods.set(rawPod(pod));
    return cluster;
  }

  it("finds only the pods that declare the port on the node", () => {
    const cluster = clusterWith(agent, web);
    expect(cluster.view.lookup("10.0.0.1", 9100).nodeAddress).toBe(true);
    expect(names(cluster.view.lookup("10.0.0.1", 9100))).toEqual({ live: ["agent"], dead: [] });
    expect(names(cluster.view.lookup("10.0.0.1", 8080))).toEqual({ live: ["web"], dead: [] });
    expect(names(cluster.view.lookup("10.0.0.1", 80))).toEqual({ live: [], dead: [] });
    expect(names(cluster.view.lookup("10.0.0.1", 0))).toEqual({ live: [], dead: [] });
  });

  it("may be any address of the Node", () => {
    expect(names(clusterWith(agent).view.lookup("203.0.113.9", 9100))).toEqual({ live: ["agent"], dead: [] });
  });

  it("is known from the pods' hostIPs where there is no Node object", () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.set(rawPod(web));
    expect(cluster.view.lookup("10.0.0.1", 8080)).toMatchObject({ nodeAddress: true });
    expect(names(cluster.view.lookup("10.0.0.1", 8080))?.live).toEqual(["web"]);
  });

  it("does not find a pod of another node that declares the same port", () => {
    const cluster = clusterWith(agent);
    cluster.pods.set(rawPod({ ...agent, name: "other", node: "node-2", ips: ["10.0.0.2"], hostIPs: ["10.0.0.2"] }));
    expect(names(cluster.view.lookup("10.0.0.1", 9100))?.live).toEqual(["agent"]);
  });

  it("finds a dead pod by the port it declared, also when the node is gone", () => {
    const cluster = clusterWith(agent);
    cluster.pods.delete(rawPod(agent));
    cluster.nodes.list([]);
    for (const ip of ["10.0.0.1", "203.0.113.9"]) {
      expect(cluster.view.lookup(ip, 9100).nodeAddress).toBe(true);
      expect(names(cluster.view.lookup(ip, 9100))).toEqual({ live: [], dead: ["agent"] });
      expect(names(cluster.view.lookup(ip, 9101))).toEqual({ live: [], dead: [] });
    }
  });

  it("becomes a pod's when the node is gone and a pod has the address, and is no longer remembered after a day", async () => {
    const cluster = clusterWith(agent);
    cluster.pods.delete(rawPod(agent));
    cluster.nodes.list([]);
    cluster.pods.set(rawPod({ name: "next", node: "node-2", ips: ["203.0.113.9"] }));
    expect(cluster.view.lookup("203.0.113.9", 80).nodeAddress).toBe(false);
    expect(names(cluster.view.lookup("203.0.113.9", 80))?.live).toEqual(["next"]);
    await cluster.advance(24 * 3_600_000 + 1);
    cluster.nodes.set(rawNode({ name: "node-2", addresses: ["10.0.0.2"] }));
    cluster.nodes.list([]);
    expect(cluster.view.lookup("10.0.0.1", 80).nodeAddress).toBe(false);
  });

  it("becomes a pod's when the last pod on the node that named it is gone, however often that was updated", () => {
    const cluster = new ClusterViewFixture();
    for (const phase of ["Pending", "Running", "Running"]) cluster.pods.set(rawPod({ ...web, phase }));
    cluster.pods.delete(rawPod(web));
    cluster.pods.set(rawPod({ name: "next", ips: ["10.0.0.1"] }));
    expect(cluster.view.lookup("10.0.0.1", 8080).nodeAddress).toBe(false);
  });

  it("is not spoken for by the death of a pod that had it before the node did", () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.set(rawPod({ name: "before", ips: ["10.0.0.1"] }));
    cluster.pods.delete(rawPod({ name: "before", ips: ["10.0.0.1"] }));
    cluster.nodes.set(rawNode({ name: "node-1", addresses: ["10.0.0.1"] }));
    expect(names(cluster.view.lookup("10.0.0.1", 9100))).toEqual({ live: [], dead: [] });
  });

  it("protects a pod that has it as its own, whatever the port", () => {
    const cluster = clusterWith(agent);
    cluster.pods.set(rawPod({ name: "odd", ips: ["10.0.0.1"] }));
    expect(names(cluster.view.lookup("10.0.0.1", 7))).toEqual({ live: ["odd"], dead: [] });
    expect(names(cluster.view.lookup("10.0.0.1", 9100))?.live).toEqual(["agent", "odd"]);
  });

  it("is among the addresses of an event of a pod with a node port", () => {
    const cluster = clusterWith(web);
    expect(cluster.events.at(-1)).toMatchObject({ addresses: ["10.42.0.7", "10.0.0.1", "203.0.113.9"] });
  });

  it("stays a node's while one of several that say so is left", () => {
    const cluster = clusterWith(web);
    cluster.nodes.set(rawNode({ name: "node-1", addresses: ["10.0.0.5"] }));
    expect(names(cluster.view.lookup("10.0.0.1", 8080))?.live).toEqual(["web"]);
    expect(names(cluster.view.lookup("10.0.0.5", 8080))?.live).toEqual(["web"]);
    expect(names(cluster.view.lookup("203.0.113.9", 8080))?.live).toEqual([]);
  });
});

describe("a host name", () => {
  const db: PodSpec = { name: "db-0", namespace: "data", hostname: "db-0", subdomain: "db", ips: ["10.42.3.17"] };
  const known = { live: ["db-0"], dead: [] };
  const empty = { live: [], dead: [] };
  const cases: Record<string, [string, ReturnType<typeof names>]> = {
    "with the cluster domain finds the pod": ["db-0.db.data.svc.cluster.local", known],
    "with a dot at the end finds the pod": ["db-0.db.data.svc.cluster.local.", known],
    "in capitals finds the pod": ["DB-0.db.data.SVC", known],
    "with svc finds the pod": ["db-0.db.data.svc", known],
    "without a suffix finds a pod we know": ["db-0.db.data", known],
    "without a suffix is not a pod's when we know none": ["db.example.com", undefined],
    "with svc may be a pod's though we know none": ["db-1.db.data.svc", empty],
    "of the pod form finds the pod by its address": ["10-42-3-17.data.pod", known],
    "of the pod form with the cluster domain finds it too": ["10-42-3-17.data.pod.cluster.local", known],
    "of the pod form protects whoever has the address": ["10-42-3-17.shop.pod", known],
    "of the pod form may be a pod's though we know none": ["10-42-3-18.data.pod", empty],
    "of an endpoint without a host name finds the pod by its address": ["10-42-3-17.db.data.svc", known],
    "of the pod form without an address is nothing": ["db-0.data.pod", undefined],
    "of a Service is not a pod's": ["db.data.svc.cluster.local", undefined],
    "of another domain is not a pod's": ["db-0.db.data.svc.other.example", undefined],
    "in the cluster domain without svc or pod is not a pod's": ["db-0.db.data.cluster.local", undefined],
    "of one label is not a pod's": ["db-0", undefined],
    "with an empty label is not a pod's": ["db-0..data.svc", undefined],
    "that is empty is not a pod's": ["", undefined],
  };
  it.each(Object.entries(cases))("%s", (_, [host, expected]) => {
    const cluster = new ClusterViewFixture();
    cluster.pods.set(rawPod(db));
    expect(names(cluster.view.lookupHost(host))).toEqual(expected);
  });

  it("finds the dead pod, by the pod form only under the namespace it died in", () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.set(rawPod(db));
    cluster.pods.delete(rawPod(db));
    const dead = { live: [], dead: ["db-0"] };
    expect(names(cluster.view.lookupHost("db-0.db.data"))).toEqual(dead);
    expect(names(cluster.view.lookupHost("10-42-3-17.data.pod"))).toEqual(dead);
    expect(names(cluster.view.lookupHost("10-42-3-17.shop.pod"))).toEqual(empty);
  });

  it("that a living pod calls itself protects it, though the pod whose name it is in DNS is dead", () => {
    const cluster = new ClusterViewFixture();
    const heir: PodSpec = { name: "heir", namespace: "data", hostnameOverride: "db-0.db.data", ips: ["10.42.3.18"] };
    cluster.pods.set(rawPod(db));
    cluster.pods.set(rawPod(heir));
    cluster.pods.delete(rawPod(db));
    expect(names(cluster.view.lookupHost("db-0.db.data.svc.cluster.local"))).toEqual({
      live: ["heir"],
      dead: ["db-0"],
    });
    const told = cluster.events.find((event) => event.kind === "Pod" && event.pod.name === "heir");
    expect(told?.kind === "Pod" && told.hosts).toContain("db-0.db.data.svc");
  });

  it("that a pod called itself is nobody's once it is dead", () => {
    const cluster = new ClusterViewFixture();
    const pod = rawPod({ name: "p", namespace: "data", hostnameOverride: "db-0.db.data", ips: ["10.42.3.18"] });
    cluster.pods.set(pod);
    cluster.pods.delete(pod);
    expect(names(cluster.view.lookupHost("db-0.db.data"))).toBeUndefined();
    expect(names(cluster.view.lookupHost("db-0.db.data.svc"))).toEqual(empty);
  });

  it("of one label is nobody's, though a pod that called itself so is dead", () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.set(rawPod(db));
    cluster.pods.delete(rawPod(db));
    expect(names(cluster.view.lookupHost("db-0"))).toBeUndefined();
  });

  it("spells IPv6 addresses with dashes", () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.set(rawPod({ name: "p", ips: ["fd00::1:2"] }));
    expect(names(cluster.view.lookupHost("fd00--1-2.shop.pod"))?.live).toEqual(["p"]);
  });

  it("is found by every spelling that an event names", () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.set(rawPod({ ...db, ips: ["10.42.3.17", "::1:2"] }));
    const [event] = cluster.events;
    const hosts = event?.kind === "Pod" ? event.hosts : [];
    expect(hosts).toHaveLength(7);
    for (const host of hosts) expect(names(cluster.view.lookupHost(host)), host).toEqual(known);
  });
});

describe("a slice", () => {
  const slice = (endpoints: object[], uid = "slice-1"): object => ({ metadata: { name: uid, uid }, endpoints });
  const endpoint = (ip: string, uid: string, ready?: boolean): object => ({
    addresses: [ip],
    targetRef: { kind: "Pod", uid },
    ...(ready !== undefined && { conditions: { ready } }),
  });

  it("bears witness of the pod behind an address, ready unless it says otherwise", () => {
    const cluster = new ClusterViewFixture();
    cluster.slices.set(slice([endpoint("10.42.0.7", "a", false), endpoint("FD00:0::7", "b")]));
    expect(cluster.view.witnesses("10.42.0.7")).toMatchObject([{ podUid: "a", ready: false }]);
    expect(cluster.view.witnesses("fd00::7")).toMatchObject([{ podUid: "b", ready: true }]);
    expect(cluster.view.witnesses("10.42.0.8")).toEqual([]);
  });

  it("stops doing so when the endpoint or the slice goes", () => {
    const cluster = new ClusterViewFixture();
    cluster.slices.set(slice([endpoint("10.42.0.7", "a"), endpoint("10.42.0.8", "b")]));
    cluster.slices.set(slice([endpoint("10.42.0.7", "a")], "slice-2"));
    cluster.slices.set(slice([endpoint("10.42.0.8", "b")]));
    expect(cluster.view.witnesses("10.42.0.7")).toHaveLength(1);
    cluster.slices.list([]);
    expect(cluster.view.witnesses("10.42.0.7")).toEqual([]);
    expect(cluster.view.witnesses("10.42.0.8")).toEqual([]);
  });

  it("names no pod where it refers to something else, and skips what is no address", () => {
    const cluster = new ClusterViewFixture();
    cluster.slices.set(
      slice([{ addresses: ["10.42.0.7"], targetRef: { kind: "Node", uid: "n" } }, { addresses: ["x"] }]),
    );
    expect(cluster.view.witnesses("10.42.0.7")).toMatchObject([{ podUid: "" }]);
  });
});
