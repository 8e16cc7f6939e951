import { afterAll, beforeAll, expect, test } from "vitest";

import type { Operator } from "../support/operator.ts";
import { getRegistry } from "../support/operator-objects.ts";
import { REGISTRY, Stage, type StagedInstance } from "../support/operator-stage.ts";
import { type Seen, untilCondition } from "../support/operator-seen.ts";
import { eventually } from "../support/operator-wait.ts";

const UNKNOWN_KEYS = 10_000;
const MEBIBYTE = 1 << 20;
/** One for each framework that keeps its registration in the value. */
const LARGE_VALUES = 6;
/** Nothing leaves by itself during the test. */
const TTL = 600;

/** Where nothing good is written. */
const BAD_PREFIXES = ["/services/", "/micro/", "/dubbo/", "/microservices/bad/", "naming/", "zero/"];

/** What is written for one bad entry; `address` is one of a dead pod, so that whoever believed it would evict it. */
type BadEntry = (address: string, mark: string) => { readonly key: string; readonly value: string };

const json = JSON.stringify;
const naming = (mark: string, value: unknown): ReturnType<BadEntry> => ({
  key: `naming/bad/${mark}`,
  value: typeof value === "string" ? value : json(value),
});
const kratos = (key: string, instance: object): ReturnType<BadEntry> => ({
  key: `/microservices/bad/${key}`,
  value: json({ name: "bad", version: "v1", metadata: {}, ...instance }),
});

/** A sentence for each, under the reason by which it is counted. */
const badEntries: Readonly<Record<string, Readonly<Record<string, BadEntry>>>> = {
  InvalidKey: {
    "a key longer than any registration's": (address, mark) => ({
      key: `/services/bad/${mark.padEnd(17 * 1024, "x")}`,
      value: address,
    }),
  },
  UnknownKey: {
    "a key with one part too many": (address, mark) => ({ key: `/services/bad/${address}/${mark}`, value: "" }),
    "a key with an empty part": (address, mark) => ({ key: `/micro/registry/bad//${mark}`, value: address }),
    "an id that is no number": (address, mark) => ({ key: `zero/bad/id-${mark}`, value: address }),
    "Dubbo's metadata of an application, without a lease": (address, mark) => ({
      key: `/dubbo/shop/revision-${mark}`,
      value: json({ app: "shop", revision: `revision-${mark}`, services: { "bad:tri": { params: { ip: address } } } }),
    }),
    "Dubbo's metadata under a name that an interface could have": (address, mark) => ({
      key: `/dubbo/bad/revision-${mark}`,
      value: json({ app: "bad", revision: `revision-${mark}`, services: { "bad:tri": { params: { ip: address } } } }),
    }),
    "Dubbo's mapping from an interface to applications": (_, mark) => ({
      key: `/dubbo/mapping/org.bad.Service${mark}`,
      value: "shop,bad",
    }),
    "a mapping without applications": (_, mark) => ({ key: `/dubbo/mapping/org.bad.Nobody${mark}`, value: "" }),
  },
  Directory: {
    "the directory of a service": (_, mark) => ({ key: `/services/${mark}`, value: "" }),
    "Dubbo's directory of an interface": (_, mark) => ({ key: `/dubbo/org.bad.Service${mark}`, value: "" }),
    "Dubbo's directory of an interface's providers": (_, mark) => ({
      key: `/dubbo/org.bad.Service${mark}/providers`,
      value: "",
    }),
  },
  InvalidValue: {
    "half a JSON document": (address, mark) => naming(mark, `{"Op":0,"Addr":"${address}`),
    "no document at all": (_, mark) => naming(`${mark}-empty`, ""),
    "a number where the address belongs": (_, mark) => naming(`${mark}-number`, { Op: 0, Addr: 42 }),
    "a field that the framework does not write": (address, mark) =>
      naming(`${mark}-field`, { Op: 0, Addr: address, Extra: true }),
    "a document nested ten thousand deep": (_, mark) => naming(`${mark}-deep`, "[".repeat(10_000) + "]".repeat(10_000)),
  },
  Mismatch: {
    "another id in the value than in the key": (address, mark) =>
      kratos(mark, { id: `not-${mark}`, endpoints: [`http://${address}`] }),
  },
  InvalidAddress: {
    "an address that is none": (_, mark) => naming(`${mark}-nowhere`, { Op: 0, Addr: "10.0.0.999:http" }),
    "one endpoint of two that is none": (address, mark) =>
      kratos(`${mark}-half`, { id: `${mark}-half`, endpoints: [`http://${address}`, "grpc://"] }),
  },
  NotAnInstance: {
    "a note that an address was taken away": (address, mark) => naming(`${mark}-deleted`, { Op: 1, Addr: address }),
  },
  NotAProvider: {
    "a consumer": (address, mark) => ({
      key: `/dubbo/bad/consumers/${encodeURIComponent(`consumer://${address}/bad?mark=${mark}`)}`,
      value: "",
    }),
    "Dubbo's directory of an interface's consumers": (_, mark) => ({
      key: `/dubbo/org.bad.Service${mark}/consumers`,
      value: "",
    }),
  },
  LeaseMismatch: {
    "a lease's id as its key, and another lease": (address, mark) => ({
      key: `zero/bad/75878${mark.replaceAll(/\D/g, "").padStart(14, "0")}`,
      value: address,
    }),
  },
};

