/** One policy over several real registries: each is judged and written by its own rules, and none holds up another. */
import { setTimeout as delay } from "node:timers/promises";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type ControlPlane, startControlPlane } from "../env/index.ts";
import { answer, delay as late, hold, KubeProxy } from "../env/proxy/index.ts";
import type { RegistryActor } from "../support/actors/actor.ts";
import { startConsulActor } from "../support/actors/consul.ts";
import { startEtcdActor } from "../support/actors/etcd.ts";
import { startNacosActor } from "../support/actors/nacos.ts";
import { ClusterFixture, type FixtureNode, type FixturePod } from "../support/cluster-fixture.ts";
import { mapBounded } from "../support/concurrency.ts";
import { type Operator, startOperator } from "../support/operator.ts";
import { installOperator } from "../support/operator-install.ts";
import { applyPolicy, findReport } from "../support/operator-objects.ts";
import { untilCondition } from "../support/operator-seen.ts";
import { firstPodPages, laterPodPages, podLists, smallerPages } from "../support/operator-traffic.ts";
import { eventually } from "../support/operator-wait.ts";

const SERVICES = 60;
const REPLICAS = 3;
const RESTARTS = 5;
/** So that the pods make four pages. */
const PAGE_SIZE = 50;
/** How late each part of a page comes, milliseconds. */
const PAGE_DELAY = 100;
/** Pods that die while one registry answers nobody. */
const DYING = 6;
/** How long it answers nobody, milliseconds: far beyond the age that a view may have. */
const OUTAGE_MS = process.env["HYGEIA_NIGHTLY"] === undefined ? 45_000 : 300_000;
const POLICY = "all";
const PARALLEL = 16;

/** A pod that is registered everywhere; ids by registry. */
interface Instance {
  readonly pod: FixturePod;
  readonly ids: ReadonlyMap<RegistryActor, string>;
}

let controlPlane: ControlPlane;
let proxy: KubeProxy;
let fixture: ClusterFixture;
let actors: readonly RegistryActor[];
let operator: Operator;
let node: FixtureNode;
let namespace: string;
let pacemaker: FixturePod;
let beats = 0;
const instances: Instance[] = [];

beforeAll(async () => {
  controlPlane = await startControlPlane();
  fixture = new ClusterFixture(controlPlane);
  [actors, proxy] = await Promise.all([
    Promise.all([startEtcdActor(fixture.truth), startConsulActor(fixture.truth), startNacosActor(fixture.truth)]),
    KubeProxy.start(controlPlane),
    installOperator(controlPlane),
  ]);
  await Promise.all(actors.map((actor) => actor.apply(fixture.client)));
  await applyPolicy(fixture.client, POLICY, { registries: actors.map(({ name }) => name) });
  [node, namespace] = [await fixture.node(), await fixture.namespace()];
  pacemaker = await fixture.runPod({ namespace, node, name: "pacemaker" });
  const services = Array.from({ length: SERVICES * REPLICAS }, (_, i) => `service-${String(i % SERVICES)}`);
  instances.push(...(await mapBounded(services, PARALLEL, newInstance)));
  proxy.rule({ match: podLists, action: smallerPages(PAGE_SIZE) });
  operator = await startOperator({ cluster: controlPlane, proxy, flags: { "sweep-interval": "1s" } });
  await untilLive();
});

afterAll(async () => {
  const verified = await Promise.allSettled(actors.map(({ oracle }) => oracle.verify()));
  await operator.stop();
  await proxy.stop();
  await fixture.close();
  await Promise.all([controlPlane.stop(), ...actors.map((actor) => actor.close())]);
  expect(verified.filter(({ status }) => status === "rejected")).toEqual([]);
});

async function newInstance(service: string): Promise<Instance> {
  const pod = await fixture.runPod({ namespace, node });
  const ids = actors.map(async (actor) => [actor, await actor.register(pod, service)] as const);
  return { pod, ids: new Map(await Promise.all(ids)) };
}

/** Something for the operator's watch to tell before its next bookmark. */
async function beat(): Promise<void> {
  const body = { metadata: { annotations: { beat: String(++beats) } } };
  await fixture.client.patch(`/api/v1/namespaces/${namespace}/pods/${pacemaker.name}`, body);
}

/** Waits until the operator holds all instances for live, in each registry. */
async function untilLive(within?: number): Promise<void> {
  await eventually(
    `${String(instances.length)} instances are Live in each registry`,
    async () => {
      await beat();
      const metrics = await operator.metrics();
      const counts = actors.map(({ name }) => metrics.sum("hygeia_instances", { verdict: "Live", registry: name }));
      return counts.every((count) => count === instances.length);
    },
    within,
  );
}

