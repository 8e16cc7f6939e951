import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";

import { TcpProxy } from "../env/proxy/index.ts";
import type { FixturePod } from "../support/cluster-fixture.ts";
import type { Operator } from "../support/operator.ts";
import { type Seen, untilCondition, untilEvent } from "../support/operator-seen.ts";
import { type Framework, frameworks, POLICY, REGISTRY, Stage, type StagedInstance } from "../support/operator-stage.ts";
import { eventually } from "../support/operator-wait.ts";

const REPLICAS = 4;
/** Longer than any fault here lasts, so that no lease runs out by itself. */
const TTL = 120;
/** No lease and no part of the key that is random: whoever comes to the address next writes the very same. */
const TWIN: Framework = "Unleased";
/** Find their lease lost and register again by themselves; the others do it when they are started next. */
const persistent: ReadonlySet<Framework> = new Set(["GoMicro", "GoZero", "Kratos", "Kitex"]);
const registry: Seen = { kind: "Registry", name: REGISTRY };
const policy: Seen = { kind: "RegistrationPolicy", name: POLICY };

let stage: Stage;
let operator: Operator;
/** Between the operator and etcd. */
let line: TcpProxy;
let instances: StagedInstance[];

beforeAll(async () => {
  stage = await Stage.start({
    endpoints: async ([real = ""]) => {
      const { hostname: host, port } = new URL(real);
      line = await TcpProxy.start({ host, port: Number(port) });
      return [`http://127.0.0.1:${line.port}`];
    },
    registry: { requestTimeout: "2s" },
  });
  instances = await stage.instances(
    frameworks.flatMap((framework) =>
      Array.from({ length: REPLICAS }, (_, i) => ({ framework, service: `service-${i}`, ttl: TTL })),
    ),
  );
  operator = await stage.operator({ flags: { "sweep-interval": "500ms" } });
  await stage.untilLive(operator, instances.length);
});

afterAll(async () => {
  await stage.stop();
  await line.stop();
});

/** What a pod registered before it died, and when. */
interface Dead extends StagedInstance {
  /** Revision at which it wrote its key. */
  readonly revision: number;
}

/** A pod registers, and the operator has taken that in. */
async function registerTwin(pod: FixturePod, service: string): Promise<Dead> {
  const instance = await stage.register(pod, { framework: TWIN, service });
  const stored = await stage.session.get(instance.key);
  await untilListed(instances.length + 1);
  return { ...instance, revision: stored?.modRevision ?? 0 };
}

async function runPod(): Promise<FixturePod> {
  return stage.fixture.runPod({ namespace: stage.namespace, node: stage.node });
}

/** Waits until the operator lists so many instances, whatever it thinks of them. */
async function untilListed(count: number): Promise<void> {
  await eventually(`the operator lists ${count} instances`, async () => {
    return (await operator.metrics()).sum("hygeia_registry_instances", { registry: REGISTRY }) === count;
  });
}

/** Waits until the operator has proven that it knows what the registry holds now. */
async function untilProven(): Promise<void> {
  const since = performance.now();
  await eventually("a canary of now has been read back", async () => {
    const metrics = await operator.metrics();
    const age = metrics.sum("hygeia_registry_view_age_seconds", { registry: REGISTRY });
    return metrics.startedAt - age * 1000 > since;
  });
}

/**
 * While the operator does not hear what goes on in the registry, the pod dies, and one that is proven to be younger than
 * the entry has its address, which the API does not show yet.
 */
async function dieUnheard(dead: Dead): Promise<FixturePod> {
  await line.refuse();
  await stage.untilCaughtUp(operator);
  const heir = await stage.hiddenPod({ addresses: dead.pod.addresses });
  await stage.crash(dead);
  await stage.untilCaughtUp(operator);
  return heir;
}

