import { describe, expect, it } from "vitest";

import {
  ClusterViewFixture,
  rawNode,
  rawPod,
  type NodeSpec,
  type PodSpec,
} from "../../test/support/cluster-view-fixture.ts";

const minute = 60_000;
const day = 24 * 60 * minute;

describe("a node", () => {
  it("has the time of the last change of its readiness", async () => {
    const cluster = new ClusterViewFixture();
    cluster.nodes.set(rawNode({ name: "n", podCIDRs: ["10.42.0.9/24", "fd00:0::/64"], addresses: ["FD01::1"] }));
    await cluster.advance(5000);
    cluster.nodes.set(rawNode({ name: "n", podCIDRs: ["10.42.0.9/24"], addresses: ["FD01::1"] }));
    expect(cluster.view.node("n")).toMatchObject({
      ready: true,
      since: cluster.now - 5000,
      addresses: ["fd01::1"],
      podCIDRs: ["10.42.0.0/24"],
      outOfService: false,
    });
    cluster.nodes.set(rawNode({ name: "n", ready: false, outOfService: true }));
    expect(cluster.view.node("n")).toMatchObject({ ready: false, since: cluster.now, outOfService: true });
    expect(cluster.view.nodeCounts).toEqual({ total: 1, ready: 0 });
    cluster.nodes.list([]);
    expect(cluster.view.node("n")).toBeUndefined();
    expect(cluster.view.nodeCounts).toEqual({ total: 0, ready: 0 });
  });

  it("is not taken away by the late end of an older one of the same name", () => {
    const cluster = new ClusterViewFixture();
    const old = rawNode({ name: "n" });
    cluster.nodes.set(old);
    cluster.nodes.set({ ...rawNode({ name: "n" }), metadata: { name: "n", uid: "new" } });
    cluster.nodes.delete(old);
    expect(cluster.view.node("n")).toBeDefined();
  });
});

describe("a node has returned", () => {
  const returnedAt = (cluster: ClusterViewFixture): number | undefined => cluster.view.node("n")?.returnedAt;

  it("never, while it stays Ready", async () => {
    const cluster = new ClusterViewFixture();
    cluster.nodes.set(rawNode({ name: "n" }));
    await cluster.advance(minute);
    cluster.nodes.set(rawNode({ name: "n", podCIDRs: ["10.42.0.0/24"] }));
    expect(returnedAt(cluster)).toBeUndefined();
  });

  it("when it is Ready again, not when it stops being so", async () => {
    const cluster = new ClusterViewFixture();
    cluster.nodes.set(rawNode({ name: "n" }));
    await cluster.advance(minute);
    cluster.nodes.set(rawNode({ name: "n", ready: false }));
    expect(returnedAt(cluster)).toBeUndefined();
    await cluster.advance(minute);
    cluster.nodes.set(rawNode({ name: "n" }));
    expect(returnedAt(cluster)).toBe(cluster.now);
  });

  it("when it becomes Ready and was there before we were", () => {
    const cluster = new ClusterViewFixture();
    cluster.nodes.list([rawNode({ name: "n", ready: false })]);
    cluster.nodes.set(rawNode({ name: "n" }));
    expect(returnedAt(cluster)).toBe(cluster.now);
  });

  it("when it comes back under its name", async () => {
    const cluster = new ClusterViewFixture();
    cluster.nodes.set(rawNode({ name: "n", ready: false }));
    cluster.nodes.delete(rawNode({ name: "n" }));
    await cluster.advance(minute);
    cluster.nodes.set(rawNode({ name: "n" }));
    expect(returnedAt(cluster)).toBe(cluster.now);
  });

  /** A node comes, and is Ready a second later. */
  async function joins(cluster: ClusterViewFixture): Promise<void> {
    await cluster.advance(minute);
    cluster.nodes.set(rawNode({ name: "n", ready: false }), cluster.now - 1000);
    await cluster.advance(1000);
    cluster.nodes.set(rawNode({ name: "n" }));
  }

  it("not when it becomes Ready for the first time", async () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.list([rawPod({ name: "web-1", node: "another", ips: ["10.42.0.7"] })]);
    await joins(cluster);
    expect(returnedAt(cluster)).toBeUndefined();
  });

  it("when pods are bound to its name already: it was deleted while nobody looked", async () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.list([rawPod({ name: "web-1", node: "n", ips: ["10.42.0.7"] })]);
    await joins(cluster);
    expect(returnedAt(cluster)).toBe(cluster.now);
  });

  it("not when the pods that were bound to its name are gone", async () => {
    const cluster = new ClusterViewFixture();
    const pod = rawPod({ name: "web-1", node: "n", ips: ["10.42.0.7"] });
    cluster.pods.list([pod]);
    cluster.pods.set(pod);
    cluster.pods.delete(pod);
    await joins(cluster);
    expect(returnedAt(cluster)).toBeUndefined();
  });

  it("when no list of pods has come that could tell", async () => {
    const cluster = new ClusterViewFixture();
    await joins(cluster);
    expect(returnedAt(cluster)).toBe(cluster.now);
  });
});

