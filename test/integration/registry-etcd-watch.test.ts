import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { describe, expect, it, onTestFinished } from "vitest";

import { DEFAULT_TIMING } from "../../src/registry/etcd/options.ts";
import type { RegistryFreshness } from "../../src/registry/port.ts";
import { RegistryView } from "../../src/registry/view.ts";
import { type EtcdOptions, type EtcdServer, startEtcd } from "../env/index.ts";
import { TcpProxy } from "../env/proxy/index.ts";
import { EtcdSession } from "../support/registrants/index.ts";
import { eventually, fence, never } from "../support/registry-contract/stage.ts";
import { makeEtcdAdapter, QUICK, runAdapter } from "../support/registry-etcd.ts";

const value = (id: string, name = "web"): string =>
  JSON.stringify({ id, name, version: "v1", metadata: {}, endpoints: ["grpc://10.0.0.1:9000"] });

async function withEtcd(options: EtcdOptions = {}): Promise<{ server: EtcdServer; session: EtcdSession }> {
  const server = await startEtcd(options);
  const session = new EtcdSession({ endpoints: server.endpoints });
  onTestFinished(async () => {
    await session.close();
    for (const member of server.members) if (member.running) member.resume();
    await server.stop();
  });
  return { server, session };
}

async function withProxy(server: EtcdServer): Promise<{ proxy: TcpProxy; endpoint: string }> {
  const { hostname, port } = new URL(server.endpoints[0] ?? "");
  const proxy = await TcpProxy.start({ host: hostname, port: Number(port) });
  onTestFinished(() => proxy.stop());
  return { proxy, endpoint: `http://127.0.0.1:${String(proxy.port)}` };
}

async function caughtUp(view: RegistryView, timeout?: number): Promise<void> {
  const now = performance.now();
  await eventually(() => {
    expect(view.freshness().problem).toBeUndefined();
    expect(view.freshness().caughtUpTo).toBeGreaterThan(now);
  }, timeout);
}

async function hasProblem(view: RegistryView, ...reasons: string[]): Promise<void> {
  await eventually(() => {
    expect(reasons).toContain(view.freshness().problem?.reason);
  });
}

const ids = (view: RegistryView): string[] => [...view.values()].map(({ instance }) => instance).sort();

/** All reasons that the view ever gave. */
function problemsOf(view: RegistryView): string[] {
  const problems: string[] = [];
  view.subscribeState(() => {
    const reason = view.freshness().problem?.reason;
    if (reason !== undefined && problems.at(-1) !== reason) problems.push(reason);
  });
  return problems;
}

describe("the proof that the view is current", () => {
  for (const [sentence, ordersProgress] of [
    ["by progress answers", undefined],
    ["by lists, where a server's progress answers prove nothing", () => false],
  ] as const) {
    it(`holds under thousands of writes to several prefixes, large ones among them (${sentence})`, async () => {
      const { server, session } = await withEtcd();
      const { proxy, endpoint } = await withProxy(server);
      const committed: { readonly id: string; readonly at: number }[] = [];
      let checked = 0;
      let lies = 0;
      const { adapter, counted } = makeEtcdAdapter({
        connection: { endpoints: [endpoint] },
        layouts: [{ layout: "Kratos" }, { layout: "Kratos", prefix: "/second" }, { layout: "GoZero", prefix: "third" }],
        ordersProgress,
        timing: { ...QUICK, canaryEvery: 30 },
      });
      class Checking extends RegistryView {
        override freshness(): RegistryFreshness;
        override freshness(state: RegistryFreshness): void;
        override freshness(state?: RegistryFreshness): RegistryFreshness {
          if (state === undefined) return super.freshness();
          super.freshness(state);
          for (; committed[checked] !== undefined && (committed[checked]?.at ?? 0) < state.caughtUpTo; checked++) {
            if (this.get(committed[checked]?.id ?? "") === undefined) lies++;
          }
          return state;
        }
      }
      const view = new Checking("etcd");
      const running = new AbortController();
      const ended = adapter.run(view, running.signal);
      onTestFinished(async () => {
        running.abort();
        await ended;
        await adapter.close();
      });
      await caughtUp(view);
      const problems = problemsOf(view);
      // A slow network fills etcd's channel of this stream, so that ranges fall behind one by one.
      proxy.setMode({ kind: "Delay", milliseconds: 5 });
      const padding = "x".repeat(30_000);
      let written = 0;
      const write = async (): Promise<void> => {
        while (written < 4_000) {
          const n = written++;
          const id = `i${String(n)}`;
          const large = JSON.stringify({ ...(JSON.parse(value(id)) as object), padding });
          const entry = [
            [`/microservices/web/${id}`, large],
            [`/second/web/${id}`, value(id)],
            [`third/${String(n + 1)}`, "10.0.0.1:80"],
          ][n % 3];
          const [key = "", text = ""] = entry ?? [];
          await session.put(key, text);
          committed.push({ id: key, at: performance.now() });
        }
      };
      await Promise.all(Array.from({ length: 20 }, write));
      committed.sort((a, b) => a.at - b.at);
      proxy.setMode({ kind: "Forward" });
      await caughtUp(view, 60_000);
      expect(view.size).toBe(4_000);
      expect(checked).toBe(4_000);
      expect(lies).toBe(0);
      // Nothing that overtook something else was taken for data that went back.
      expect(problems).not.toContain("WentBack");
      expect(counted.lists.filter((cause) => cause !== "Proof")).toEqual(["Start"]);
    });
  }
});

