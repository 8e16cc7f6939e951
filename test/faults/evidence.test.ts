import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { FixtureNode, FixturePod } from "../support/cluster-fixture.ts";
import type { Operator } from "../support/operator.ts";
import { applyPolicy } from "../support/operator-objects.ts";
import { type Framework, frameworks, REGISTRY, Stage, type StagedInstance } from "../support/operator-stage.ts";
import { eventually } from "../support/operator-wait.ts";

/** "At once", milliseconds from the moment the API server has taken the kubelet's word. */
const AT_ONCE = 1_000;
/** Renewed every 10 s; silence of two thirds of it is believed, so that the lease has 10 s left when it is acted on. */
const TTL = 30;
/** Longest wait for the kube-controller-manager: it looks every 20 s, and lets a missing node be missing for 40 s. */
const POD_GC = 90_000;
/** Live instances of no interest: what looks dead must stay a small part of the registry. */
const BYSTANDERS = 60;

let stage: Stage;
let operator: Operator;
/** Runs what is to be lost with it. */
let lostNode: FixtureNode;
/** The policy of this namespace evicts what terminates. */
let drainedNamespace: string;
const cast = new Map<string, StagedInstance>();

/** Role in a test, framework, and where its pod runs. */
const roles: readonly (readonly [role: string, framework: Framework, place?: "LostNode" | "Drained"])[] = [
  ...frameworks.map((framework) => [`confirmed ${framework}`, framework] as const),
  ["succeeded", "Kratos"],
  ["failed", "Unleased"],
  ["failed by somebody else's word", "Unleased"],
  ["restarting", "Unleased"],
  ["terminating", "Unleased"],
  ["drained", "Kratos", "Drained"],
  ["drained, without a lease", "Unleased", "Drained"],
  ["forced, dead", "DubboApplication"],
  ["forced, alive", "DubboApplication"],
  ["forced, without a lease", "Unleased"],
  ["lost, dead", "Kratos", "LostNode"],
  ["lost, alive", "Kratos", "LostNode"],
  ["lost, without a lease", "Unleased", "LostNode"],
];

beforeAll(async () => {
  stage = await Stage.start({
    controllerManager: true,
    zombies: { absentFor: "30s", silentFor: "5s", budget: { unexplainedPercentPerMinute: 100 } },
    draining: "Allowed",
  });
  lostNode = await stage.fixture.node();
  drainedNamespace = await stage.fixture.namespace();
  await applyPolicy(stage.fixture.client, "drain", {
    registries: [REGISTRY],
    namespace: drainedNamespace,
    priority: 1,
    zombies: { terminating: "Evict" },
  });
  const instances = await stage.instances(
    roles.map(([role, framework, place]) => ({
      framework,
      service: role.replaceAll(/\W+/g, "-"),
      ttl: TTL,
      ...(place === "LostNode" && { node: lostNode }),
      ...(place === "Drained" && { namespace: drainedNamespace }),
    })),
  );
  for (const [i, [role]] of roles.entries()) cast.set(role, instances[i] as StagedInstance);
  await stage.instances(Array.from({ length: BYSTANDERS }, () => ({ framework: "Kitex", service: "bystander" })));
  operator = await stage.operator({ flags: { "sweep-interval": "1s" } });
  await stage.untilLive(operator, roles.length + BYSTANDERS);
  await stage.untilCaughtUp(operator);
});

afterAll(async () => {
  await stage.stop();
});

function play(role: string): StagedInstance {
  const instance = cast.get(role);
  if (instance === undefined) throw new Error(`nobody plays "${role}"`);
  return instance;
}

/** Waits until the key was evicted, and says how long that took from now on. */
async function evicted({ key }: StagedInstance, within?: number): Promise<number> {
  const since = performance.now();
  const { cause, at } = await stage.oracle.departure(key, within);
  expect(cause).toBe("Evicted");
  return at - since;
}

/** Verdicts that the operator has noted for a key, oldest first. */
function verdicts({ key }: StagedInstance): unknown[] {
  return operator.log
    .having({ step: "judge", instance: key })
    .map(({ verdict, reason }) => `${String(verdict)}: ${String(reason)}`);
}

async function isListed({ key }: StagedInstance): Promise<boolean> {
  return (await stage.session.get(key)) !== undefined;
}

async function podIsGone({ namespace, name }: FixturePod): Promise<boolean> {
  return (await stage.fixture.client.find(`/api/v1/namespaces/${namespace}/pods/${name}`)) === undefined;
}

async function forceDelete({ namespace, name }: FixturePod): Promise<void> {
  await stage.fixture.kubectl("delete", "pod", name, "-n", namespace, "--force", "--grace-period=0");
}