/** Kills the operator and starts it again; its list of pods is slow, fails on the way, and expires once. */
async function restartBlindly(): Promise<void> {
  await operator.kill();
  const slow = proxy.rule({ match: podLists, action: late(PAGE_DELAY) });
  const held = proxy.rule({ match: firstPodPages, action: hold() });
  const broken = proxy.rule({
    match: laterPodPages,
    action: answer({ status: 500, reason: "InternalError" }),
    times: 1,
  });
  const expired = proxy.rule({
    match: laterPodPages,
    action: answer({ status: 410, reason: "Expired" }),
    skip: 2,
    times: 1,
  });
  await operator.restart();
  await eventually("the operator knows every registry, and not one pod", async () => {
    const metrics = await operator.metrics();
    const known = actors.map(({ name }) => metrics.sum("hygeia_registry_instances", { registry: name }));
    return known.every((count) => count === instances.length) && held.applied > 0;
  });
  held.remove();
  await operator.untilReady();
  expect({ broken: broken.applied, expired: expired.applied }).toEqual({ broken: 1, expired: 1 });
  for (const rule of [slow, broken, expired]) rule.remove();
}

function idIn(actor: RegistryActor, { ids }: Instance): string {
  const id = ids.get(actor);
  if (id === undefined) throw new Error(`nothing was registered in ${actor.name}`);
  return id;
}

async function die(dying: readonly Instance[]): Promise<void> {
  await fixture.each(dying, ({ pod }) => fixture.confirmDeath(pod));
}

/** The report's evidence for the eviction of an instance from a registry. */
async function evidenceOf(actor: RegistryActor, instance: Instance): Promise<string> {
  const id = idIn(actor, instance);
  return eventually(`the report names the eviction of ${id}`, async () => {
    const report = await findReport(fixture.client, POLICY);
    return report?.status?.evictions?.find((it) => it.registry === actor.name && it.id === id)?.evidence;
  });
}

test(`${String(SERVICES)} services of ${String(REPLICAS)} pods in each: killed and started again ${String(RESTARTS)} times with a list of pods that is late, fails and expires, nothing that lives leaves any of them`, async () => {
  for (let left = RESTARTS; left > 0; left--) {
    await restartBlindly();
    await untilLive();
    for (const { oracle } of actors) {
      await oracle.verify();
      expect(oracle.departures).toEqual([]);
    }
  }
});

test("a zombie leaves each of them, with the evidence that counts there", async () => {
  await operator.untilCaughtUp(beat);
  const dying = instances.splice(0, DYING);
  await die(dying);
  for (const actor of actors) {
    for (const instance of dying) {
      await actor.oracle.departure(idIn(actor, instance));
      expect(await evidenceOf(actor, instance)).toBe("Confirmed");
    }
  }
  await untilLive();
});

describe(`one that answers nobody for ${String(OUTAGE_MS / 1000)} s while pods die`, () => {
  test.each(["etcd", "consul", "nacos"])(
    "%s: the others go on at once, and it is caught up afterwards",
    async (name) => {
      const silent = actors.find((actor) => actor.name === name);
      if (silent === undefined) throw new Error(`nobody plays ${name}`);
      const others = actors.filter((actor) => actor !== silent);
      await operator.untilCaughtUp(beat);
      const pausedAt = performance.now();
      silent.pause();
      const dying = instances.splice(0, DYING);
      try {
        await untilCondition(
          fixture.client,
          { kind: "Registry", name },
          { type: "Ready", status: "False", reason: "NotReachable" },
        );
        await die(dying);
        for (const { oracle, name: other } of others) {
          for (const instance of dying) {
            const actor = actors.find((it) => it.name === other);
            if (actor !== undefined) await oracle.departure(idIn(actor, instance), 5_000);
          }
        }
        await fixture.each(dying, ({ pod }) => fixture.removePod(pod));
        await delay(Math.max(0, OUTAGE_MS - (performance.now() - pausedAt)));
      } finally {
        silent.resume();
      }
      for (const instance of dying) {
        await silent.oracle.departure(idIn(silent, instance), 60_000);
        expect(await evidenceOf(silent, instance)).toBe("Confirmed");
      }
      await untilLive();
    },
    OUTAGE_MS + 180_000,
  );
});
