import { describe, expect, it } from "vitest";

import { ClusterViewFixture, rawPod, type PodSpec } from "../../test/support/cluster-view-fixture.ts";
import type { DeathReason } from "./types.ts";

const ip = "10.42.0.7";
const running: PodSpec = { name: "web-1", ips: [ip] };
const crashed: PodSpec = { ...running, container: "terminated" };
const deleting: PodSpec = { ...running, deleting: true };
const ended: PodSpec = { ...crashed, deleting: true };
const failed: PodSpec = { ...crashed, phase: "Failed" };

/** One thing the API server says; a second passes before each. */
type Step = readonly ["set" | "delete", PodSpec] | readonly ["list", ...PodSpec[]];

interface Outcome {
  readonly live: boolean;
  readonly deaths: readonly DeathReason[];
  /** Number of the step (from 1) at which the death was seen. */
  readonly seenAt?: number;
}

describe("what becomes of a pod", () => {
  const alive: Outcome = { live: true, deaths: [] };
  const cases: Record<string, [readonly Step[], Outcome]> = {
    "it runs: alive": [[["set", running]], alive],
    "it is under deletion and runs: alive": [
      [
        ["set", running],
        ["set", deleting],
      ],
      alive,
    ],
    "all containers are terminated in a crash loop: alive": [
      [
        ["set", running],
        ["set", crashed],
      ],
      alive,
    ],
    "it crashed before its deletion was seen: alive while the object is there": [
      [
        ["set", crashed],
        ["set", ended],
      ],
      alive,
    ],
    "deletion and termination came at once: alive while the object is there": [
      [
        ["set", running],
        ["set", ended],
      ],
      alive,
    ],
    "it was terminating and terminated when we started: alive while the object is there": [[["list", ended]], alive],
    "it failed and a container has not terminated: alive": [
      [
        ["set", running],
        ["set", { ...running, phase: "Failed" }],
      ],
      alive,
    ],
    "containers terminated after the deletion was seen: confirmed while the object is there": [
      [
        ["set", running],
        ["set", deleting],
        ["set", ended],
      ],
      { live: false, deaths: ["ContainersTerminated"], seenAt: 3 },
    ],
    "phase Failed with every container terminated: finished while the object is there": [
      [
        ["set", running],
        ["set", failed],
      ],
      { live: false, deaths: ["Finished"], seenAt: 2 },
    ],
    "phase Succeeded with every container terminated: finished while the object is there": [
      [["set", { ...crashed, phase: "Succeeded" }]],
      { live: false, deaths: ["Finished"], seenAt: 1 },
    ],
    "finished before we started: finished, seen with the list": [
      [["list", failed]],
      { live: false, deaths: ["Finished"], seenAt: 1 },
    ],
    "terminated first, phase later: finished since it was terminated": [
      [
        ["set", running],
        ["set", deleting],
        ["set", ended],
        ["set", { ...ended, phase: "Failed" }],
        ["delete", { ...ended, phase: "Failed" }],
      ],
      { live: false, deaths: ["Finished"], seenAt: 3 },
    ],
    "removed after it finished: one death": [
      [
        ["set", failed],
        ["delete", failed],
      ],
      { live: false, deaths: ["Finished"], seenAt: 1 },
    ],
    "removed with every container terminated: confirmed since they were": [
      [
        ["set", running],
        ["set", crashed],
        ["delete", crashed],
      ],
      { live: false, deaths: ["ContainersTerminated"], seenAt: 2 },
    ],
    "the deletion itself carries the terminated containers: confirmed": [
      [
        ["set", running],
        ["delete", ended],
      ],
      { live: false, deaths: ["ContainersTerminated"], seenAt: 2 },
    ],
    "the deletion itself carries the final phase: finished": [
      [
        ["set", running],
        ["delete", failed],
      ],
      { live: false, deaths: ["Finished"], seenAt: 2 },
    ],
    "removed by force in the middle of a crash loop that was seen before: not confirmed": [
      [
        ["set", crashed],
        ["set", running],
        ["set", crashed],
        ["delete", crashed],
      ],
      { live: false, deaths: ["NotConfirmed"], seenAt: 4 },
    ],
    "a crash loop that ends under deletion: confirmed": [
      [
        ["set", crashed],
        ["set", running],
        ["set", deleting],
        ["set", ended],
      ],
      { live: false, deaths: ["ContainersTerminated"], seenAt: 4 },
    ],
    "removed by force while it ran: not confirmed": [
      [
        ["set", running],
        ["delete", running],
      ],
      { live: false, deaths: ["NotConfirmed"], seenAt: 2 },
    ],
    "removed by force while it was terminating: not confirmed": [
      [
        ["set", deleting],
        ["delete", deleting],
      ],
      { live: false, deaths: ["NotConfirmed"], seenAt: 2 },
    ],
    "marked Failed by PodGC and removed while a container ran: not confirmed": [
      [
        ["set", running],
        ["set", { ...running, markedByPodGC: true }],
        ["delete", { ...running, markedByPodGC: true }],
      ],
      { live: false, deaths: ["NotConfirmed"], seenAt: 3 },
    ],
    "marked Failed by PodGC in a crash loop: alive while the object is there, for no kubelet said that it is over": [
      [
        ["set", crashed],
        ["set", { ...crashed, markedByPodGC: true }],
      ],
      alive,
    ],
    "marked Failed by PodGC in a crash loop and removed: its containers were terminated, which is less than finished": [
      [
        ["set", crashed],
        ["set", { ...crashed, markedByPodGC: true }],
        ["delete", { ...crashed, markedByPodGC: true }],
      ],
      { live: false, deaths: ["ContainersTerminated"], seenAt: 1 },
    ],
    "missing from a list while it ran: not witnessed": [
      [["set", running], ["list"]],
      { live: false, deaths: ["NotWitnessed"], seenAt: 2 },
    ],
    "missing from a list in a crash loop: not witnessed": [
      [["set", crashed], ["list"]],
      { live: false, deaths: ["NotWitnessed"], seenAt: 2 },
    ],
    "missing from a list after it finished: finished": [
      [["set", failed], ["list"]],
      { live: false, deaths: ["Finished"], seenAt: 1 },
    ],
    "missing from a list after its containers ended under deletion: confirmed": [
      [["set", deleting], ["set", ended], ["list"]],
      { live: false, deaths: ["ContainersTerminated"], seenAt: 2 },
    ],
    "missing from one list and back in the next: alive, nothing remembered": [
      [["list", running], ["list"], ["list", running]],
      alive,
    ],
    "missing from one list and back as finished, without its address: finished": [
      [["list", running], ["list"], ["list", { ...failed, ips: [] }]],
      { live: false, deaths: ["Finished"], seenAt: 3 },
    ],
    "moved away, missing from one list and back at its old address: alive, nothing remembered": [
      [["set", running], ["set", { ...running, ips: ["10.42.0.8"] }], ["list"], ["list", running]],
      alive,
    ],
    "containers run again though the phase was final: alive, nothing remembered": [
      [
        ["set", failed],
        ["set", running],
      ],
      alive,
    ],
    "moved to another address: released here": [
      [
        ["set", running],
        ["set", { ...running, ips: ["10.42.0.8"] }],
      ],
      { live: false, deaths: ["AddressReleased"], seenAt: 2 },
    ],
    "moved away and back: alive, nothing remembered": [
      [
        ["set", running],
        ["set", { ...running, ips: ["10.42.0.8"] }],
        ["set", running],
      ],
      alive,
    ],
    "moved away, seemed to end as it came back, and lives: alive, nothing remembered": [
      [
        ["set", running],
        ["set", { ...running, ips: ["10.42.0.8"] }],
        ["set", failed],
        ["set", running],
      ],
      alive,
    ],
    "lost its address and ended later: released at the time it lost it": [
      [
        ["set", running],
        ["set", { ...running, ips: [] }],
        ["set", { ...failed, ips: [] }],
      ],
      { live: false, deaths: ["AddressReleased"], seenAt: 2 },
    ],
    "finished and shows no address any more: still finished here": [
      [
        ["set", running],
        ["set", { ...failed, ips: [] }],
      ],
      { live: false, deaths: ["Finished"], seenAt: 2 },
    ],
    "removed unseen and created anew under its name at its address: dead and alive, apart by UID": [
      [
        ["list", running],
        ["list", { ...running, uid: "uid-anew" }],
      ],
      { live: true, deaths: ["NotWitnessed"], seenAt: 2 },
    ],
    "an event of a pod nobody knows ends nothing": [[["delete", failed]], { live: false, deaths: [] }],
  };

  it.each(Object.entries(cases))("%s", async (_, [steps, outcome]) => {
    const cluster = new ClusterViewFixture();
    const start = cluster.now;
    for (const [what, ...specs] of steps) {
      await cluster.advance(1000);
      const raws = specs.map(rawPod);
      if (what === "list") cluster.pods.list(raws);
      else for (const raw of raws) cluster.pods[what](raw);
    }
    const found = cluster.view.lookup(ip, 8080);
    expect({
      live: found.live.length > 0,
      deaths: found.tombstones.map(({ reason }) => reason),
    }).toEqual({ live: outcome.live, deaths: outcome.deaths });
    if (outcome.seenAt !== undefined) expect(found.tombstones[0]?.seenAt).toBe(start + outcome.seenAt * 1000);
  });
});

