/** How the view follows Consul: many services, elections, and data that is not what it was. */
import { setTimeout as delay } from "node:timers/promises";

import { request } from "undici";
import { describe, expect, it, onTestFinished } from "vitest";

import { DEFAULT_TIMING } from "../../src/registry/consul/options.ts";
import { RegistryError } from "../../src/registry/errors.ts";
import type { InstanceRecord, WriteResult } from "../../src/registry/port.ts";
import type { RegistryView } from "../../src/registry/view.ts";
import { type ConsulOptions, type ConsulServer, startConsul } from "../env/index.ts";
import { TcpProxy } from "../env/proxy/index.ts";
import { catalogRegistration, ConsulApi, EXTERNAL_NODE } from "../support/consul-api.ts";
import { makeConsulAdapter, runConsulAdapter } from "../support/registry-consul.ts";
import { eventually, fence, never } from "../support/registry-contract/stage.ts";

async function start(options: ConsulOptions = {}): Promise<ConsulServer> {
  const server = await startConsul(options);
  onTestFinished(() => server.stop());
  return server;
}

/** Services of one instance each, in few transactions. */
async function registerMany(api: ConsulApi, count: number): Promise<void> {
  await api.put("/v1/catalog/register", {
    Node: EXTERNAL_NODE,
    Address: "192.0.2.1",
    NodeMeta: { "external-node": "true" },
  });
  for (let first = 0; first < count; first += 60) {
    const operations = Array.from({ length: Math.min(60, count - first) }, (_, i) => {
      const n = first + i;
      const Service = {
        ID: `s-${String(n)}`,
        Service: `service-${String(n)}`,
        Address: `10.1.${String(n >> 8)}.${String(n & 255)}`,
        Port: 80,
      };
      const Check = {
        Node: EXTERNAL_NODE,
        CheckID: `c-${String(n)}`,
        Name: "alive",
        Status: "passing",
        ServiceID: Service.ID,
      };
      return [{ Service: { Verb: "set", Node: EXTERNAL_NODE, Service } }, { Check: { Verb: "set", Check } }];
    });
    await api.put("/v1/txn", operations.flat());
  }
}

async function isFresh(view: RegistryView, timeout?: number): Promise<void> {
  const now = performance.now();
  await eventually(() => {
    expect(view.freshness().problem).toBeUndefined();
    expect(view.freshness().caughtUpTo).toBeGreaterThan(now);
  }, timeout);
}

function recordOf(view: RegistryView, id: string): InstanceRecord {
  const record = view.get(`${EXTERNAL_NODE}/${id}`);
  if (record === undefined) throw new Error(`${id} is not listed`);
  return record;
}

describe("2,000 services", () => {
  it("take few connections and few requests, and a change is seen soon", { timeout: 120_000 }, async () => {
    const server = await start();
    const api = new ConsulApi(server.url);
    await registerMany(api, 2_000);
    const { hostname: host, port } = new URL(server.url);
    const proxy = await TcpProxy.start({ host, port: Number(port) });
    onTestFinished(() => proxy.stop());
    const url = `http://127.0.0.1:${String(proxy.port)}`;
    const { adapter, counted } = makeConsulAdapter({ connection: { endpoints: [url] }, timing: DEFAULT_TIMING });
    const view = runConsulAdapter(adapter);
    await isFresh(view);
    expect([...view.services()]).toHaveLength(2_000);
    const total = (): number => counted.calls.values().reduce((sum, count) => sum + count, 0);
    const before = total();
    const lists = counted.lists.length;
    let open = 0;
    for (let i = 0; i < 30; i++) {
      await delay(1_000);
      open = Math.max(open, proxy.open);
    }
    const perMinute = (total() - before) * 2;
    console.info(`idle with 2,000 services: ${String(perMinute)} requests a minute over ${String(open)} connections`);
    expect(perMinute).toBeLessThan(130);
    expect(open).toBeLessThanOrEqual(8);
    // Consul writes something about its own node now and then.
    expect(counted.lists.length - lists).toBeLessThanOrEqual(2);
    await isFresh(view);
    const begun = performance.now();
    await api.put("/v1/catalog/register", catalogRegistration({ id: "late", service: "late" }));
    await eventually(() => {
      expect(view.get(`${EXTERNAL_NODE}/late`)).toBeDefined();
    });
    console.info(`a registration among 2,000 was seen after ${String(Math.round(performance.now() - begun))} ms`);
    // Many changes at once cost few lists, and the view stays fresh meanwhile.
    const quiet = counted.lists.length;
    const churning = performance.now();
    let oldest = 0;
    while (performance.now() - churning < 10_000) {
      await api.put(
        "/v1/catalog/register",
        catalogRegistration({ id: "late", service: "late", meta: { at: String(performance.now()) } }),
      );
      oldest = Math.max(oldest, performance.now() - view.freshness().caughtUpTo);
    }
    console.info(
      `10 s of changes: ${String(counted.lists.length - quiet)} lists, view at most ${String(Math.round(oldest))} ms old`,
    );
    expect(oldest).toBeLessThan(10_000);
  });
});

