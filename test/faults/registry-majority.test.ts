/** A registry of three members loses its majority while pods die and the addresses of some are used again. */
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";

import type { FixturePod } from "../support/cluster-fixture.ts";
import type { Operator } from "../support/operator.ts";
import { eventsOn, type Seen, untilCondition } from "../support/operator-seen.ts";
import { type Framework, frameworks, POLICY, REGISTRY, Stage, type StagedInstance } from "../support/operator-stage.ts";
import { eventually } from "../support/operator-wait.ts";

const REPLICAS = 3;
/** So many die each time, and are followed at their address by another pod of the same service. */
const REUSED = 6;
/** So many die each time, and nobody follows them. */
const LOST = 3;
/** Longer than any fault here lasts, so that no lease runs out by itself. */
const TTL = 120;
/** No lease, and the address as the key: whoever comes to the address next writes the very same. */
const TWIN: Framework = "Unleased";
/** How the lack of a majority shows depends on the member that is asked, and on when: reasons, and what they say. */
const NO_MAJORITY = ["NoLeader", "TimedOut", "Unreachable"];
const ANY_OF_IT = /(no answer|did not agree) in time|no leader|changing its leader|no connection/;
const registry: Seen = { kind: "Registry", name: REGISTRY };
const policy: Seen = { kind: "RegistrationPolicy", name: POLICY };

let stage: Stage;
let operator: Operator;
/** Those that live. */
let instances: StagedInstance[];

beforeAll(async () => {
  stage = await Stage.start({ etcd: { members: 3 }, registry: { requestTimeout: "2s" } });
  instances = await stage.instances(
    frameworks.flatMap((framework) =>
      Array.from({ length: REPLICAS }, () => ({ framework, service: "shop", ttl: TTL })),
    ),
  );
  operator = await stage.operator({ flags: { "sweep-interval": "500ms" } });
  await stage.untilLive(operator, instances.length);
});

afterAll(async () => {
  await stage.stop();
});

/** A twin that died, and the pod that has its address now. */
interface Succession {
  readonly dead: StagedInstance;
  readonly heir: FixturePod;
}

/** The part we read of `etcdctl endpoint status --write-out=json`. Ids lose digits as numbers, and still differ. */
interface MemberStatus {
  readonly Endpoint: string;
  readonly Status: { readonly header: { readonly member_id: number }; readonly leader: number };
}

/** Stops two of the three, as a frozen machine does. @returns what lets them go on */
async function stopMajority(survivor: "leader" | "follower"): Promise<() => void> {
  const { endpoints, members } = stage.etcd;
  const statuses = JSON.parse(await stage.etcd.ctl("endpoint", "status", "--write-out=json")) as MemberStatus[];
  const isLeader = ({ Endpoint }: MemberStatus): boolean => {
    const status = statuses.find((each) => each.Endpoint === Endpoint)?.Status;
    return status !== undefined && status.leader === status.header.member_id;
  };
  const survives = statuses.find((each) => isLeader(each) === (survivor === "leader"))?.Endpoint ?? "";
  const stopped = members.filter((_, i) => endpoints[i] !== survives);
  expect(stopped).toHaveLength(2);
  for (const member of stopped) member.pause();
  const goOn = (): void => {
    for (const member of stopped) member.resume();
  };
  onTestFinished(goOn);
  return goOn;
}

/** What registry and policy say while no member can vouch for what the registry holds. */
async function saysWhy(): Promise<void> {
  const { client } = stage.fixture;
  await untilCondition(client, registry, { type: "Reachable", status: "False", reason: NO_MAJORITY, says: ANY_OF_IT });
  await untilCondition(client, registry, { type: "Synced", status: "False", reason: "Disconnected" });
  const says = new RegExp(`registry "?${REGISTRY}"?.*(${ANY_OF_IT.source})`);
  await untilCondition(client, policy, { type: "Ready", status: "False", reason: "RegistryNotReady", says });
  await untilCondition(client, policy, { type: "EvictionBlocked", status: "True", reason: "ViewNotFresh", says });
  const reasons = NO_MAJORITY.map((reason) => `Registry${reason}`);
  await eventually("an Event tells of it", async () => {
    const events = await eventsOn(client, registry);
    return events.some(({ type, reason, note }) => {
      return type === "Warning" && reasons.includes(reason) && ANY_OF_IT.test(note);
    });
  });
}