describe("etcd in trouble", () => {
  it("lists again after a compaction in its absence, and keeps what it knew of unchanged records", async () => {
    const { server, session } = await withEtcd();
    const { proxy, endpoint } = await withProxy(server);
    const { adapter, counted } = makeEtcdAdapter({ connection: { endpoints: [endpoint] } });
    await session.put("/microservices/web/stays", value("stays"));
    await session.put("/microservices/web/leaves", value("leaves"));
    const view = runAdapter(adapter);
    await caughtUp(view);
    const stays = view.get("/microservices/web/stays");
    await proxy.refuse();
    await session.delete("/microservices/web/leaves");
    await session.put("/microservices/web/comes", value("comes"));
    await server.compact();
    await proxy.listen();
    await caughtUp(view);
    expect(ids(view)).toEqual(["comes", "stays"]);
    expect(view.get("/microservices/web/stays")).toBe(stays);
    expect(counted.lists).toEqual(["Start", "Compacted"]);
    expect(counted.watchEnds).toContain("Compacted");
  });

  it("goes on where it was after etcd was killed and came back", async () => {
    const { server, session } = await withEtcd();
    const { adapter, counted } = makeEtcdAdapter({ connection: { endpoints: server.endpoints } });
    await session.put("/microservices/web/a", value("a"));
    const view = runAdapter(adapter);
    await caughtUp(view);
    const before = view.get("/microservices/web/a");
    for (const member of server.members) {
      await member.kill();
      await hasProblem(view, "Unreachable");
      await member.start();
    }
    await session.put("/microservices/web/b", value("b"));
    await caughtUp(view);
    expect(ids(view)).toEqual(["a", "b"]);
    expect(view.get("/microservices/web/a")).toBe(before);
    expect(counted.lists).toEqual(["Start"]);
  });

  it("notices a frozen server within seconds, hangs nowhere, and recovers by itself", async () => {
    const { server, session } = await withEtcd();
    const { adapter } = makeEtcdAdapter({ connection: { endpoints: server.endpoints }, timing: DEFAULT_TIMING });
    await session.put("/microservices/web/a", value("a"));
    const view = runAdapter(adapter);
    await caughtUp(view);
    server.members[0]?.pause();
    const frozenAt = performance.now();
    const reading = adapter.read("/microservices/web/a", never).catch((error: unknown) => error);
    await hasProblem(view, "TimedOut", "Unreachable");
    expect(performance.now() - frozenAt).toBeLessThan(8_000);
    expect(await reading).toBeInstanceOf(Error);
    await delay(Math.max(0, 12_000 - (performance.now() - frozenAt)));
    expect(view.freshness().caughtUpTo).toBeLessThan(frozenAt);
    expect(view.get("/microservices/web/a")).toBeDefined();
    server.members[0]?.resume();
    await session.put("/microservices/web/b", value("b"));
    await caughtUp(view, 10_000);
    expect(ids(view)).toEqual(["a", "b"]);
  });

  it("says that it can write no canary when the database is full, and recovers when it has room", async () => {
    const { server, session } = await withEtcd({ flags: ["--quota-backend-bytes=4194304"] });
    const { adapter } = makeEtcdAdapter({ connection: { endpoints: server.endpoints } });
    const view = runAdapter(adapter);
    await caughtUp(view);
    const filler = "x".repeat(1_000_000);
    for (let i = 0; i < 8; i++) await session.put(`/filler/${String(i)}`, filler).catch(() => undefined);
    await hasProblem(view, "NoSpace");
    await server.ctl("del", "--prefix", "/filler/");
    await server.compact();
    await server.ctl("defrag");
    await server.ctl("alarm", "disarm");
    await caughtUp(view);
  });
});