describe("three servers", () => {
  it(
    "that elect a leader in the middle of a batch lose nothing and do nothing twice",
    { timeout: 180_000 },
    async () => {
      const cluster = await start({ servers: 3 });
      const endpoints = cluster.servers.map(({ url }) => url);
      const first = new ConsulApi(endpoints[0] ?? "");
      const count = 150;
      await registerMany(first, count + 50);
      const { adapter } = makeConsulAdapter({ connection: { endpoints } });
      const view = runConsulAdapter(adapter);
      await isFresh(view);
      const said = new Set<string>();
      view.subscribeState(() => said.add(view.freshness().problem?.message ?? ""));
      const leader = await leaderOf(cluster);
      const queue = Array.from({ length: count }, (_, n) => recordOf(view, `s-${String(n)}`));
      const outcomes = new Map<string, number>();
      let failures = 0;
      const work = async (): Promise<void> => {
        for (let record = queue.shift(); record !== undefined; record = queue.shift()) {
          if (queue.length === Math.round(count / 2)) await leader.process.kill();
          const decision = fence({ traceId: `trace-${record.id}` });
          let result: WriteResult | undefined;
          while (result === undefined) {
            try {
              result = await adapter.deregister(record, decision, never);
            } catch (error) {
              if (!(error instanceof RegistryError)) throw error;
              failures++;
              await delay(100);
            }
          }
          outcomes.set(result.outcome, (outcomes.get(result.outcome) ?? 0) + 1);
          // Another endpoint has taken over in the middle: judged again, as the caller does.
          if (result.outcome === "Changed") queue.push(record);
        }
      };
      await Promise.all(Array.from({ length: 10 }, work));
      console.info(
        `election in a batch: ${JSON.stringify(Object.fromEntries(outcomes))}, ${String(failures)} failures, ${[...said].join(" | ")}`,
      );
      expect(outcomes.get("Done")).toBe(count);
      expect(outcomes.get("Gone")).toBeUndefined();
      await isFresh(view, 60_000);
      expect([...view.values()]).toHaveLength(50);
      const survivor = new ConsulApi(cluster.servers.find(({ process }) => process.running)?.url ?? "");
      expect((await survivor.services(EXTERNAL_NODE)) ?? []).toHaveLength(50);
      expect(await survivor.values("hygeia/c0ffee/undo/")).toHaveLength(count);
    },
  );

  it("without a majority prove nothing and remove nothing", { timeout: 120_000 }, async () => {
    const cluster = await start({ servers: 3 });
    await registerMany(new ConsulApi(cluster.url), 3);
    const { adapter } = makeConsulAdapter({ connection: { endpoints: [cluster.url] } });
    const view = runConsulAdapter(adapter);
    await isFresh(view);
    const record = recordOf(view, "s-1");
    for (const { process } of cluster.servers.slice(1)) process.pause();
    await eventually(() => {
      expect(view.freshness().problem).toBeDefined();
    }, 60_000);
    const { caughtUpTo } = view.freshness();
    await expect(adapter.deregister(record, fence(), never)).rejects.toMatchObject({ name: "RegistryError" });
    await delay(2_000);
    expect(view.freshness().caughtUpTo).toBe(caughtUpTo);
    expect(view.size).toBe(3);
    for (const { process } of cluster.servers.slice(1)) process.resume();
    await isFresh(view, 60_000);
  });
});