/** The heir is at work before anybody is told its address, then shown; its entry must be there throughout. */
async function heirStays(born: StagedInstance): Promise<void> {
  await eventually("the operator has judged what the heir wrote", async () => {
    const metrics = await operator.metrics();
    return metrics.sum("hygeia_instances", { verdict: "Suspect" }) === 1;
  });
  expect(await stage.session.get(born.key)).toBeDefined();
  await stage.fixture.startPod(born.pod);
  instances.push(born);
}

/** The heir writes what the dead one wrote, at the same revision. */
async function registerHeir(heir: FixturePod, dead: Dead): Promise<StagedInstance> {
  await reachRevision(dead.revision - 1);
  const born = await stage.register(heir, dead);
  expect(await stage.session.get(born.key)).toMatchObject({
    key: dead.key,
    modRevision: dead.revision,
    lease: dead.registrant.lease,
  });
  return born;
}

/** Writes until etcd's revision is this one, if it is not yet. */
async function reachRevision(revision: number): Promise<void> {
  let reached = await stage.etcd.revision();
  while (reached < revision) reached = await stage.session.put("filler", "");
}

/** How often the operator has listed the registry for this cause. `WentBack`: its data is no continuation of what was known. */
async function lists(cause: "WentBack" | "Compacted"): Promise<number> {
  return (await operator.metrics()).sum("hygeia_registry_lists_total", { cause });
}

/** After the registry has lost their leases: each registers as its framework does, or as its next start does. */
async function registerAgain(all: readonly StagedInstance[]): Promise<void> {
  await stage.fixture.each(all, async ({ framework, registrant }) => {
    await registrant.thaw();
    if (!persistent.has(framework)) await registrant.reregister();
  });
  await stage.untilLive(operator, instances.length);
}

function freeze(all: readonly StagedInstance[]): void {
  for (const { registrant } of all) registrant.freeze();
}

/** By itself: nobody has touched the operator. */
async function evictsAgain(): Promise<void> {
  const [zombie] = instances.splice(0, 1) as [StagedInstance];
  await stage.crash(zombie);
  expect(await stage.oracle.departure(zombie.registrant.key, 10_000)).toMatchObject({ cause: "Evicted" });
  await untilCondition(stage.fixture.client, registry, { type: "Ready", status: "True", reason: "Ready" });
  await untilCondition(stage.fixture.client, policy, { type: "Ready", status: "True", reason: "Ready" });
  await untilCondition(stage.fixture.client, policy, {
    type: "EvictionBlocked",
    status: "False",
    reason: "NotBlocked",
  });
  await stage.oracle.verify();
}

/** What registry and policy say while the registry can not be asked. */
async function saysWhy(reason: string, says: RegExp): Promise<void> {
  const { client } = stage.fixture;
  await untilCondition(client, registry, { type: "Reachable", status: "False", reason, says });
  await untilCondition(client, registry, { type: "Synced", status: "False", reason: "Disconnected" });
  await untilCondition(client, policy, { type: "Ready", status: "False", reason: "RegistryNotReady", says });
  await untilCondition(client, policy, { type: "EvictionBlocked", status: "True", reason: "ViewNotFresh", says });
  await untilEvent(client, registry, `Registry${reason}`, says);
}

/** What goes on in the registry while the operator does not hear it: one leaves in order, some write again, one comes. */
async function changeUnheard(): Promise<void> {
  const [leaving] = instances.splice(0, 1) as [StagedInstance];
  await leaving.registrant.deregister();
  await stage.fixture.each(instances.slice(0, REPLICAS), ({ registrant }) => registrant.rewrite());
  instances.push(await stage.instance({ framework: "Kitex", service: "newcomer", ttl: TTL }));
}

