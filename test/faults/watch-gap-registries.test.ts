/**
 * A StatefulSet's pods are recreated under their names while the operator is told nothing. In Consul and Nacos who comes
 * back to its address registers the identical entry: only the API server can tell that somebody is there.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import { answer } from "../env/proxy/index.ts";
import type { OwnerReference } from "../support/cluster-fixture-objects.ts";
import type { Operator } from "../support/operator.ts";
import { Refusals } from "../support/operator-refusals.ts";
import { holdFrom, openWatchGap, podWatches } from "../support/operator-traffic.ts";
import { type EverywhereInstance, RegistriesStage } from "../support/registries-stage.ts";
import { createStatefulSet } from "../support/stateful-sets.ts";

const REGISTRIES = ["consul", "nacos"] as const;
/** Live instances of no interest: what looks dead must stay a small part of each registry. */
const BYSTANDERS = 30;
/** Pods that come back at their address, and that come back at another one. */
const SAME = 4;
const OTHER = 2;

let stage: RegistriesStage;
let operator: Operator;
let living = BYSTANDERS;

beforeAll(async () => {
  stage = await RegistriesStage.start({
    registries: REGISTRIES,
    zombies: { budget: { unexplainedPercentPerMinute: 100 } },
  });
  await stage.instances(Array.from({ length: BYSTANDERS }, (_, i) => `bystander-${String(i % 5)}`));
  operator = await stage.operator({ flags: { "sweep-interval": "500ms" }, proxied: true });
  await stage.untilLive(operator, living);
});

afterAll(async () => {
  await stage.stop();
});

interface Wish {
  readonly service: string;
  readonly ordinal: number;
  readonly owner: OwnerReference;
  readonly addresses?: readonly string[];
}

async function runOrdinal({ service, ordinal, owner, addresses }: Wish): Promise<EverywhereInstance> {
  const { namespace, node } = stage;
  const name = `${service}-${String(ordinal)}`;
  const options = { namespace, node, name, ownerReferences: [owner], ...(addresses !== undefined && { addresses }) };
  return stage.register(await stage.fixture.runPod(options), service);
}

/** All end, and the next pod of each name registers itself: at the same address, or, from `moved` on, at another one. */
async function recreate(
  olds: readonly EverywhereInstance[],
  owner: OwnerReference,
  moved: number,
): Promise<EverywhereInstance[]> {
  await stage.fixture.each(olds, ({ pod }) => stage.fixture.terminatePod(pod));
  const wishes = olds.map(({ pod: { addresses }, service }, ordinal) => {
    return { service, ordinal, owner, ...(ordinal < moved && { addresses }) };
  });
  return stage.fixture.each(wishes, runOrdinal);
}

test.each([
  { how: "the watch goes on where it broke off", name: "resumed", other: OTHER },
  { how: "the watch expires and pods are listed anew", name: "listed", other: 0 },
])("$how: who came back at its address keeps the entry, in Consul and in Nacos", async ({ name, other }) => {
  const before = stage.actors.map(({ oracle }) => oracle.departures.length);
  const owner = await createStatefulSet(stage.fixture, stage.namespace, name);
  const ordinals = Array.from({ length: SAME + other }, (_, ordinal) => ({ service: name, ordinal, owner }));
  const olds = await stage.fixture.each(ordinals, runOrdinal);
  living += ordinals.length;
  await stage.untilLive(operator, living);
  await stage.untilCaughtUp(operator);

  const refusals = new Refusals(operator);
  const closeGap = await openWatchGap(stage.proxy);
  const news = await recreate(olds, owner, SAME);
  expect(news.slice(0, SAME).map(({ ids }) => ids)).toEqual(olds.slice(0, SAME).map(({ ids }) => ids));

  if (name === "resumed") {
    // It is told of every death, and of nobody who came after.
    const held = stage.proxy.rule({ match: podWatches, action: holdFrom(new Set(news.map(({ pod }) => pod.uid))) });
    closeGap();
    await refusals.untilRefused(REGISTRIES, olds.slice(0, SAME), /holds \S+ and was not in the view$/);
    const moved = olds.slice(SAME);
    await stage.untilLeft(moved);
    held.remove();
    for (const registry of REGISTRIES) {
      for (const instance of moved) {
        const eviction = await stage.reportedEviction(registry, instance);
        expect(eviction).toMatchObject({ evidence: "Confirmed", pod: { uid: instance.pod.uid } });
      }
    }
  } else {
    stage.proxy.rule({ match: podWatches, action: answer({ status: 410, reason: "Expired" }), times: 1 });
    stage.proxy.cut(podWatches);
    closeGap();
  }

  await stage.untilCaughtUp(operator);
  await stage.untilLive(operator, living);
  await stage.untilJudgedAgain(operator);
  await stage.verify();
  expect(stage.actors.map(({ oracle }) => oracle.departures.length)).toEqual(before.map((count) => count + other));
});