describe("the pod network", () => {
  it("is what the nodes say now, in both families and at every length", () => {
    const cluster = new ClusterViewFixture();
    cluster.nodes.set(rawNode({ name: "a", podCIDRs: ["10.42.0.0/24", "fd00:42::/64"] }));
    cluster.nodes.set(rawNode({ name: "b", podCIDRs: ["10.43.0.0/20"] }));
    cluster.nodes.set(rawNode({ name: "c", podCIDRs: ["10.43.0.0/20"] }));
    const inside = (ip: string): boolean => cluster.view.inPodNetwork(ip);
    expect(["10.42.0.255", "fd00:42::1", "10.43.15.255"].map(inside)).toEqual([true, true, true]);
    expect(["10.42.1.0", "fd00:43::1", "10.43.16.0", "", "web.example"].map(inside)).toEqual(Array(5).fill(false));
    cluster.nodes.set(rawNode({ name: "a", podCIDRs: ["10.44.0.0/24"] }));
    cluster.nodes.set(rawNode({ name: "a", podCIDRs: ["10.44.0.0/24"] }));
    cluster.nodes.delete(rawNode({ name: "b" }));
    expect(["10.42.0.255", "fd00:42::1", "10.43.15.255", "10.44.0.1"].map(inside)).toEqual([false, false, true, true]);
    cluster.nodes.delete(rawNode({ name: "c" }));
    expect(inside("10.43.15.255")).toBe(false);
  });
});

describe("an address is out of reach", () => {
  const a: NodeSpec = { name: "a", podCIDRs: ["10.42.0.0/24"] };
  const inA = "10.42.0.7";
  const elsewhere = "192.168.0.7";

  it("never, when there is no node", () => {
    expect(new ClusterViewFixture().view.unreachableUntil(inA)).toBe(-Infinity);
  });

  it("until its node was first seen, and as long as it is not Ready", async () => {
    const cluster = new ClusterViewFixture();
    const start = cluster.now;
    cluster.nodes.set(rawNode(a));
    await cluster.advance(minute);
    cluster.nodes.set(rawNode({ name: "b", podCIDRs: ["10.42.1.0/24"], ready: false }));
    expect(cluster.view.unreachableUntil(inA)).toBe(start);
    expect(cluster.view.unreachableUntil("10.42.1.7")).toBe(Infinity);
    expect(cluster.view.unreachableUntil(elsewhere)).toBe(Infinity);
    await cluster.advance(minute);
    cluster.nodes.set(rawNode({ name: "b", podCIDRs: ["10.42.1.0/24"] }));
    expect(cluster.view.unreachableUntil(elsewhere)).toBe(cluster.now);
    expect(cluster.view.unreachableUntil(inA)).toBe(start);
  });

  it("until somebody vouches for its node", async () => {
    const cluster = new ClusterViewFixture();
    cluster.nodes.set(rawNode(a));
    await cluster.advance(minute);
    cluster.nodes.set(rawNode({ ...a, ready: false }));
    expect(cluster.view.unreachableUntil(inA)).toBe(Infinity);
    await cluster.advance(minute);
    cluster.nodes.set(rawNode({ ...a, ready: false, outOfService: true }));
    expect(cluster.view.unreachableUntil(inA)).toBe(cluster.now);
    cluster.nodes.set(rawNode({ ...a, ready: false }));
    expect(cluster.view.unreachableUntil(inA)).toBe(Infinity);
  });

  it("for a day after its node was removed while not Ready, unless the node comes back", async () => {
    const cluster = new ClusterViewFixture();
    cluster.nodes.set(rawNode({ ...a, ready: false }));
    cluster.nodes.list([]);
    expect(cluster.view.unreachableUntil(inA)).toBe(Infinity);
    expect(cluster.view.unreachableUntil(elsewhere)).toBe(Infinity);
    cluster.nodes.set(rawNode(a));
    expect(cluster.view.unreachableUntil(inA)).toBe(cluster.now);
    expect(cluster.view.unreachableUntil(elsewhere)).toBe(cluster.now);
    cluster.nodes.set(rawNode({ ...a, ready: false }));
    cluster.nodes.list([]);
    await cluster.advance(day + 1);
    expect(cluster.view.unreachableUntil(inA)).not.toBe(Infinity);
  });

  it("until its node was removed while Ready", async () => {
    const cluster = new ClusterViewFixture();
    cluster.nodes.set(rawNode(a));
    await cluster.advance(minute);
    cluster.nodes.list([]);
    const removedAt = cluster.now;
    await cluster.advance(minute);
    expect(cluster.view.unreachableUntil(inA)).toBe(removedAt);
    expect(cluster.view.unreachableUntil(elsewhere)).toBe(removedAt);
  });
});

