import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from "vitest";

import { systemClock } from "../../src/clock/system.ts";
import { PodProjector } from "../../src/cluster/project-pod.ts";
import { QuorumPods } from "../../src/eviction/quorum-pods.ts";
import { type CallRequest, type CallResponse, KubeTransport, loadKubeConfig } from "../../src/kube/transport.ts";
import { ClusterFixture, clusterOf, type FixtureNode, type FixturePod } from "../support/cluster-fixture.ts";

const never = new AbortController().signal;

let transport: KubeTransport;
let fixture: ClusterFixture;
let namespace: string;
let node: FixtureNode;
/** What was asked of the API server, in order. */
let calls: CallRequest[];
/** Called with each answer before it is handed over. */
let onAnswer: (call: CallRequest) => Promise<void>;
/** Changes a call on its way. */
let rewrite: (call: CallRequest) => CallRequest;
let pods: QuorumPods;

beforeAll(async () => {
  transport = new KubeTransport({ config: await loadKubeConfig(inject("env").kubeconfig), clock: systemClock });
});

afterAll(async () => {
  await transport.close();
});

beforeEach(async () => {
  fixture = new ClusterFixture(clusterOf(inject("env")));
  [namespace, node] = await Promise.all([fixture.namespace(), fixture.node()]);
  calls = [];
  onAnswer = () => Promise.resolve();
  rewrite = (call) => call;
  const request = async (call: CallRequest): Promise<CallResponse> => {
    calls.push(call);
    const answer = await transport.request(rewrite(call));
    await onAnswer(call);
    return answer;
  };
  const { project } = new PodProjector();
  pods = new QuorumPods({ transport: { request }, project, clock: systemClock, random: Math.random });
});

afterEach(async () => {
  await fixture.close();
});

const isCount = ({ accept }: CallRequest): boolean => accept !== undefined;
const isLookUp = ({ query }: CallRequest): boolean => String(query?.["fieldSelector"]).startsWith("status.podIP=");

function counted(): { lookUps: number; counts: number; pods: number } {
  const lookUps = calls.filter(isLookUp).length;
  const counts = calls.filter(isCount).length;
  return { lookUps, counts, pods: calls.length - lookUps - counts };
}

async function run(address?: string): Promise<FixturePod> {
  return await fixture.runPod({ namespace, node, ...(address === undefined ? {} : { addresses: [address] }) });
}

/** What the view knows of a pod that had an address. */
function known({ uid, name }: FixturePod) {
  return { uid, name, namespace, resourceVersion: "1" };
}

/** Asks for `address` while another look-up is under way, so that it is not looked up alone. */
async function atCrowded(address: string, ...expected: readonly FixturePod[]): Promise<string[]> {
  const alone = pods.atAddress(fixture.unusedAddress(node), never);
  const found = await pods.atAddress(address, never, expected.map(known));
  await alone;
  return found.map(({ uid }) => uid).sort();
}

test("an address that is asked for alone costs one look-up", async () => {
  const pod = await run();
  expect((await pods.atAddress(pod.address, never)).map(({ uid }) => uid)).toEqual([pod.uid]);
  expect(counted()).toEqual({ lookUps: 1, counts: 0, pods: 0 });
});

test("a hundred addresses that are asked for at once cost one look-up and one count", async () => {
  const pod = await run();
  const dead = await run();
  await fixture.confirmDeath(dead);
  calls = [];
  const empty = Array.from({ length: 97 }, () => fixture.unusedAddress(node));
  const lone = fixture.unusedAddress(node);
  const [first, running, ended, ...others] = await Promise.all([
    pods.atAddress(lone, never),
    pods.atAddress(pod.address, never, [known(pod)]),
    pods.atAddress(dead.address, never, [known(dead)]),
    ...empty.map((address) => pods.atAddress(address, never)),
  ]);
  expect(first).toEqual([]);
  expect(running).toMatchObject([{ uid: pod.uid, phase: "Running", addresses: [pod.address] }]);
  expect(ended).toMatchObject([{ uid: dead.uid, phase: "Failed", terminated: true }]);
  expect(others.flat()).toEqual([]);
  expect(counted()).toEqual({ lookUps: 1, counts: 1, pods: 2 });
});

test("a newborn beside the dead pod that is expected is found", async () => {
  const dead = await run();
  await fixture.confirmDeath(dead);
  const newborn = await run(dead.address);
  expect(await atCrowded(dead.address, dead)).toEqual([dead.uid, newborn.uid].sort());
});

test("a newborn in place of the pod that is expected is found", async () => {
  const dead = await run();
  await fixture.terminatePod(dead);
  const newborn = await run(dead.address);
  expect(await atCrowded(dead.address, dead)).toEqual([newborn.uid]);
});

test("a newborn is found at an address nobody is expected at", async () => {
  const newborn = await run();
  expect(await atCrowded(newborn.address)).toEqual([newborn.uid]);
});

test("a pod that has the expected one's name and another address is not taken for it", async () => {
  const dead = await run();
  const namesake = await fixture.recreatePod(dead, { node });
  const newborn = await run(dead.address);
  expect(namesake.address).not.toBe(dead.address);
  expect(await atCrowded(dead.address, dead)).toEqual([newborn.uid]);
});

test("a pod that was written after the count proves nothing about the time of the count", async () => {
  const dead = await run();
  await fixture.confirmDeath(dead);
  onAnswer = async (call) => {
    if (!isCount(call)) return;
    onAnswer = () => Promise.resolve();
    await fixture.client.patch(`/api/v1/namespaces/${namespace}/pods/${dead.name}`, {
      metadata: { labels: { a: "b" } },
    });
  };
  expect(await atCrowded(dead.address, dead)).toEqual([dead.uid]);
  // The lone one, and the one that does not rest on the count.
  expect(counted()).toEqual({ lookUps: 2, counts: 1, pods: 1 });
});

test("who asks after a count has begun waits for the next one", async () => {
  const address = fixture.unusedAddress(node);
  let late: Promise<readonly { uid: string }[]> | undefined;
  let newborn: FixturePod | undefined;
  onAnswer = async (call) => {
    if (!isCount(call)) return;
    onAnswer = () => Promise.resolve();
    newborn = await run(address);
    late = pods.atAddress(address, never);
  };
  expect(await atCrowded(fixture.unusedAddress(node))).toEqual([]);
  expect((await late)?.map(({ uid }) => uid)).toEqual([newborn?.uid]);
});

test("where the server has no table each address is looked up", async () => {
  const pod = await run();
  rewrite = (call) => (isCount(call) ? { ...call, accept: "application/json" } : call);
  expect(await atCrowded(pod.address, pod)).toEqual([pod.uid]);
  expect(await atCrowded(pod.address, pod)).toEqual([pod.uid]);
  expect(calls.filter(isCount)).toHaveLength(1);
});

test("a count that fails is raised, and tells nothing", async () => {
  onAnswer = (call) => (isCount(call) ? Promise.reject(new Error("cut off")) : Promise.resolve());
  await expect(atCrowded(fixture.unusedAddress(node))).rejects.toThrow("cut off");
});
