import fc from "fast-check";
import { expect, it } from "vitest";

import { ClusterViewFixture, rawNode, rawPod, type PodSpec } from "../../test/support/cluster-view-fixture.ts";
import { compileSelector } from "./selector.ts";
import { ServiceIndex, type ServicePolicy } from "./service-index.ts";
import { isConfirmed, type LivePod } from "./types.ts";

const uids = ["a", "b", "c", "d", "e"];
const podIps = ["10.42.0.1", "10.42.0.2", "10.42.0.3", "fd00::1"];
const nodeIps = ["10.0.0.1", "10.0.0.2"];
const ports = [80, 8080];
const hosts = ["h1.sub.shop", "h2.sub.shop"];

/** Few values of everything, so that pods meet. A pod's node, network and name never change, as in Kubernetes. */
const podSpec = fc
  .record({
    uid: fc.constantFrom(...uids),
    ips: fc.subarray(podIps),
    phase: fc.constantFrom("Pending", "Running", "Running", "Succeeded", "Failed"),
    container: fc.constantFrom("running" as const, "running" as const, "terminated" as const, "none" as const),
    deleting: fc.boolean(),
    labels: fc.constantFrom({ app: "web" }, { app: "db" }),
  })
  .map((variable): PodSpec => {
    const i = uids.indexOf(variable.uid);
    const node = ["node-1", "node-2", "node-1", "", "node-2"][i] ?? "";
    return {
      ...variable,
      name: i < 2 ? "same" : variable.uid,
      node,
      hostIPs: node === "" ? [] : [nodeIps[Number(node.at(-1)) - 1] ?? ""],
      hostNetwork: i === 2,
      subdomain: "sub",
      hostname: i < 3 ? "h1" : "h2",
      ports: i === 4 ? [{ containerPort: 80, hostPort: 8080 }] : [{ containerPort: 80 }],
    };
  });
const nodeSpec = fc.record({
  name: fc.constantFrom("node-1", "node-2"),
  ready: fc.boolean(),
  addresses: fc.subarray(nodeIps),
  podCIDRs: fc.subarray(["10.42.0.0/31", "10.42.0.2/31", "fd00::/64"]),
});

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("set" as const), pod: podSpec }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("delete" as const), pod: podSpec }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("list" as const), pods: fc.array(podSpec, { maxLength: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("node" as const), node: nodeSpec }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("noNodes" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 90_000 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("policy" as const), app: fc.constantFrom("web", "db") }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const policyFor = (app: string): ServicePolicy => {
  const selects = compileSelector({ matchLabels: { app } });
  return {
    name: "p",
    naming: { from: "Label", key: "app", port: undefined },
    matches: (pod) => selects(pod.labels),
  };
};

const uidsOf = (pods: Iterable<LivePod>): string[] => [...pods].map(({ pod }) => pod.uid).sort();

async function play(cluster: ClusterViewFixture, index: ServiceIndex, one: Step): Promise<void> {
  if (one.do === "set") cluster.pods.set(rawPod(one.pod));
  if (one.do === "delete") cluster.pods.delete(rawPod(one.pod));
  if (one.do === "list") {
    cluster.pods.list([...new Map(one.pods.map((pod) => [pod.uid, pod])).values()].map(rawPod));
  }
  if (one.do === "node") cluster.nodes.set(rawNode(one.node));
  if (one.do === "noNodes") cluster.nodes.list([]);
  if (one.do === "wait") await cluster.advance(one.ms);
  if (one.do === "policy") index.setPolicy(policyFor(one.app));
}

/** Every look-up gives what a scan of all living pods gives. */
function expectSameAsScan({ view, now }: ClusterViewFixture): void {
  const all = [...view.pods()];
  const nodesAt = (ip: string): string[] => [
    ...[...view.nodes()].filter(({ addresses }) => addresses.includes(ip)).map(({ name }) => name),
    ...all.filter(({ pod }) => pod.hostAddresses.includes(ip)).map(({ pod }) => pod.node),
  ];
  for (const ip of [...podIps, ...nodeIps]) {
    for (const port of ports) {
      const expected = all.filter(({ pod }) => {
        const own = !pod.hostNetwork && pod.addresses.includes(ip);
        const declares = pod.ports.some(({ hostPort }) => hostPort === port);
        return own || (declares && pod.node !== "" && nodesAt(ip).includes(pod.node));
      });
      expect(uidsOf(view.lookup(ip, port).live), `${ip}:${port}`).toEqual(uidsOf(expected));
    }
  }
  for (const host of hosts) {
    const expected = all.filter(({ pod }) => pod.dnsNames.includes(host));
    expect(uidsOf(view.lookupHost(`${host}.svc`)?.live ?? []), host).toEqual(uidsOf(expected));
  }
  expect(uidsOf(view.podsIn("shop"))).toEqual(uidsOf(all));
  expect(view.counts.pods).toBe(all.length);
  const someHidden = all.some(({ pod }) => {
    return pod.node !== "" && !pod.hostNetwork && pod.addresses.length === 0 && !/Succeeded|Failed/.test(pod.phase);
  });
  if (someHidden) expect(view.hiddenSince(now)).toBeLessThanOrEqual(now);
}

/** No tombstone speaks against a living pod, and none is missing where a pod was. */
function expectSoundTombstones({ view }: ClusterViewFixture, wasAt: ReadonlyMap<string, readonly string[]>): void {
  for (const ip of podIps) {
    const { live, tombstones } = view.lookup(ip, 0);
    const living = uidsOf(live);
    for (const { pod, reason, seenAt, endedAfter } of tombstones) {
      expect(living, `${pod.uid} at ${ip}`).not.toContain(pod.uid);
      expect(endedAfter).toBeLessThanOrEqual(seenAt);
      if (isConfirmed(reason)) {
        expect(view.pod(pod.uid), `${pod.uid} is confirmed dead`).toBeUndefined();
        expect(pod.terminated).toBe(true);
      }
    }
    for (const [uid, addresses] of wasAt) {
      const isDead = view.pod(uid) === undefined;
      if (isDead && addresses.includes(ip)) expect(tombstones.map(({ pod }) => pod.uid)).toContain(uid);
    }
  }
}

it("after any changes every index equals one made from scratch, and tombstones agree with the living", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
      const cluster = new ClusterViewFixture();
      const index = new ServiceIndex(cluster.view);
      const wasAt = new Map<string, readonly string[]>();
      let app: string | undefined;
      for (const one of steps) {
        await play(cluster, index, one);
        if (one.do === "policy") app = one.app;
        for (const { pod } of cluster.view.pods()) {
          if (pod.node !== "" && !pod.hostNetwork) wasAt.set(pod.uid, pod.addresses);
        }
        expectSameAsScan(cluster);
        expectSoundTombstones(cluster, wasAt);
      }
      if (app === undefined) return;
      const scratch = new ServiceIndex(cluster.view);
      scratch.setPolicy(policyFor(app));
      for (const service of ["web", "db"]) {
        const found = (one: ServiceIndex): string[] =>
          one
            .podsOf("p", service)
            .map(({ uid }) => uid)
            .sort();
        expect(found(index)).toEqual(found(scratch));
      }
    }),
    { numRuns: 500 },
  );
});