describe("a tombstone", () => {
  it("bounds the death from below by what the view was caught up to when it came", async () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.set(rawPod(running));
    const caughtUpTo = cluster.now;
    cluster.freshness.pods = { caughtUpTo };
    await cluster.advance(5000);
    cluster.pods.set(rawPod(crashed));
    cluster.freshness.pods = { caughtUpTo: cluster.now };
    await cluster.advance(5000);
    cluster.pods.delete(rawPod(crashed));
    const [confirmed] = cluster.view.lookup(ip, 8080).tombstones;
    expect(confirmed).toMatchObject({ seenAt: caughtUpTo + 5000, endedAfter: caughtUpTo });

    cluster.pods.set(rawPod({ ...running, uid: "other" }));
    cluster.pods.delete(rawPod({ ...running, uid: "other" }));
    const [forced] = cluster.view.lookup(ip, 8080).tombstones;
    expect(forced).toMatchObject({ seenAt: caughtUpTo + 10_000, endedAfter: caughtUpTo + 5000 });
  });

  it("proves nothing about the time of a death found by the first list", () => {
    const cluster = new ClusterViewFixture();
    cluster.freshness.pods = { caughtUpTo: -Infinity };
    cluster.pods.list([rawPod(failed)]);
    expect(cluster.view.lookup(ip, 8080).tombstones[0]?.endedAfter).toBe(-Infinity);
  });

  it("keeps the bound on the pod's creation, also for a pod that comes back after a wrong list", () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.set(rawPod(running), 10);
    cluster.pods.list([]);
    expect(cluster.view.lookup(ip, 8080).tombstones[0]?.createdAfter).toBe(10);
    cluster.pods.set(rawPod(running), 500);
    expect(cluster.view.lookup(ip, 8080).live[0]?.createdAfter).toBe(10);
  });

  it("is not made for a pod that was never bound to a node", () => {
    const cluster = new ClusterViewFixture();
    const unbound: PodSpec = { name: "db-0", node: "", subdomain: "db", phase: "Pending", container: "none" };
    cluster.pods.set(rawPod(unbound));
    cluster.pods.delete(rawPod(unbound));
    expect(cluster.view.lookupHost("db-0.db.shop.svc")?.tombstones).toEqual([]);
  });

  it("is found newest death first where an address served several pods", async () => {
    const cluster = new ClusterViewFixture();
    for (const uid of ["first", "second", "third"]) {
      cluster.pods.set(rawPod({ ...running, uid }));
      cluster.pods.delete(rawPod({ ...running, uid }));
      await cluster.advance(1000);
    }
    expect(cluster.view.lookup(ip, 8080).tombstones.map(({ pod }) => pod.uid)).toEqual(["third", "second", "first"]);
  });

  it("is forgotten after its age, and the oldest first beyond the count", async () => {
    const cluster = new ClusterViewFixture({ tombstones: { count: 2, ageMs: 10_000 } });
    const die = (name: string): void => {
      const spec = { ...running, name, ips: [ip] };
      cluster.pods.set(rawPod(spec));
      cluster.pods.delete(rawPod(spec));
    };
    const remembered = (): string[] => cluster.view.lookup(ip, 0).tombstones.map(({ pod }) => pod.name);
    die("a");
    die("b");
    die("c");
    expect(remembered()).toEqual(["c", "b"]);
    expect(cluster.view.counts.tombstones).toBe(2);
    await cluster.advance(10_001);
    die("d");
    expect(remembered()).toEqual(["d"]);
  });
});

