import { afterAll, beforeAll, expect, test } from "vitest";

import { answer, delay } from "../env/proxy/index.ts";
import type { OwnerReference } from "../support/cluster-fixture-objects.ts";
import type { Operator } from "../support/operator.ts";
import { type Framework, Stage, type StagedInstance } from "../support/operator-stage.ts";
import { openWatchGap, podBarriers, podWatches } from "../support/operator-traffic.ts";
import { eventually } from "../support/operator-wait.ts";
import { createStatefulSet } from "../support/stateful-sets.ts";

/** Time between two events of the watch that makes up for the gap, milliseconds: the operator sees each state alone. */
const EVENT_DELAY = 50;
/** Renewed every 10 s; acted on when it was silent for 20 s. */
const TTL = 30;
/** Live instances of no interest: what looks dead must stay a small part of the registry. */
const BYSTANDERS = 60;

interface Case {
  readonly framework: Framework;
  /** Whether the key says which pod (by its name), which address, or neither. */
  readonly key: "Pod" | "Address" | "Neither";
  readonly address: "Same" | "Other";
}

/** Every pod of the StatefulSet, by its ordinal. */
const cases: readonly Case[] = [
  { framework: "Kitex", key: "Address", address: "Same" },
  { framework: "DubboApplication", key: "Address", address: "Other" },
  { framework: "Kratos", key: "Neither", address: "Same" },
  { framework: "GoMicro", key: "Neither", address: "Other" },
  { framework: "Unleased", key: "Pod", address: "Same" },
  { framework: "Unleased", key: "Pod", address: "Other" },
];

let stage: Stage;
let operator: Operator;
let live = BYSTANDERS;

beforeAll(async () => {
  stage = await Stage.start({
    proxied: true,
    zombies: { silentFor: "5s", budget: { unexplainedPercentPerMinute: 100 } },
  });
  await stage.instances(Array.from({ length: BYSTANDERS }, () => ({ framework: "Kitex", service: "bystander" })));
  operator = await stage.operator({ flags: { "sweep-interval": "500ms" } });
  await stage.untilLive(operator, live);
});

afterAll(async () => {
  await stage.stop();
});

/** Revisions go on to be read in the gap, so that the operator knows how far behind its watch is. */
async function barrierPasses(): Promise<void> {
  const before = stage.proxy.count(podBarriers);
  await eventually("a barrier", () => stage.proxy.count(podBarriers) > before + 1);
}

/** Ends the pod and its process, and lets a successor of its name register as the StatefulSet's next one does. */
async function recreate(
  old: StagedInstance,
  { address, framework, key }: Case,
  owner: OwnerReference,
): Promise<StagedInstance> {
  old.registrant.crash();
  const { name, node, addresses } = old.pod;
  const pod = await stage.fixture.recreatePod(old.pod, {
    node,
    ownerReferences: [owner],
    ...(address === "Same" && { addresses }),
  });
  return stage.register(pod, { framework, service: old.service, ttl: TTL, ...(key === "Pod" && { keyName: name }) });
}

test.each([
  { how: "the watch goes on where it broke off", evidence: "Confirmed" },
  { how: "the watch expires and pods are listed anew", evidence: "Unconfirmed" },
])("a StatefulSet's pods are recreated under their names while the watch is broken, and $how", async ({ evidence }) => {
  const name = evidence.toLowerCase();
  const owner = await createStatefulSet(stage.fixture, stage.namespace, name);
  const olds = await stage.instances(
    cases.map(({ framework, key }, i) => ({
      framework,
      service: name,
      ttl: TTL,
      name: `${name}-${i}`,
      ownerReferences: [owner],
      ...(key === "Pod" && { keyName: `${name}-${i}` }),
    })),
  );
  live += cases.length;
  await stage.untilLive(operator, live);
  await stage.untilCaughtUp(operator);

  const closeGap = await openWatchGap(stage.proxy);
  const news = await stage.fixture.each(cases, (each) =>
    recreate(olds[cases.indexOf(each)] as StagedInstance, each, owner),
  );
  await barrierPasses();
  const slow = stage.proxy.rule({ match: podWatches, action: delay(EVENT_DELAY) });
  if (evidence === "Unconfirmed") {
    stage.proxy.rule({ match: podWatches, action: answer({ status: 410, reason: "Expired" }), times: 1 });
    stage.proxy.cut(podWatches);
  }
  closeGap();

  for (const [i, { key, address }] of cases.entries()) {
    const [old, born] = [olds[i], news[i]] as [StagedInstance, StagedInstance];
    if (old.key !== born.key) {
      // At the same address only the watch shows that the old pod had ended before its successor came.
      if (address === "Other" || evidence === "Confirmed") {
        expect(await stage.oracle.departure(old.key, 45_000)).toMatchObject({ cause: "Evicted" });
        expect(await stage.reportedEviction(old.key)).toMatchObject({ evidence, pod: { uid: old.pod.uid } });
      } else live += 1;
    }
    const stored = await stage.session.get(born.key);
    expect(stored?.lease, `${address} address, key says ${key}`).toBe(born.registrant.lease);
  }
  slow.remove();
  await stage.untilLive(operator, live);
});