test("compacted while nothing was heard: it is read anew, what died is evicted, and what lives or came stays", async () => {
  const dead = await registerTwin(await runPod(), "compacted");
  const zombies = instances.splice(0, 2);
  await untilProven();
  const heir = await dieUnheard(dead);
  await stage.fixture.each(zombies, (zombie) => stage.crash(zombie));
  await changeUnheard();
  const born = await stage.register(heir, dead);
  await stage.etcd.compact();
  await saysWhy("Unreachable", /no connection \(.*(ECONNRESET|ECONNREFUSED)/);
  expect(stage.oracle.departures.filter(({ cause }) => cause !== "Deregistered")).toEqual([]);
  await line.listen();
  await eventually("history was gone, and it is read anew", async () => (await lists("Compacted")) > 0);
  await heirStays(born);
  for (const { key } of zombies) {
    expect(await stage.oracle.departure(key)).toMatchObject({ cause: "Evicted" });
    // What was known of an entry before the gap still counts: nobody has to wait for its silence.
    expect(await stage.reportedEviction(key)).toMatchObject({ evidence: "Confirmed" });
  }
  await untilListed(instances.length);
  await stage.untilLive(operator, instances.length);
  expect(await lists("WentBack")).toBe(0);
  await evictsAgain();
});

test("wiped: what is written again at the same revision is another entry", async () => {
  const dead = await registerTwin(await runPod(), "wiped");
  await reachRevision(dead.revision + 100);
  await untilProven();
  const heir = await dieUnheard(dead);
  // Whichever it meets first: the connection it had, or the next it asked for.
  await saysWhy("Unreachable", /no connection \(.*(ECONNRESET|ECONNREFUSED)/);
  freeze(instances);
  await stage.etcd.wipe();
  await stage.oracle.registryRestored(0);
  const born = await registerHeir(heir, dead);
  await line.listen();
  await untilEvent(stage.fixture.client, registry, "RegistryViewReset", /^WentBack: the revision went back/);
  await heirStays(born);
  await registerAgain(instances);
  await evictsAgain();
});

interface Snapshot {
  readonly file: string;
  readonly revision: number;
}

async function saveSnapshot(): Promise<Snapshot> {
  const directory = mkdtempSync(join(tmpdir(), "hygeia-snapshot-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "snapshot");
  await stage.etcd.saveSnapshot(file);
  return { file, revision: await stage.etcd.revision() };
}

/** The registry goes back to a snapshot, and then on beyond where it was. */
async function goBack(saved: Snapshot, heir: FixturePod, dead: Dead): Promise<StagedInstance> {
  const highest = await stage.etcd.revision();
  await stage.etcd.restoreSnapshot(saved.file);
  await stage.oracle.registryRestored(saved.revision);
  const born = await registerHeir(heir, dead);
  await reachRevision(highest + 10);
  return born;
}

test("restored from an older snapshot, and grown past what we knew: only our canary tells", async () => {
  const snapshot = await saveSnapshot();
  const dead = await registerTwin(await runPod(), "restored");
  await untilProven();
  const heir = await dieUnheard(dead);
  freeze(instances);
  const born = await goBack(snapshot, heir, dead);
  const before = await lists("WentBack");
  await line.listen();
  await eventually("the operator has found another history", async () => (await lists("WentBack")) > before);
  await heirStays(born);
  await registerAgain(instances);
  await evictsAgain();
});

test("back without its last writes, and grown past them: not even our canary tells", async () => {
  const pod = await runPod();
  const [leaving] = instances.splice(0, 1) as [StagedInstance];
  // Our canaries wait, and what others write is seen.
  line.setMode({ kind: "Hold", direction: "ToServer" });
  const snapshot = await saveSnapshot();
  await leaving.registrant.deregister();
  const dead = await registerTwin(pod, "lost-tail");
  const heir = await dieUnheard(dead);
  freeze(instances);
  const born = await goBack(snapshot, heir, dead);
  const before = await lists("WentBack");
  line.setMode({ kind: "Forward" });
  await line.listen();
  await heirStays(born);
  expect(await lists("WentBack")).toBe(before);
  await untilListed(instances.length + 1);
  instances.push(leaving);
  await registerAgain(instances);
  await evictsAgain();
});