describe("the view's events", () => {
  it("tell a death once, with every address and name it concerns", () => {
    const cluster = new ClusterViewFixture();
    const spec: PodSpec = { ...running, ips: [ip, "fd00::7"], subdomain: "web" };
    cluster.pods.set(rawPod(spec));
    cluster.pods.set(rawPod({ ...spec, container: "terminated", phase: "Failed" }));
    cluster.pods.delete(rawPod({ ...spec, container: "terminated", phase: "Failed" }));
    expect(cluster.events.map((event) => event.kind === "Pod" && event.change)).toEqual(["Appeared", "Ended"]);
    expect(cluster.events[1]).toMatchObject({ reason: "Finished", uid: "uid-web-1", addresses: [ip, "fd00::7"] });
    expect(cluster.events[1]).toMatchObject({
      hosts: expect.arrayContaining([
        "web-1.web.shop",
        "web-1.web.shop.svc",
        "web-1.web.shop.svc.cluster.local",
        "10-42-0-7.shop.pod",
        "fd00--7.shop.pod.cluster.local",
      ]) as string[],
    });
  });

  it("name the address that a pod left and the one it took", () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.set(rawPod(running));
    cluster.pods.set(rawPod({ ...running, ips: ["10.42.0.8"] }));
    expect(cluster.events[1]).toMatchObject({ change: "Changed", addresses: [ip, "10.42.0.8"] });
  });

  it("leave out changes that no verdict can depend on", () => {
    const cluster = new ClusterViewFixture();
    cluster.pods.set(rawPod(running));
    cluster.pods.set(rawPod(running));
    cluster.pods.set(rawPod(crashed));
    expect(cluster.events).toHaveLength(1);
    cluster.pods.set(rawPod({ ...running, labels: { app: "other" } }));
    cluster.pods.set(rawPod(deleting));
    expect(cluster.events).toHaveLength(3);
  });

  it("come after the view holds the change, and stop with the subscription", () => {
    const cluster = new ClusterViewFixture();
    const seen: number[] = [];
    const stop = cluster.view.subscribe(() => seen.push(cluster.view.lookup(ip, 8080).live.length));
    cluster.pods.set(rawPod(running));
    stop();
    cluster.pods.set(rawPod(deleting));
    expect(seen).toEqual([1]);
  });

  it("name nodes and namespaces whose meaning changed", () => {
    const cluster = new ClusterViewFixture();
    cluster.namespace("shop", "u", { team: "a" });
    cluster.namespace("shop", "u", { team: "a" });
    cluster.namespace("shop", "u", { team: "b" });
    expect(cluster.events.map((event) => event.kind)).toEqual(["Namespace", "Namespace"]);
    expect(cluster.view.namespaceLabels("shop")).toEqual({ team: "b" });
    expect(cluster.view.namespaceLabels("none")).toEqual({});
  });
});