describe("data that is not what it was", () => {
  it("begins anew after etcd was wiped", async () => {
    const { server, session } = await withEtcd();
    const { adapter } = makeEtcdAdapter({ connection: { endpoints: server.endpoints } });
    const key = "/microservices/web/a";
    for (let i = 0; i < 5; i++) await session.put(key, value("a"));
    const view = runAdapter(adapter);
    const problems = problemsOf(view);
    await caughtUp(view);
    const before = view.get(key);
    await server.wipe();
    await session.put("/microservices/web/new", value("new"));
    await eventually(() => {
      expect(problems.some((reason) => reason === "WentBack" || reason === "ClusterChanged")).toBe(true);
    });
    await caughtUp(view);
    expect(ids(view)).toEqual(["new"]);
    if (before === undefined) throw new Error("not listed");
    expect(await adapter.deregister(before, fence(), never)).toEqual({ outcome: "Changed" });
  });

  it("does not take a restored history for its own, even when revisions have grown past what it knew", async () => {
    const { server, session } = await withEtcd();
    const { proxy, endpoint } = await withProxy(server);
    const { adapter } = makeEtcdAdapter({ connection: { endpoints: [endpoint] } });
    const key = "/microservices/web/a";
    await session.put(key, value("a"));
    const directory = mkdtempSync(join(tmpdir(), "hygeia-snapshot-"));
    onTestFinished(() => {
      rmSync(directory, { recursive: true });
    });
    const file = join(directory, "etcd.db");
    await server.saveSnapshot(file);
    await session.put("/microservices/web/lost", value("lost"));
    const view = runAdapter(adapter);
    const problems = problemsOf(view);
    await caughtUp(view);
    const before = view.get(key);
    expect(ids(view)).toEqual(["a", "lost"]);
    await proxy.refuse();
    await server.restoreSnapshot(file);
    // The restored cluster lives on, past every revision that the adapter has seen.
    for (let i = 0; i < 200; i++) await session.put("/elsewhere", String(i));
    await proxy.listen();
    await eventually(() => {
      expect(problems.some((reason) => reason === "WentBack" || reason === "ClusterChanged")).toBe(true);
    });
    await caughtUp(view);
    expect(ids(view)).toEqual(["a"]);
    // The same key at the same revision: what was known of the old one is not known of this one.
    expect(view.get(key)?.version).not.toBe(before?.version);
    expect(view.get(key)?.seenAt).toBeGreaterThan(before?.seenAt ?? Infinity);
  });

  it("drops what belongs to one cluster when it is led to another", async () => {
    const first = await withEtcd();
    const second = await withEtcd();
    await first.session.put("/microservices/web/first", value("first"));
    await second.session.put("/microservices/web/second", value("second"));
    const { adapter } = makeEtcdAdapter({ connection: { endpoints: first.server.endpoints } });
    const view = runAdapter(adapter);
    const problems = problemsOf(view);
    await caughtUp(view);
    const { clusterId } = view.freshness();
    adapter.reconfigure({ endpoints: second.server.endpoints });
    await eventually(() => {
      expect(problems).toContain("ClusterChanged");
    });
    await caughtUp(view);
    expect(ids(view)).toEqual(["second"]);
    expect(view.freshness().clusterId).not.toBe(clusterId);
  });
});

