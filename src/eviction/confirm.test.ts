import { describe, expect, test } from "vitest";

import { ApiPods } from "../../test/support/api-pods.ts";
import { ClusterViewFixture, type PodSpec, rawNode, rawPod } from "../../test/support/cluster-view-fixture.ts";
import { recordAt } from "../../test/support/records.ts";
import type { InstanceRecord } from "../registry/port.ts";
import { confirmAgainstApi } from "./confirm.ts";

const IP = "10.42.0.7";
const HOST_IP = "192.168.0.1";
const NAME = "web-0.web.shop";

const owner: PodSpec = { name: "owner", ips: [IP] };
const newborn: PodSpec = { name: "newborn", ips: [IP] };
const onHost = { hostNetwork: true, hostIPs: [HOST_IP], ips: [HOST_IP], ports: [{ containerPort: 9100 }] } as const;
const finished = { phase: "Succeeded", container: "terminated" } as const;

/** What the view knows, what the API server says beyond it, and what is asked. */
interface Case {
  /** Endpoints of the record. */
  readonly at: readonly string[];
  /** Lived in the view and died there, oldest first. */
  readonly dead?: readonly PodSpec[];
  /** Live in the view and in the API. */
  readonly known?: readonly PodSpec[];
  /** In the API only, or as the API has them now. */
  readonly api?: readonly PodSpec[];
  readonly record?: Partial<InstanceRecord>;
  readonly exactGuard?: boolean;
  /** How far behind the pods' view is, milliseconds. */
  readonly behindMs?: number;
  /** What speaks against the write; undefined when nothing does. */
  readonly objection?: RegExp;
  /** The reads that were made. */
  readonly reads: readonly string[];
}

async function confirm({ at, dead = [], known = [], api = [], record, exactGuard = true, behindMs = 0 }: Case) {
  const cluster = new ClusterViewFixture();
  cluster.nodes.set(rawNode({ name: "node-1", addresses: [HOST_IP], podCIDRs: ["10.42.0.0/24"] }));
  cluster.nodes.set(rawNode({ name: "node-2", addresses: ["192.168.0.2"] }));
  const live = new ApiPods();
  for (const spec of dead) {
    cluster.pods.set(rawPod(spec));
    cluster.pods.delete(rawPod({ ...spec, container: "terminated" }));
  }
  for (const spec of known) {
    cluster.pods.set(rawPod(spec));
    live.set(cluster.projector.project(rawPod(spec)));
  }
  live.set(...api.map((spec) => cluster.projector.project(rawPod(spec))));
  await cluster.advance(60_000);
  cluster.freshness.pods = { caughtUpTo: cluster.now - behindMs };
  const question = {
    record: recordAt(at, { seenAt: cluster.now - 30_000, ...record }),
    exactGuard,
    clock: cluster.clock,
  };
  const objection = await confirmAgainstApi(question, { cluster: cluster.view, live }, new AbortController().signal);
  return { objection, reads: live.reads };
}

function check(cases: Readonly<Record<string, Case>>): void {
  test.each(Object.entries(cases))("%s", async (_, expected) => {
    const { objection, reads } = await confirm(expected);
    expect(reads).toEqual(expected.reads);
    if (expected.objection === undefined) expect(objection).toBeUndefined();
    else expect(objection).toMatch(expected.objection);
  });
}