/** The process of a pod tries to register until it is heard, as a real one does. */
async function registerInTheEnd(pod: FixturePod, { framework, service }: StagedInstance): Promise<StagedInstance> {
  return eventually("it is registered", () => stage.register(pod, { framework, service }));
}

/** So many evictions were acknowledged so far. */
async function evicted(): Promise<number> {
  return (await operator.metrics()).sum("hygeia_evictions_total", { result: "Evicted" });
}

/** They die, the operator hears of it, and a pod that the API does not show yet has the address of each twin. */
async function die(dying: readonly StagedInstance[]): Promise<Succession[]> {
  const twins = dying.filter(({ framework }) => framework === TWIN);
  const successions = await stage.fixture.each(twins, async (dead) => {
    return { dead, heir: await stage.hiddenPod({ addresses: dead.pod.addresses }) };
  });
  await stage.fixture.each(dying, (each) => stage.crash(each));
  await stage.untilCaughtUp(operator);
  return successions;
}

/** By itself, and without a condition that stays behind: nobody has touched the operator. */
async function evictsAgain(): Promise<void> {
  const [last] = instances.splice(0, 1) as [StagedInstance];
  await stage.untilCaughtUp(operator);
  await stage.crash(last);
  expect(await stage.oracle.departure(last.key, 10_000)).toMatchObject({ cause: "Evicted" });
  expect(await stage.reportedEviction(last.key)).toMatchObject({ evidence: "Confirmed" });
  const { client } = stage.fixture;
  await untilCondition(client, registry, { type: "Ready", status: "True", reason: "Ready" });
  await untilCondition(client, policy, { type: "Ready", status: "True", reason: "Ready" });
  await untilCondition(client, policy, { type: "EvictionBlocked", status: "False", reason: "NotBlocked" });
  await stage.oracle.verify();
}

test.each(["leader", "follower"] as const)(
  "two of three members stop and a %s is left: nothing is known, nothing leaves, and the dead leave when they go on",
  async (survivor) => {
    const twins = await stage.instances(
      Array.from({ length: 2 * REUSED }, () => ({ framework: TWIN, service: `twin-of-${survivor}` })),
    );
    const lost = instances.splice(0, 2 * LOST);
    await stage.untilLive(operator, instances.length + lost.length + twins.length);
    await stage.untilCaughtUp(operator);
    const [departures, evictions] = [stage.oracle.departures.length, await evicted()];

    const goOn = await stopMajority(survivor);
    // The operator does not know yet that nobody answers: it decides on these, and asks in vain.
    const atOnce = await die([...twins.slice(0, REUSED), ...lost.slice(0, LOST)]);
    await saysWhy();
    const later = await die([...twins.slice(REUSED), ...lost.slice(LOST)]);
    await eventually("every verdict is Unknown", async () => {
      const metrics = await operator.metrics();
      return metrics.sum("hygeia_instances", { verdict: "Unknown" }) === metrics.sum("hygeia_instances");
    });
    expect(await evicted()).toBe(evictions);

    // They are on their way when the majority is there again, and so is the operator, which knows of each death by then.
    const registering = [...atOnce, ...later].map(({ dead, heir }) => registerInTheEnd(heir, dead));
    expect(stage.oracle.departures).toHaveLength(departures);
    goOn();
    const born = await Promise.all(registering);
    for (const { key } of lost) expect(await stage.oracle.departure(key)).toMatchObject({ cause: "Evicted" });
    await stage.fixture.each(born, ({ pod }) => stage.fixture.startPod(pod));
    instances.push(...born);
    await stage.untilLive(operator, instances.length);
    for (const { key } of born) expect(await stage.session.get(key), key).toBeDefined();
    await evictsAgain();
  },
);