describe("a cluster of three", () => {
  it("proves nothing without a quorum, and recovers with it", async () => {
    const { server, session } = await withEtcd({ members: 3 });
    const { adapter } = makeEtcdAdapter({ connection: { endpoints: server.endpoints } });
    await session.put("/microservices/web/a", value("a"));
    const view = runAdapter(adapter);
    await caughtUp(view);
    const stopped = server.members.slice(1);
    for (const member of stopped) member.pause();
    const pausedAt = performance.now();
    await hasProblem(view, "TimedOut", "NoLeader", "Unreachable");
    await delay(3_000);
    expect(view.freshness().caughtUpTo).toBeLessThan(pausedAt);
    for (const member of stopped) member.resume();
    await caughtUp(view);
    await session.put("/microservices/web/b", value("b"));
    await eventually(() => {
      expect(ids(view)).toEqual(["a", "b"]);
    });
  });

  it("leaves a member that is frozen for one that answers, before the view grows stale", async () => {
    const { server } = await withEtcd({ members: 3 });
    const session = new EtcdSession({ endpoints: server.endpoints.slice(1) });
    onTestFinished(() => session.close());
    const { adapter } = makeEtcdAdapter({ connection: { endpoints: server.endpoints }, timing: DEFAULT_TIMING });
    const view = runAdapter(adapter);
    await caughtUp(view);
    // The adapter talks to the first member first.
    server.members[0]?.pause();
    const pausedAt = performance.now();
    let oldest = 0;
    while (performance.now() - pausedAt < 20_000) {
      oldest = Math.max(oldest, performance.now() - view.freshness().caughtUpTo);
      await delay(50);
    }
    // A verdict needs a view younger than 15 s.
    expect(oldest).toBeLessThan(15_000);
    await session.put("/microservices/web/a", value("a"));
    await caughtUp(view);
    expect(ids(view)).toEqual(["a"]);
  });
});

describe("a listener with a fault", () => {
  it("costs a new list, and neither the process nor the view", async () => {
    const { server, session } = await withEtcd();
    const { adapter, counted } = makeEtcdAdapter({ connection: { endpoints: server.endpoints } });
    const view = runAdapter(adapter);
    const problems = problemsOf(view);
    await caughtUp(view);
    let faults = 0;
    view.subscribe(() => {
      if (faults++ === 0) throw new TypeError("a fault of the listener");
    });
    await session.put("/microservices/web/a", value("a"));
    await eventually(() => {
      expect(problems).toContain("InternalError");
    });
    await session.put("/microservices/web/b", value("b"));
    await caughtUp(view);
    expect(ids(view)).toEqual(["a", "b"]);
    expect(counted.lists).toEqual(["Start", "InternalError"]);
  });
});

describe("the periodic compare", () => {
  it("finds nothing to repair when the watch has missed nothing, while writes go on", async () => {
    const { server, session } = await withEtcd();
    const { adapter, counted } = makeEtcdAdapter({
      connection: { endpoints: server.endpoints },
      timing: { ...QUICK, compareEvery: 100 },
    });
    const view = runAdapter(adapter);
    const alive = new Map<string, number>();
    const until = performance.now() + 4_000;
    for (let i = 0; performance.now() < until; i++) {
      const key = `/microservices/web/i${String(i % 50)}`;
      if (i % 3 === 2) {
        await session.delete(key);
        alive.delete(key);
      } else alive.set(key, await session.put(key, value(`i${String(i % 50)}`)));
    }
    await caughtUp(view);
    expect([...view.values()].map(({ id }) => id).sort()).toEqual([...alive.keys()].sort());
    expect(counted.lists.filter((cause) => cause === "Compare").length).toBeGreaterThan(10);
    expect(counted.repaired).toBe(0);
  });
});