const registry: Seen = { kind: "Registry", name: REGISTRY };

let stage: Stage;
let operator: Operator;
let live: StagedInstance;
/** Its address is in most bad entries. It dies first. */
let dead: StagedInstance;
/** Dies while more bad entries arrive. */
let dying: StagedInstance;
/** How many entries of each reason were written. */
const written: Record<string, number> = {};
/** Key -> revision of the only write. */
const untouchable = new Map<string, number>();

beforeAll(async () => {
  stage = await Stage.start();
  for (const prefix of BAD_PREFIXES) stage.oracle.protect(prefix);
  const names = ["live", "dead", "dying"] as const;
  const instances = await stage.instances(names.map((service) => ({ framework: "Kratos", service, ttl: TTL })));
  [live, dead, dying] = instances as [StagedInstance, StagedInstance, StagedInstance];
  await stage.fixture.each(
    Array.from({ length: UNKNOWN_KEYS }, (_, i) => i),
    (i) => put("UnknownKey", { key: `/services/unknown/${i}/${addressOf(dead)}`, value: addressOf(dead) }),
  );
  await putBadEntries("1");
  await putLargeValues("1");
  // Dubbo writes the directory above all others too. It is not under the prefix, and nobody counts it.
  untouchable.set("/dubbo", await stage.session.put("/dubbo", ""));
  operator = await stage.operator({ flags: { "sweep-interval": "1s" } });
  await stage.untilLive(operator, instances.length);
  await stage.untilCaughtUp(operator);
});

afterAll(async () => {
  await stage.stop();
});

function addressOf({ pod }: StagedInstance): string {
  return `${pod.address}:8080`;
}

async function put(reason: string, { key, value }: ReturnType<BadEntry>): Promise<void> {
  written[reason] = (written[reason] ?? 0) + 1;
  untouchable.set(key, await stage.session.put(key, value));
}

async function putBadEntries(mark: string): Promise<void> {
  for (const [reason, entries] of Object.entries(badEntries)) {
    for (const entry of Object.values(entries)) await put(reason, entry(addressOf(dead), mark));
  }
}

/** Registrations of a dead pod that would be perfect, were it not for their size. */
async function putLargeValues(mark: string): Promise<void> {
  const note = "x".repeat(MEBIBYTE);
  for (let i = 0; i < LARGE_VALUES; i++) {
    const id = `large-${mark}-${i}`;
    await put("TooLarge", kratos(id, { id, metadata: { note }, endpoints: [`http://${addressOf(dead)}`] }));
  }
}

/** Waits until everything that was written is counted, reason by reason, in the metric and in the Registry's status. */
async function untilCounted(): Promise<void> {
  const total = Object.values(written).reduce((sum, count) => sum + count, 0);
  let counted: Record<string, number> = {};
  await eventually(`${total} ignored entries are counted by reason`, async () => {
    const metrics = await operator.metrics();
    const count = (reason: string): number => metrics.sum("hygeia_registry_ignored_entries", { reason });
    counted = Object.fromEntries(Object.keys(written).map((reason) => [reason, count(reason)]));
    return metrics.sum("hygeia_registry_ignored_entries") === total;
  }).catch((error: unknown) => {
    throw new Error(`counted ${json(counted)}`, { cause: error });
  });
  expect(counted).toEqual(written);
  await eventually("the Registry's status counts them", async () => {
    const { status } = await getRegistry(stage.fixture.client, REGISTRY);
    return status?.ignoredEntries === total;
  });
}

/** Every bad entry is as it was written. */
async function expectUntouched(): Promise<void> {
  const { keys } = await stage.session.list("");
  const found = new Map(keys.map(({ key, modRevision }) => [key, modRevision]));
  expect([...untouchable].filter(([key, revision]) => found.get(key) !== revision)).toEqual([]);
  await stage.oracle.verify();
}

test("entries that are no instances are counted and left alone, and a zombie among them is found", async () => {
  await stage.crash(dead);
  expect(await stage.oracle.departure(dead.key, 5_000)).toMatchObject({ cause: "Evicted" });
  await stage.untilLive(operator, 2);
  await untilCounted();
  await untilCondition(stage.fixture.client, registry, { type: "Ready", status: "True", reason: "Ready" });
});

test("the same while they arrive", async () => {
  await stage.untilCaughtUp(operator);
  await putBadEntries("2");
  await putLargeValues("2");
  await stage.crash(dying);
  expect(await stage.oracle.departure(dying.key, 5_000)).toMatchObject({ cause: "Evicted" });
  await untilCounted();
  await stage.untilLive(operator, 1);
  expect(await stage.session.get(live.key)).toBeDefined();
  expect(stage.oracle.departures.map(({ key }) => key)).toEqual([dead.key, dying.key]);
  await expectUntouched();
});