describe.concurrent("a death that a kubelet has confirmed", () => {
  test.each(frameworks)("is acted on at once: %s", async (framework) => {
    const instance = play(`confirmed ${framework}`);
    await stage.fixture.beginTermination(instance.pod);
    await stage.crash(instance);
    expect(await evicted(instance)).toBeLessThan(AT_ONCE);
    await stage.fixture.removePod(instance.pod);
    expect(verdicts(instance).at(-1)).toBe("Zombie: DeathConfirmed");
    expect(await stage.reportedEviction(instance.key)).toMatchObject({
      evidence: "Confirmed",
      reason: "DeathConfirmed",
      result: "Verified",
      pod: { namespace: instance.pod.namespace, name: instance.pod.name, uid: instance.pod.uid },
    });
  });

  test.each(["Succeeded", "Failed"] as const)("counts also when the pod's object stays, as %s", async (phase) => {
    const instance = play(phase.toLowerCase());
    instance.registrant.crash();
    await stage.fixture.confirmDeath(instance.pod, phase);
    expect(await evicted(instance)).toBeLessThan(AT_ONCE);
    expect(await podIsGone(instance.pod)).toBe(false);
    expect(await stage.reportedEviction(instance.key)).toMatchObject({ evidence: "Confirmed" });
  });
});

describe.concurrent("what is no death", () => {
  test("containers that restart in place", async () => {
    const instance = play("restarting");
    await stage.fixture.showCrashLoop(instance.pod);
    await stage.untilCaughtUp(operator);
    await stage.fixture.startPod(instance.pod);
    await stage.untilCaughtUp(operator);
    expect(await isListed(instance)).toBe(true);
    expect(verdicts(instance)).toEqual([]);
  });

  test("a pod that somebody else calls Failed while its container runs", async () => {
    const instance = play("failed by somebody else's word");
    const { namespace, name } = instance.pod;
    await stage.fixture.client.patch(`/api/v1/namespaces/${namespace}/pods/${name}/status`, {
      status: { phase: "Failed" },
    });
    await stage.untilCaughtUp(operator);
    expect(await isListed(instance)).toBe(true);
    expect(verdicts(instance)).toEqual([]);
  });
});

describe.concurrent("a pod that terminates", () => {
  test("is left alone until its containers have ended, where the policy waits; else it goes at once", async () => {
    const [waiting, drained, unleased] = [play("terminating"), play("drained"), play("drained, without a lease")];
    await stage.fixture.beginTermination(waiting.pod);
    for (const instance of [drained, unleased]) {
      await stage.fixture.beginTermination(instance.pod);
      expect(await evicted(instance)).toBeLessThan(AT_ONCE);
      expect(await stage.reportedEviction(instance.key, "drain")).toMatchObject({
        evidence: "Terminating",
        reason: "OwnerTerminating",
      });
    }
    await eventually("the waiting one is seen to terminate", () =>
      verdicts(waiting).includes("Draining: OwnerTerminating"),
    );
    expect(await isListed(waiting)).toBe(true);
    await stage.crash(waiting);
    expect(await evicted(waiting)).toBeLessThan(AT_ONCE);
    expect(await stage.reportedEviction(waiting.key)).toMatchObject({ evidence: "Confirmed" });
  });
});

describe.concurrent("a pod that is gone without its kubelet's word", () => {
  /** Both pods have just gone: of one the process has ended too, of the other it lives on and renews its lease. */
  async function onlySilenceTells(dead: StagedInstance, alive: StagedInstance): Promise<void> {
    dead.registrant.crash();
    stage.fixture.truth.podDead(dead.pod.uid);
    await leavesBySilence(dead);
    expect(await isListed(alive)).toBe(true);
    alive.registrant.crash();
    stage.fixture.truth.podDead(alive.pod.uid);
    await leavesBySilence(alive);
  }

  async function leavesBySilence(instance: StagedInstance): Promise<void> {
    await evicted(instance, 60_000);
    // It was us, and not the end of the lease.
    expect(await stage.session.remaining(instance.registrant.lease)).toBeGreaterThan(0);
    const { restore, ...eviction } = await stage.reportedEviction(instance.key);
    expect(eviction).toMatchObject({ evidence: "Unconfirmed", reason: "SilentAfterDeath" });
    const undo = await stage.session.get(restore?.undoKey ?? "");
    expect(JSON.parse(undo?.value ?? "{}")).toMatchObject({
      key: instance.key,
      ttlSeconds: TTL,
      traceId: eviction.traceId,
    });
  }

  test("kubectl delete --force: it stays while its lease is renewed, and leaves when that falls silent", async () => {
    const [dead, alive] = [play("forced, dead"), play("forced, alive")];
    await Promise.all([forceDelete(dead.pod), forceDelete(alive.pod)]);
    await onlySilenceTells(dead, alive);
  });

  test("node gone, pods removed by PodGC: the same", async () => {
    const [dead, alive] = [play("lost, dead"), play("lost, alive")];
    await stage.fixture.deleteNode(lostNode);
    await eventually(
      "PodGC has removed the pods",
      async () => (await podIsGone(dead.pod)) && (await podIsGone(alive.pod)),
      POD_GC,
    );
    await onlySilenceTells(dead, alive);
    const unleased = play("lost, without a lease");
    expect(await podIsGone(unleased.pod)).toBe(true);
    expect(await isListed(unleased)).toBe(true);
    expect(verdicts(unleased).at(-1)).toBe("Unknown: NodeUnreachable");
  });

  test("without a lease it leaves when its node has had the time to end it", async () => {
    const instance = play("forced, without a lease");
    instance.registrant.crash();
    stage.fixture.truth.podDead(instance.pod.uid);
    await forceDelete(instance.pod);
    await evicted(instance, 150_000);
    expect(await stage.reportedEviction(instance.key)).toMatchObject({
      evidence: "Unconfirmed",
      reason: "EndedByKubelet",
    });
  });
});
