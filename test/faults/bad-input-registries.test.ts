/** What is no instance in Consul and Nacos, thousands of it, and what is very large: counted or left alone, and the work goes on. */
import { afterAll, beforeAll, expect, test } from "vitest";

import type { FixturePod } from "../support/cluster-fixture.ts";
import { mapBounded } from "../support/concurrency.ts";
import { type CatalogRegistration, catalogRegistration, ConsulApi, EXTERNAL_NODE } from "../support/consul-api.ts";
import { NacosApi, type NacosRegistration } from "../support/nacos-api.ts";
import type { Operator } from "../support/operator.ts";
import { getRegistry } from "../support/operator-objects.ts";
import { untilCondition } from "../support/operator-seen.ts";
import { eventually } from "../support/operator-wait.ts";
import { nacosId } from "../support/registry-nacos.ts";
import { type EverywhereInstance, RegistriesStage } from "../support/registries-stage.ts";

const UNKNOWN = 3_000;
/** A transaction of Consul takes 128 operations. */
const IN_ONE_TRANSACTION = 100;
const PARALLEL = 16;
const PORT = 8080;
const MEBIBYTE = "x".repeat(1 << 20);
/** Nacos itself must forget nobody while a test looks on. */
const UNHURRIED = { "preserved.heart.beat.timeout": "3600000", "preserved.ip.delete.timeout": "3600000" };

/** A sentence for each, under the reason by which it is counted; `address` is one of a dead pod, so that whoever believed it would evict it. */
type BadEntries<Entry> = Readonly<Record<string, Readonly<Record<string, (address: string, mark: string) => Entry>>>>;

const inConsul: BadEntries<Pick<CatalogRegistration, "service" | "host" | "port">> = {
  InvalidAddress: {
    "an address with a part too large": () => ({ service: "bad", host: "10.0.0.999", port: PORT }),
    "address and port in one": (address) => ({ service: "bad", host: `${address}:8080`, port: PORT }),
    "a sentence": () => ({ service: "bad", host: "not an address", port: PORT }),
    "a URL of nowhere": () => ({ service: "bad", host: "http://", port: PORT }),
    "1 MiB of an address": (address) => ({ service: "bad", host: address + MEBIBYTE, port: PORT }),
    "a port beyond the last one": (address) => ({ service: "bad", host: address, port: 70_000 }),
    "a port below the first one": (address) => ({ service: "bad", host: address, port: -1 }),
  },
  ConsulItself: {
    "the name under which Consul's servers list themselves": (address) => {
      return { service: "consul", host: address, port: PORT };
    },
  },
};

const inNacos: BadEntries<Pick<NacosRegistration, "service" | "ip" | "port">> = {
  InvalidAddress: {
    "an address with a part too large": (_, mark) => ({ service: `bad-${mark}`, ip: "10.0.0.999", port: PORT }),
    "an address with a part too many": (address, mark) => ({ service: `bad-${mark}`, ip: `${address}.9`, port: PORT }),
    "a name with an empty part": (_, mark) => ({ service: `bad-${mark}`, ip: "bad..example", port: PORT }),
  },
  Consumer: {
    "who calls a service of Dubbo's": (address, mark) => {
      return { service: `consumers:shop:${mark}:`, ip: address, port: PORT };
    },
  },
};

let stage: RegistriesStage;
let consul: ConsulApi;
let nacos: NacosApi;
let operator: Operator;
let live: EverywhereInstance;
/** Its address is in most bad entries. It dies first. */
let dead: EverywhereInstance;
/** Dies while more bad entries arrive. */
let dying: EverywhereInstance;
/** What is to be counted, by registry and reason; Consul lists itself. */
const written: Readonly<Record<"consul" | "nacos", Record<string, number>>> = {
  consul: { ConsulItself: 1 },
  nacos: {},
};
/** Ids of what must stay. */
const untouchable: Readonly<Record<"consul" | "nacos", Set<string>>> = { consul: new Set(), nacos: new Set() };

beforeAll(async () => {
  stage = await RegistriesStage.start({ registries: ["consul", "nacos"] });
  consul = new ConsulApi(stage.actor("consul").endpoints[0] ?? "");
  nacos = new NacosApi(stage.actor("nacos").endpoints[0] ?? "");
  const [first, second, third] = await stage.instances(["live", "dead", "dying"]);
  if (first === undefined || second === undefined || third === undefined) throw new Error("three were asked for");
  [live, dead, dying] = [first, second, third];
  await Promise.all([fillConsul(), fillNacos()]);
  await putBadEntries("1");
  operator = await stage.operator({ flags: { "sweep-interval": "1s" } });
  await stage.untilLive(operator, 3);
  await stage.untilCaughtUp(operator);
});

afterAll(async () => {
  await stage.stop();
});

function note(registry: "consul" | "nacos", reason: string, id: string): void {
  written[registry][reason] = (written[registry][reason] ?? 0) + 1;
  untouchable[registry].add(id);
}

async function fillConsul(): Promise<void> {
  const all = Array.from({ length: UNKNOWN }, (_, i) => `unknown-${String(i)}`);
  const host = `${dead.pod.address}:${String(PORT)}`;
  for (let from = 0; from < UNKNOWN; from += IN_ONE_TRANSACTION) {
    const ids = all.slice(from, from + IN_ONE_TRANSACTION);
    const operations = ids.map((ID) => {
      return {
        Service: { Verb: "set", Node: EXTERNAL_NODE, Service: { ID, Service: "unknown", Address: host, Port: PORT } },
      };
    });
    await consul.put("/v1/txn", operations);
    for (const id of ids) note("consul", "InvalidAddress", `${EXTERNAL_NODE}/${id}`);
  }
}