describe("pods without an address may hide since", () => {
  const hidden: PodSpec = { name: "h", node: "n", phase: "Pending", container: "waiting" };

  /** A cluster with node n Ready for an hour. */
  async function settled(): Promise<ClusterViewFixture> {
    const cluster = new ClusterViewFixture();
    cluster.nodes.set(rawNode({ name: "n" }));
    await cluster.advance(60 * minute);
    return cluster;
  }
  const since = (cluster: ClusterViewFixture): number => cluster.view.hiddenSince(cluster.now);

  it("never, when every bound pod has one", async () => {
    const cluster = await settled();
    cluster.pods.set(rawPod({ name: "a", node: "n", ips: ["10.42.0.7"] }));
    cluster.pods.set(rawPod({ ...hidden, name: "unbound", node: "" }));
    cluster.pods.set(rawPod({ ...hidden, name: "agent", hostNetwork: true }));
    cluster.pods.set(rawPod({ ...hidden, name: "done", phase: "Failed", container: "terminated" }));
    expect(since(cluster)).toBe(Infinity);
  });

  it("a minute ago on a Ready node, or their creation when that is later", async () => {
    const cluster = await settled();
    cluster.pods.set(rawPod(hidden), cluster.now - 5 * minute);
    expect(since(cluster)).toBe(cluster.now - minute);
    cluster.pods.set(rawPod({ ...hidden, ips: ["10.42.0.7"] }));
    cluster.pods.set(rawPod({ ...hidden, name: "young" }), cluster.now - 10);
    expect(since(cluster)).toBe(cluster.now - 10);
    cluster.pods.set(rawPod({ ...hidden, name: "older" }), cluster.now - 20);
    expect(since(cluster)).toBe(cluster.now - 20);
    cluster.pods.set(rawPod({ ...hidden, name: "older", ips: ["10.42.0.8"] }));
    expect(since(cluster)).toBe(cluster.now - 10);
  });

  it("a minute before what the view is caught up to, for pods and for nodes", async () => {
    const cluster = await settled();
    cluster.pods.set(rawPod(hidden));
    cluster.freshness.nodes = { caughtUpTo: cluster.now - 3000 };
    expect(since(cluster)).toBe(cluster.now - 3000 - minute);
    await cluster.advance(100);
    cluster.freshness.pods = { caughtUpTo: cluster.now - 4000 };
    expect(since(cluster)).toBe(cluster.now - 4000 - minute);
  });

  it("a minute before their node stopped being Ready, however long that lasts", async () => {
    const cluster = await settled();
    cluster.pods.set(rawPod(hidden));
    cluster.nodes.set(rawNode({ name: "n", ready: false }));
    const lost = cluster.now;
    await cluster.advance(30 * minute);
    expect(since(cluster)).toBe(lost - minute);
    cluster.nodes.set(rawNode({ name: "n" }));
    await cluster.advance(minute - 1);
    expect(since(cluster), "a kubelet that is back may not have reported yet").toBe(lost - minute);
    await cluster.advance(1000);
    expect(since(cluster)).toBe(cluster.now - minute);
  });

  it("before the first outage of a node that flaps", async () => {
    const cluster = await settled();
    cluster.pods.set(rawPod(hidden));
    const lost = cluster.now;
    for (const ready of [false, true, false, true]) {
      cluster.nodes.set(rawNode({ name: "n", ready }));
      await cluster.advance(minute / 2);
    }
    expect(since(cluster)).toBe(lost - minute);
  });

  it("a minute before their node was removed", async () => {
    const cluster = await settled();
    cluster.pods.set(rawPod(hidden));
    cluster.nodes.list([]);
    const lost = cluster.now;
    await cluster.advance(minute);
    expect(since(cluster)).toBe(lost - minute);
    cluster.nodes.set(rawNode({ name: "n" }));
    expect(since(cluster)).toBe(lost - minute);
  });

  it("their creation on a node that nobody has seen, or that was first seen not long ago", async () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.set(rawPod(hidden), 7);
    await cluster.advance(5 * minute);
    expect(since(cluster)).toBe(7);
    cluster.nodes.set(rawNode({ name: "n" }));
    expect(since(cluster)).toBe(7);
    await cluster.advance(minute);
    expect(since(cluster)).toBe(cluster.now - minute);
  });

  it("the creation of their node when we saw it come", () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.list([]);
    cluster.nodes.set(rawNode({ name: "n" }), 50);
    cluster.pods.set(rawPod(hidden));
    expect(since(cluster)).toBe(50);
  });

  it("never, when an administrator vouches for a node that is not Ready", async () => {
    const cluster = await settled();
    cluster.pods.set(rawPod(hidden));
    cluster.nodes.set(rawNode({ name: "n", ready: false, outOfService: true }));
    expect(since(cluster)).toBe(Infinity);
    cluster.nodes.set(rawNode({ name: "n", ready: true, outOfService: true }));
    expect(since(cluster)).not.toBe(Infinity);
  });

  it("the loss of an address by a pod that had one", async () => {
    const cluster = await settled();
    cluster.pods.set(rawPod({ ...hidden, ips: ["10.42.0.7"] }));
    cluster.pods.set(rawPod(hidden));
    expect(since(cluster)).toBe(cluster.now - minute);
  });

  const leavings: Record<string, (cluster: ClusterViewFixture) => void> = {
    "it was removed by force": (cluster) => cluster.pods.delete(rawPod(hidden)),
    "a list no longer had it": (cluster) => cluster.pods.list([]),
    "it failed without a word about its containers": (cluster) =>
      cluster.pods.set(rawPod({ ...hidden, phase: "Failed", container: "none" })),
  };
  it.each(Object.entries(leavings))("a while longer for a pod without an address when %s", async (_, leave) => {
    const cluster = await settled();
    cluster.pods.set(rawPod(hidden));
    leave(cluster);
    await cluster.advance(minute + 29_999);
    expect(since(cluster)).toBe(cluster.now - minute);
    await cluster.advance(1000);
    expect(since(cluster)).toBe(Infinity);
  });

  it("until its node is back for a minute when a pod was missed on a node out of touch", async () => {
    const cluster = await settled();
    cluster.pods.set(rawPod(hidden));
    cluster.nodes.set(rawNode({ name: "n", ready: false }));
    const lost = cluster.now;
    cluster.pods.delete(rawPod(hidden));
    await cluster.advance(60 * minute);
    expect(since(cluster)).toBe(lost - minute);
    cluster.nodes.set(rawNode({ name: "n" }));
    await cluster.advance(minute - 1);
    expect(since(cluster)).toBe(lost - minute);
    await cluster.advance(1);
    await cluster.advance(50);
    expect(since(cluster)).toBe(Infinity);
  });

  it("for a day at most when a pod was missed on a node that never returns", async () => {
    const cluster = await settled();
    cluster.pods.set(rawPod(hidden));
    cluster.nodes.list([]);
    cluster.pods.delete(rawPod(hidden));
    await cluster.advance(day);
    expect(since(cluster)).not.toBe(Infinity);
    await cluster.advance(minute);
    expect(since(cluster)).toBe(Infinity);
  });

  it("never for a pod that is proven dead", async () => {
    const cluster = await settled();
    cluster.pods.set(rawPod(hidden));
    cluster.pods.delete(rawPod({ ...hidden, container: "terminated", phase: "Failed" }));
    expect(since(cluster)).toBe(Infinity);
  });

  it("the earliest creation among thousands of pending pods", async () => {
    const cluster = await settled();
    for (let i = 0; i < 5000; i++) {
      cluster.pods.set(rawPod({ ...hidden, name: `h${i}`, node: `n${i % 50}` }), cluster.now - i);
    }
    for (let i = 0; i < 5000; i++) {
      cluster.pods.set(rawPod({ ...hidden, name: `h${i}`, node: `n${i % 50}`, ips: ["10.42.0.7"] }));
      expect(since(cluster)).toBe(i < 4999 ? cluster.now - 4999 : Infinity);
    }
  });
});
