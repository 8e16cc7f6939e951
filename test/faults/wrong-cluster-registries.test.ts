/** An API server that has fallen behind, or does not show one namespace: three registries keep everything, and a condition says why. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { Recording } from "../env/proxy/index.ts";
import type { Operator, OperatorOptions } from "../support/operator.ts";
import { forbidNamespace } from "../support/operator-forbidden.ts";
import { untilCondition } from "../support/operator-seen.ts";
import { aboutPods } from "../support/operator-traffic.ts";
import { eventually } from "../support/operator-wait.ts";
import { type EverywhereInstance, POLICY, RegistriesStage } from "../support/registries-stage.ts";

const INSTANCES = 18;
/** They come when the API server has fallen behind already. */
const YOUNG = 6;
const SERVICES = 6;
const policy = { kind: "RegistrationPolicy", name: POLICY } as const;

let stage: RegistriesStage;
let operator: Operator;
/** Those that live. */
let instances: EverywhereInstance[];

beforeAll(async () => {
  stage = await RegistriesStage.start({
    zombies: { absentFor: "30s", silentFor: "5s", budget: { unexplainedPercentPerMinute: 100 } },
    // Nothing anywhere but the cluster tells whether its registrant lives.
    nacos: { instances: "Persistent" },
  });
  instances = await newInstances(INSTANCES);
  await startOperator();
});

afterAll(async () => {
  await stage.stop();
});

/** When the cause is gone: nothing that lives has left any registry, and the operator does its work again. */
afterEach(async () => {
  await stage.untilLive(operator, instances.length);
  const released = { type: "EvictionBlocked", status: "False", reason: "NotBlocked" } as const;
  await untilCondition(stage.fixture.client, policy, released, 60_000);
  await stage.untilCaughtUp(operator);
  const dying = instances.splice(0, 1);
  await stage.die(dying);
  await stage.untilLeft(dying);
  await stage.verify();
});

async function newInstances(count: number): Promise<EverywhereInstance[]> {
  return stage.instances(Array.from({ length: count }, (_, i) => `shop-${String(i % SERVICES)}`));
}

async function startOperator(options: Pick<OperatorOptions, "denials"> = {}): Promise<void> {
  const flags = { "sweep-interval": "500ms", "relist-interval": "2s", "freshness-limit": "12s" };
  operator = await stage.operator({ flags, proxied: true, ...options });
  await stage.untilLive(operator, instances.length);
}

/** How many have left each registry so far. */
function departed(): readonly number[] {
  return stage.actors.map(({ oracle }) => oracle.departures.length);
}

/** A person sees why nothing is evicted, and no entry of any registry is concluded upon. */
async function expectBlind(says: RegExp): Promise<void> {
  const before = departed();
  const blocked = { type: "EvictionBlocked", status: "True", reason: "ViewNotFresh", says } as const;
  await untilCondition(stage.fixture.client, policy, blocked);
  expect(await stage.fixture.kubectl("describe", "rpol", POLICY)).toContain("ViewNotFresh");
  await stage.untilVerdict(operator, "Unknown", instances.length);
  await stage.untilJudgedAgain(operator);
  expect(departed()).toEqual(before);
}

test("an API server that has fallen behind, and does not know the youngest pods", async () => {
  const recording = new Recording();
  const recorder = stage.proxy.rule({ match: aboutPods, action: recording.recorder });
  await operator.restart();
  await stage.untilLive(operator, instances.length);
  recorder.remove();
  instances.push(...(await newInstances(YOUNG)));
  await stage.untilLive(operator, instances.length);

  const player = stage.proxy.rule({ match: aboutPods, action: recording.player });
  try {
    stage.proxy.cut(aboutPods);
    await expectBlind(/WentBack: /);
  } finally {
    player.remove();
    stage.proxy.cut(aboutPods);
  }
});

test("one namespace whose pods the operator may not see", async () => {
  await operator.stop();
  await startOperator({ denials: "Expected" });
  const restore = await forbidNamespace(stage.fixture.client, stage.namespace);
  try {
    await expectBlind(/forbidden/i);
    await operator.restart();
    await eventually("/readyz says which kind is missing", async () => {
      const { ready, text } = await operator.readiness();
      return !ready && /\[-\]pods failed: .*forbidden/i.test(text);
    });
    await stage.untilVerdict(operator, "Unknown", instances.length);
  } finally {
    await restore();
  }
});