describe("an entry at a pod's address", () => {
  check({
    "goes when nobody holds the address": { at: [`${IP}:80`], dead: [owner], reads: [`at ${IP}`] },
    "stays when a pod holds it that the view has never seen": {
      at: [`${IP}:80`],
      dead: [owner],
      api: [newborn],
      objection: /^pod shop\/newborn holds 10.42.0.7 and was not in the view$/,
      reads: [`at ${IP}`],
    },
    "stays when a pod holds it that the view knows without this address": {
      at: [`${IP}:80`],
      dead: [owner],
      known: [{ ...newborn, ips: [], phase: "Pending" }],
      api: [newborn],
      objection: /newborn holds/,
      reads: [`at ${IP}`],
    },
    "is left to the judgement when the view knows its holder": {
      at: [`${IP}:80`],
      dead: [owner],
      known: [{ ...newborn }],
      reads: [`at ${IP}`],
    },
    "goes when its holder has ended by the word of its kubelet, known or not": {
      at: [`${IP}:80`],
      dead: [owner],
      api: [{ ...newborn, ...finished }],
      reads: [`at ${IP}`],
    },
    "stays when its holder is called Failed while a container runs": {
      at: [`${IP}:80`],
      dead: [owner],
      api: [{ ...newborn, phase: "Failed" }],
      objection: /newborn holds/,
      reads: [`at ${IP}`],
    },
    "goes when the view knows that its holder has ended although the object stays": {
      at: [`${IP}:80`],
      dead: [owner],
      api: [{ ...owner, deleting: true, container: "terminated" }],
      reads: [`at ${IP}`],
    },
    "stays when a pod that was seen to end runs again": {
      at: [`${IP}:80`],
      dead: [owner],
      api: [{ ...owner, deleting: true }],
      objection: /owner holds/,
      reads: [`at ${IP}`],
    },
    "needs a look at all pods when nobody remembers one there, for the address may be a pod's second": {
      at: [`${IP}:80`],
      api: [{ ...newborn, ips: ["10.99.0.1", IP] }],
      objection: /newborn holds/,
      reads: ["all"],
    },
    "needs a look at all pods when the pod remembered there had it as its second address": {
      at: [`${IP}:80`],
      dead: [{ ...owner, ips: ["10.99.0.1", IP] }],
      api: [{ ...newborn, ips: ["10.99.0.2", IP] }],
      objection: /newborn holds/,
      reads: ["all"],
    },
    "needs a look at all pods when one of those remembered there had it as its second address": {
      at: [`${IP}:80`],
      dead: [owner, { ...owner, uid: "uid-other", ips: ["10.99.0.1", IP] }],
      reads: ["all"],
    },
    "needs a look at all pods for IPv6, whose text the API server compares as it was written": {
      at: ["[fd00::7]:80"],
      dead: [{ ...owner, ips: ["fd00::7"] }],
      api: [{ ...newborn, ips: ["fd00:0:0::7"] }],
      objection: /newborn holds fd00::7/,
      reads: ["all"],
    },
    "can be looked up by the pod that lives there, where nobody has died": {
      at: [`${IP}:80`],
      known: [newborn],
      reads: [`at ${IP}`],
    },
    "is looked up once for two ports, and by each address of two": {
      at: [`${IP}:80`, `${IP}:81`, "10.42.0.8:80"],
      dead: [owner, { name: "second", ips: ["10.42.0.8"] }],
      reads: [`at ${IP}`, "at 10.42.0.8"],
    },
    "stays when only its second endpoint is held": {
      at: ["10.42.0.8:80", `${IP}:80`],
      dead: [owner, { name: "second", ips: ["10.42.0.8"] }],
      api: [newborn],
      objection: /newborn holds 10.42.0.7/,
      reads: ["at 10.42.0.8", `at ${IP}`],
    },
    "stays when a pod on the host network holds it: the address is a node's by now": {
      at: [`${IP}:80`],
      dead: [owner],
      api: [{ name: "agent", hostNetwork: true, ips: [IP], hostIPs: [IP] }],
      objection: /agent holds/,
      reads: [`at ${IP}`],
    },
  });
});

describe("an entry at a node's address", () => {
  const dead = [{ name: "exporter", ...onHost }];
  const at = [`${HOST_IP}:9100`];
  check({
    "goes when nobody declares the port there": {
      at,
      dead,
      api: [
        { name: "proxy", ...onHost, ports: [{ containerPort: 10256 }] },
        { name: "elsewhere", ...onHost, hostIPs: ["192.168.0.2"], ips: ["192.168.0.2"], node: "node-2" },
        { name: "plain", ips: ["10.42.0.9"], ports: [{ containerPort: 9100 }] },
      ],
      reads: ["all"],
    },
    "stays when an unknown pod on the host network declares the port": {
      at,
      dead,
      api: [{ name: "next", ...onHost }],
      objection: /next holds 192.168.0.1/,
      reads: ["all"],
    },
    "stays when an unknown pod has the port as its host port": {
      at,
      dead,
      api: [{ name: "next", ips: ["10.42.0.9"], hostIPs: [HOST_IP], ports: [{ containerPort: 80, hostPort: 9100 }] }],
      objection: /next holds/,
      reads: ["all"],
    },
    "stays when an unknown pod declares the port on a node whose addresses nobody knows yet": {
      at,
      dead,
      api: [{ name: "next", ...onHost, ips: [], hostIPs: [], node: "node-3", phase: "Pending" }],
      objection: /next holds/,
      reads: ["all"],
    },
    "goes when an unknown pod declares the port on a node that is known to be elsewhere": {
      at,
      dead,
      api: [{ name: "next", ...onHost, ips: [], hostIPs: [], node: "node-2", phase: "Pending" }],
      reads: ["all"],
    },
    "goes when who declares the port is bound to no node": {
      at,
      dead,
      api: [{ name: "next", ...onHost, ips: [], hostIPs: [], node: "", phase: "Pending" }],
      reads: ["all"],
    },
    "is left to the judgement when the view knows who declares the port": {
      at,
      dead,
      known: [{ name: "next", ...onHost }],
      reads: ["all"],
    },
  });
});