async function fillNacos(): Promise<void> {
  const all = Array.from({ length: UNKNOWN }, (_, i) => `10.${String(i >> 8)}.${String(i & 255)}.999`);
  await mapBounded(all, PARALLEL, async (ip) => {
    const registration = { service: "unknown", ip, port: PORT, metadata: UNHURRIED };
    await nacos.register(registration);
    note("nacos", "InvalidAddress", nacosId(registration));
  });
}

async function putBadEntries(mark: string): Promise<void> {
  const { address } = dead.pod;
  for (const [reason, entries] of Object.entries(inConsul)) {
    for (const [i, entry] of Object.values(entries).entries()) {
      const id = `bad-${mark}-${reason}-${String(i)}`;
      await consul.put("/v1/catalog/register", catalogRegistration({ id, ...entry(address, mark) }));
      note("consul", reason, `${EXTERNAL_NODE}/${id}`);
    }
  }
  for (const [reason, entries] of Object.entries(inNacos)) {
    for (const entry of Object.values(entries)) {
      const registration = { ...entry(address, mark), metadata: UNHURRIED };
      await nacos.register(registration);
      note("nacos", reason, nacosId(registration));
    }
  }
}

/** Waits until everything that was written is counted, reason by reason, in the metric and in the Registry's status. */
async function untilCounted(): Promise<void> {
  for (const [registry, reasons] of Object.entries(written)) {
    const total = Object.values(reasons).reduce((sum, count) => sum + count, 0);
    await eventually(`${String(total)} ignored entries of ${registry} are counted by reason`, async () => {
      const metrics = await operator.metrics();
      const count = (labels: object): number => metrics.sum("hygeia_registry_ignored_entries", { registry, ...labels });
      const counted = Object.fromEntries(Object.keys(reasons).map((reason) => [reason, count({ reason })]));
      if (count({}) !== total) throw new Error(`counted ${JSON.stringify(counted)}`);
      expect(counted).toEqual(reasons);
      return true;
    });
    await eventually(`the status of ${registry} counts them`, async () => {
      return (await getRegistry(stage.fixture.client, registry)).status?.ignoredEntries === total;
    });
    const object = { kind: "Registry", name: registry } as const;
    await untilCondition(stage.fixture.client, object, { type: "Ready", status: "True", reason: "Ready" });
  }
}

async function expectUntouched(): Promise<void> {
  for (const [registry, ids] of Object.entries(untouchable)) {
    const listed = await stage.actor(registry).list();
    expect([...ids].filter((id) => !listed.has(id))).toEqual([]);
  }
  await stage.verify();
}

test("entries that are no instances are counted and left alone, and a zombie among them is found", async () => {
  await stage.die([dead]);
  await stage.untilLeft([dead]);
  await stage.untilLive(operator, 2);
  await untilCounted();
  await expectUntouched();
});

test("the same while they arrive", async () => {
  await stage.untilCaughtUp(operator);
  await putBadEntries("2");
  await stage.die([dying]);
  await stage.untilLeft([dying]);
  await untilCounted();
  await stage.untilLive(operator, 1);
  await stage.untilJudgedAgain(operator);
  for (const actor of stage.actors) expect(await actor.list()).toContain(live.ids[actor.name]);
  await expectUntouched();
});

test("what Consul takes at 1 MiB is no danger: it stays while its pod lives, and when it is dead, too large to be undone, it holds up nobody", async () => {
  const { namespace, node } = stage;
  const [small] = await stage.instances(["small"]);
  if (small === undefined) throw new Error("one was asked for");
  const pods = await stage.fixture.runPods([1, 2].map(() => ({ namespace, node })));
  const ids = await Promise.all(pods.map((pod) => stage.actor("consul").register(pod, "large")));
  // Longer metadata Consul itself refuses.
  for (const { address: host } of pods) {
    const large = {
      id: `large-${host}`,
      service: "large",
      host,
      port: PORT,
      status: "passing",
      output: MEBIBYTE,
    } as const;
    await consul.put("/v1/catalog/register", catalogRegistration(large));
  }
  const untilLive = async (count: number): Promise<void> => {
    await eventually(`${String(count)} entries of Consul are Live`, async () => {
      await stage.beat();
      return (await operator.metrics()).sum("hygeia_instances", { registry: "consul", verdict: "Live" }) === count;
    });
  };
  await untilLive(4);
  await stage.untilCaughtUp(operator);
  const [dying] = pods as [FixturePod, ...FixturePod[]];
  await stage.fixture.confirmDeath(dying);
  await eventually("its eviction is refused again and again", async () => {
    const labels = { registry: "consul", class: "Confirmed", result: "Failed" };
    return (await operator.metrics()).sum("hygeia_evictions_total", labels) > 1;
  });
  const said = operator.log
    .having({ key: `consul:${ids[0] ?? ""}`, level: "error" })
    .map((line) => JSON.stringify(line));
  expect(said.join("\n")).toContain("RequestTooLong");
  await stage.die([small]);
  await stage.untilLeft([small]);
  await untilLive(2);
  const listed = await stage.actor("consul").list();
  expect(ids.filter((id) => !listed.has(id))).toEqual([]);
  await untilCounted();
  await expectUntouched();
});

test("what Nacos would take at 1 MiB is nothing: longer metadata than 1 KiB is refused", async () => {
  const { address: ip } = live.pod;
  const registration = { service: "large", ip, port: PORT, metadata: { note: "x".repeat(2_000) } };
  await expect(nacos.register(registration)).rejects.toThrow(/Metadata.*should not exceed 1024/);
});