describe("the comparison of complete lists", () => {
  it("tells pods that were seen to end from those that are simply missing", () => {
    const cluster = new ClusterViewFixture();
    const podAt = (i: number): PodSpec => ({ name: `p${i}`, ips: [`10.42.1.${i}`] });
    const pods = Array.from({ length: 10 }, (_, i) => podAt(i));
    cluster.pods.list(pods.map(rawPod));
    cluster.pods.delete(rawPod(podAt(0)));
    cluster.pods.set(rawPod({ ...podAt(1), container: "terminated", phase: "Failed" }));
    cluster.pods.set(rawPod({ name: "new", ips: ["10.42.1.99"] }));
    cluster.pods.list([...pods.slice(5), { name: "new", ips: ["10.42.1.99"] }].map(rawPod));
    cluster.pods.list([...pods.slice(5), { name: "new", ips: ["10.42.1.99"] }].map(rawPod));
    expect(cluster.view.listHistory).toMatchObject([
      { podCount: 10, previousCount: 0, witnessedDeaths: 0, missing: 0 },
      { podCount: 6, previousCount: 10, witnessedDeaths: 2, missing: 3 },
      { podCount: 6, previousCount: 6, witnessedDeaths: 0, missing: 0 },
    ]);
    expect(cluster.view.completeLists).toBe(3);
  });
});

describe("a pod was asked to end after", () => {
  const after = async (...steps: readonly PodSpec[]): Promise<number | undefined> => {
    const cluster = new ClusterViewFixture();
    const start = cluster.now;
    for (const spec of steps) {
      await cluster.advance(1000);
      cluster.freshness.pods = { caughtUpTo: cluster.now - 100 };
      cluster.pods.set(rawPod(spec));
    }
    const [pod] = cluster.view.lookup(ip, 80).live;
    const time = pod?.deletingAfter;
    return time === undefined ? undefined : time - start;
  };

  it("the last moment that was known without it", async () => {
    expect(await after(running, running, deleting, deleting)).toBe(2_900);
  });

  it("nobody knows what, where it was seen so at first", async () => {
    expect(await after(deleting, deleting)).toBe(-Infinity);
  });

  it("nothing, while it is not", async () => {
    expect(await after(running)).toBeUndefined();
  });
});