describe("an entry at a host name", () => {
  const named = { hostname: "web-0", subdomain: "web" } as const;
  const dead = [{ ...owner, ...named }];
  check({
    "goes when no pod has the name": { at: [`${NAME}:80`], dead, api: [{ name: "other" }], reads: ["all"] },
    "stays when an unknown pod has the name": {
      at: [`${NAME}:80`],
      dead,
      api: [{ ...newborn, ...named }],
      objection: /newborn holds web-0.web.shop/,
      reads: ["all"],
    },
    "stays when an unknown pod has the name, however long it is written": {
      at: [`${NAME}.svc.cluster.local:80`],
      dead,
      api: [{ ...newborn, ...named }],
      objection: /newborn holds/,
      reads: ["all"],
    },
    "is not kept by a pod whose name it merely begins with": {
      at: [`${NAME}2:80`],
      dead: [{ ...owner, ...named, namespace: "shop2" }],
      api: [{ ...newborn, ...named }],
      reads: ["all"],
    },
    "stays when an unknown pod calls itself so": {
      at: [`${NAME}:80`],
      dead,
      api: [{ ...newborn, hostnameOverride: `${NAME}.svc.cluster.local` }],
      objection: /newborn holds web-0.web.shop/,
      reads: ["all"],
    },
    "stays when an unknown pod has the address that the name spells out": {
      at: ["10-42-0-7.shop.pod:80"],
      dead,
      api: [newborn],
      objection: /newborn holds 10-42-0-7.shop.pod/,
      reads: ["all"],
    },
    "stays when the name can not be a pod's": {
      at: ["db.example.com:80"],
      api: [],
      objection: /can not be looked up/,
      reads: ["all"],
    },
  });
});

describe("pods whose address is not known yet", () => {
  const starting: PodSpec = { name: "starting", ips: [], phase: "Pending", container: "none" };
  const at = [`${IP}:80`];
  const dead = [owner];
  check({
    "are not asked for when the view has caught up with the record": { at, dead, api: [starting], reads: [`at ${IP}`] },
    "are asked for when the view is behind the record": {
      at,
      dead,
      behindMs: 30_000,
      api: [starting],
      objection: /^pod shop\/starting is starting, has no address yet and was not in the view$/,
      reads: [`at ${IP}`, "pending"],
    },
    "are asked for where the guard is not exact, whatever the view": {
      at,
      dead,
      exactGuard: false,
      api: [starting],
      objection: /starting is starting/,
      reads: [`at ${IP}`, "pending"],
    },
    "are left to the judgement when the view knows them as such": {
      at,
      dead,
      exactGuard: false,
      known: [starting],
      reads: [`at ${IP}`, "pending"],
    },
    "speak against it when the view does not know yet that they are bound": {
      at,
      dead,
      exactGuard: false,
      known: [{ ...starting, node: "" }],
      api: [starting],
      objection: /starting is starting/,
      reads: [`at ${IP}`, "pending"],
    },
    "can not run while they are bound to no node": {
      at,
      dead,
      exactGuard: false,
      api: [{ ...starting, node: "" }],
      reads: [`at ${IP}`, "pending"],
    },
    "are none on the host network, where they have their node's": {
      at,
      dead,
      exactGuard: false,
      api: [{ ...starting, hostNetwork: true }],
      reads: [`at ${IP}`, "pending"],
    },
  });
});

describe("a look at an address that takes long", () => {
  const BORN_AFTER_MS = 500;

  /** The first read of the address ends after so long, while a pod is born that has no address by then. */
  async function confirmSlowly(tookMs: number, exactGuard: boolean) {
    const cluster = new ClusterViewFixture();
    const live = new ApiPods();
    cluster.pods.set(rawPod(owner));
    cluster.pods.delete(rawPod({ ...owner, container: "terminated" }));
    await cluster.advance(60_000);
    live.answer = () => (live.reads.at(-1) === "pending" ? Promise.resolve() : cluster.clock.sleep(tookMs));
    const question = {
      record: recordAt([`${IP}:80`], { seenAt: cluster.now - 30_000 }),
      exactGuard,
      clock: cluster.clock,
    };
    const confirming = confirmAgainstApi(question, { cluster: cluster.view, live }, new AbortController().signal);
    await cluster.advance(BORN_AFTER_MS);
    live.set(cluster.projector.project(rawPod({ name: "born", ips: [], phase: "Pending", container: "none" })));
    await cluster.advance(tookMs - BORN_AFTER_MS);
    return { objection: await confirming, reads: live.reads };
  }

  test("is followed by another one at those without an address, where the guard is not exact", async () => {
    const { objection, reads } = await confirmSlowly(2_000, false);
    expect(objection).toMatch(/^pod shop\/born is starting, has no address yet and was not in the view$/);
    expect(reads).toEqual([`at ${IP}`, "pending", "pending"]);
  });

  test.each([
    ["it was quick enough", 1_999, false],
    ["a guard is exact", 2_000, true],
  ])("is not, where %s", async (_, tookMs, exactGuard) => {
    const { objection, reads } = await confirmSlowly(tookMs, exactGuard);
    expect(objection).toBeUndefined();
    expect(reads).toEqual(exactGuard ? [`at ${IP}`] : [`at ${IP}`, "pending"]);
  });
});

describe("a read that fails", () => {
  test("is raised, whichever it is", async () => {
    const cluster = new ClusterViewFixture();
    const live = new ApiPods();
    live.answer = () => Promise.reject(new Error("503"));
    const record = recordAt([`${IP}:80`], { seenAt: cluster.now });
    const question = { record, exactGuard: true, clock: cluster.clock };
    const confirming = confirmAgainstApi(question, { cluster: cluster.view, live }, new AbortController().signal);
    await expect(confirming).rejects.toThrow("503");
  });
});