describe("data that is not what it was", () => {
  function follow(server: ConsulServer) {
    const { adapter, counted } = makeConsulAdapter({ connection: { endpoints: [server.url] } });
    const view = runConsulAdapter(adapter);
    const said = new Set<string>();
    view.subscribeState(() => {
      const { problem } = view.freshness();
      if (problem !== undefined) said.add(problem.reason);
    });
    return { adapter, view, said, counted };
  }

  it("after a restart with empty memory is read anew, and no version of before recurs", async () => {
    const server = await start();
    const api = new ConsulApi(server.url);
    const body = catalogRegistration({ id: "a", service: "web", status: "passing" });
    await api.put("/v1/catalog/register", body);
    const { adapter, view, said } = follow(server);
    await isFresh(view);
    const before = recordOf(view, "a");
    const { clusterId } = view.freshness();
    await server.wipe();
    await api.put("/v1/catalog/register", body);
    await isFresh(view, 30_000);
    const after = recordOf(view, "a");
    expect(after.version).not.toBe(before.version);
    expect(after.seenAt).toBeGreaterThan(before.seenAt);
    expect(view.freshness().clusterId).not.toBe(clusterId);
    expect(["ClusterChanged", "WentBack", "LeaseNotFound"].some((reason) => said.has(reason))).toBe(true);
    expect(await adapter.deregister(before, fence(), never)).toEqual({ outcome: "Changed" });
    expect(await api.services(EXTERNAL_NODE)).toEqual(["a"]);
  });

  it("after the restore of a snapshot is read anew: what it lacks leaves the view", async () => {
    const server = await start();
    const api = new ConsulApi(server.url);
    await api.put("/v1/catalog/register", catalogRegistration({ id: "a", service: "web" }));
    const { adapter, view, said } = follow(server);
    await isFresh(view);
    const before = recordOf(view, "a");
    const { body } = await request(`${server.url}/v1/snapshot`);
    const snapshot = Buffer.from(await body.arrayBuffer());
    await api.put("/v1/catalog/register", catalogRegistration({ id: "b", service: "web" }));
    await isFresh(view);
    recordOf(view, "b");
    const restored = await request(`${server.url}/v1/snapshot`, { method: "PUT", body: snapshot });
    expect(restored.statusCode).toBe(200);
    await restored.body.dump();
    await eventually(() => {
      expect(view.get(`${EXTERNAL_NODE}/b`)).toBeUndefined();
    });
    await isFresh(view);
    expect(said.has("WentBack") || said.has("LeaseNotFound")).toBe(true);
    expect(recordOf(view, "a").version).not.toBe(before.version);
    expect(await adapter.deregister(before, fence(), never)).toEqual({ outcome: "Changed" });
  });

  it("is compared from time to time, and nothing was missed", async () => {
    const server = await start();
    const api = new ConsulApi(server.url);
    const { adapter, counted } = makeConsulAdapter({
      connection: { endpoints: [server.url] },
      timing: { canaryEvery: 100, compareEvery: 300 },
    });
    const view = runConsulAdapter(adapter);
    for (let i = 0; i < 20; i++) {
      await api.put("/v1/catalog/register", catalogRegistration({ id: `x-${String(i)}`, service: "web" }));
      await delay(50);
    }
    await eventually(() => {
      expect(counted.lists.filter((cause) => cause === "Compare").length).toBeGreaterThan(1);
    });
    await isFresh(view);
    expect(view.size).toBe(20);
    expect(counted.repaired).toBe(0);
  });
});

async function leaderOf(cluster: ConsulServer): Promise<ConsulServer["servers"][number]> {
  for (const server of cluster.servers) {
    const response = await request(`${server.url}/v1/agent/self`);
    const { Stats } = (await response.body.json()) as { Stats: { consul: { leader: string } } };
    if (Stats.consul.leader === "true") return server;
  }
  throw new Error("there is no leader");
}
