import { afterAll, beforeAll, expect, test } from "vitest";

import type { Operator } from "../support/operator.ts";
import { frameworks, layoutOf, POLICY, REGISTRY, Stage, type StagedInstance } from "../support/operator-stage.ts";
import { untilCondition } from "../support/operator-seen.ts";
import { emptyLists, podReads } from "../support/operator-traffic.ts";
import { eventually } from "../support/operator-wait.ts";
import { Registrant } from "../support/registrants/index.ts";

const REPLICAS = 5;
/** Renewed every 5 s: soon it is known of everything with a lease that it lives. */
const TTL = 15;
/** What the one empty list says is seen until there is another. */
const flags = { "sweep-interval": "500ms", "relist-interval": "10s" };
/** With so many others, all that pods have registered is less than the 20 % that may look dead. */
const OTHERS = 300;

let stage: Stage;
let operator: Operator;
let instances: StagedInstance[];
let unleased: number;

beforeAll(async () => {
  stage = await Stage.start({
    proxied: true,
    zombies: { absentFor: "30s", budget: { unexplainedPercentPerMinute: 100 } },
  });
  instances = await stage.instances(
    frameworks.flatMap((framework) =>
      Array.from({ length: REPLICAS }, () => ({ framework, service: "shop", ttl: TTL })),
    ),
  );
  unleased = instances.filter(({ registrant }) => registrant.lease === "0").length;
  operator = await stage.operator({ flags });
  await stage.untilLive(operator, instances.length);
});

afterAll(async () => {
  await stage.stop();
});

/** A person sees why nothing is evicted. */
async function blockedBySelfPreservation(says: RegExp): Promise<void> {
  const seen = { type: "EvictionBlocked", status: "True", reason: "SelfPreservation", says } as const;
  await untilCondition(stage.fixture.client, { kind: "RegistrationPolicy", name: POLICY }, seen);
  expect(await stage.fixture.kubectl("describe", "rpol", POLICY)).toContain("SelfPreservation");
}

/** Processes that are no pods register themselves there. @returns what takes them away again */
async function registerOthers(host: string): Promise<() => Promise<void>> {
  const { fixture, session } = stage;
  const registrants = await fixture.each(
    Array.from({ length: OTHERS }, (_, i) => 10_000 + i),
    (port) => {
      const layout = layoutOf.Unleased({ service: "others", host, port });
      return Registrant.register(session, layout, { truth: fixture.truth });
    },
  );
  await eventually("the operator lists all of them", async () => {
    const listed = (await operator.metrics()).sum("hygeia_registry_instances", { registry: REGISTRY });
    return listed === instances.length + OTHERS;
  });
  return async () => {
    await fixture.each(registrants, (registrant) => registrant.deregister());
  };
}

/** Nothing has left, and what dies now is evicted. */
async function works(): Promise<void> {
  await stage.untilLive(operator, instances.length);
  await eventually(
    "nothing holds evictions back",
    async () => (await stage.condition("EvictionBlocked")).status === "False",
  );
  const dying = await stage.instance({ framework: "Kratos", service: "brief" });
  await stage.untilLive(operator, instances.length + 1);
  await stage.untilCaughtUp(operator);
  await stage.crash(dying);
  expect(await stage.oracle.departure(dying.key, 10_000)).toMatchObject({ cause: "Evicted" });
  await stage.oracle.verify();
}

test("an API server that has no pods all of a sudden: that they vanished is enough, few as their instances are", async () => {
  // Of an entry with a node's address nobody knows whose it is, nor that it is not ours.
  const takeAway = await registerOthers(stage.node.address);
  await stage.untilCaughtUp(operator);
  const lie = stage.proxy.rule({ match: podReads, action: emptyLists(stage.fixture.client) });
  await blockedBySelfPreservation(/PodsVanished: (\d+) of \1 pods were missing in the last list/);
  expect((await operator.metrics()).sum("hygeia_pods")).toBe(0);
  lie.remove();
  await works();
  await takeAway();
});

test("an API server that has no pods from the start: what has no lease is held for dead, and yet kept, much as there is of other clusters", async () => {
  await registerOthers("192.0.2.1");
  const lie = stage.proxy.rule({ match: podReads, action: emptyLists(stage.fixture.client) });
  await operator.restart();
  const blocked = await eventually(
    "all that is left to hold them is that too many look so",
    async () => {
      const metrics = await operator.metrics();
      const zombies = metrics.sum("hygeia_instances", { verdict: "Zombie" });
      const contested = metrics.sum("hygeia_instances", { verdict: "Contested" });
      if (zombies < unleased || zombies + contested < instances.length) return undefined;
      return metrics.sum("hygeia_blocked_evictions_total", { reason: "SelfPreservation" });
    },
    150_000,
  );
  await blockedBySelfPreservation(/TooManySuspects: (\d+) of \1 instances look dead/);
  await eventually("they were held back again and again", async () => {
    const metrics = await operator.metrics();
    return metrics.sum("hygeia_blocked_evictions_total", { reason: "SelfPreservation" }) > blocked + 4 * unleased;
  });
  lie.remove();
  await stage.untilLive(operator, instances.length);
  // The pods only look younger than what they registered: another service of theirs must not make strangers of them.
  const late = await stage.fixture.each(instances, ({ pod, framework }) =>
    stage.register(pod, { framework, service: "late", ttl: TTL }),
  );
  instances.push(...late);
  await works();
});
