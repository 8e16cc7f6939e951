import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";

import { type EtcdServer, startEtcd } from "../env/index.ts";
import { TcpProxy } from "../env/proxy/index.ts";
import { mapBounded } from "../support/concurrency.ts";
import {
  dubboApplication,
  dubboInterface,
  etcdNaming,
  EtcdSession,
  goFrame,
  goMicro,
  goZero,
  kitex,
  kratos,
  Registrant,
} from "../support/registrants/index.ts";
import { eventually, fence, never } from "../support/registry-contract/stage.ts";
import { makeEtcdAdapter, runAdapter } from "../support/registry-etcd.ts";

let server: EtcdServer;
let session: EtcdSession;

beforeAll(async () => {
  server = await startEtcd();
  session = new EtcdSession({ endpoints: server.endpoints });
});
afterAll(async () => {
  await session.close();
  await server.stop();
});
beforeEach(async () => {
  await server.ctl("del", "--from-key", "");
});

const value = (id: string, host = "10.0.0.1"): string =>
  JSON.stringify({
    id,
    name: "web",
    version: "v1",
    metadata: { cluster: "prod-1" },
    endpoints: [`grpc://${host}:9000`],
  });

describe("what etcd holds", () => {
  it("reads the registrations of every framework side by side, and nothing else", async () => {
    const host = "10.42.3.17";
    const registrants = await Promise.all(
      [
        goMicro({ service: "greeter", host, port: 1 }),
        goZero({ service: "user.rpc", host, port: 2 }),
        kratos({ service: "helloworld", host, port: 3 }),
        dubboInterface({ service: "com.example.User", host, port: 4 }),
        dubboApplication({ service: "BDTService", host, port: 5 }),
        etcdNaming({ service: "grpc/echo", host, port: 6 }),
        kitex({ service: "echo", host, port: 7 }),
        goFrame({ service: "hello.svc", host, port: 8 }),
      ].map((layout) => Registrant.register(session, layout)),
    );
    const { adapter } = makeEtcdAdapter({
      connection: { endpoints: server.endpoints },
      layouts: [
        { layout: "GoMicro" },
        { layout: "GoZero", prefix: "user.rpc" },
        { layout: "Kratos" },
        { layout: "DubboInterface" },
        { layout: "DubboApplication" },
        { layout: "EtcdNaming", prefix: "grpc/echo" },
        { layout: "Kitex" },
        { layout: "GoFrame" },
      ],
    });
    const view = runAdapter(adapter);
    await eventually(() => {
      expect(
        view
          .byHost(host)
          .map(({ id }) => id)
          .sort(),
      ).toEqual(registrants.map(({ key }) => key).sort());
    });
    expect([...view.values()].map(({ format }) => format).sort()).toEqual([
      "DubboApplication",
      "DubboInterface",
      "EtcdNaming",
      "GoFrame",
      "GoMicro",
      "GoZero",
      "Kitex",
      "Kratos",
    ]);
    // Dubbo's directories, but for the root, which lies outside the prefix.
    expect(view.ignoredTotals).toEqual({ Directory: 2 });
    for (const registrant of registrants) await registrant.deregister();
  });

  it("counts 10,000 unknown keys and twenty values of 1 MiB, and finds what is between them", async () => {
    const numbers = Array.from({ length: 10_000 }, (_, i) => i);
    await mapBounded(numbers, 50, (i) => session.put(`/microservices/unknown/${String(i)}/x`, "?"));
    const large = "[".repeat(1024 * 1024);
    for (let i = 0; i < 20; i++) await session.put(`/microservices/web/large-${String(i)}`, large);
    await session.put("/microservices/web/a", value("a"));
    const { adapter } = makeEtcdAdapter({ connection: { endpoints: server.endpoints } });
    const view = runAdapter(adapter);
    await eventually(() => {
      expect(view.freshness().caughtUpTo).toBeGreaterThan(0);
    });
    expect([...view.values()].map(({ instance }) => instance)).toEqual(["a"]);
    expect(view.ignoredTotals).toEqual({ InvalidValue: 10_000, TooLarge: 20 });
    await session.delete("/microservices/web/large-3");
    await session.put("/microservices/unknown/7/x", value("x").replace(`"name":"web"`, `"name":"unknown/7"`));
    await eventually(() => {
      expect(view.ignoredTotals).toEqual({ InvalidValue: 9_999, TooLarge: 19 });
    });
    expect(view.get("/microservices/unknown/7/x")?.service).toBe("unknown/7");
  });

  it("pages through values that do not fit into one answer", async () => {
    const large = "x".repeat(1024 * 1024);
    for (let i = 0; i < 150; i++) await session.put(`/microservices/web/l${String(1000 + i)}`, large);
    await session.put("/microservices/web/a", value("a"));
    await session.put("/microservices/web/z", value("z"));
    const { adapter, counted } = makeEtcdAdapter({ connection: { endpoints: server.endpoints } });
    const view = runAdapter(adapter);
    await eventually(() => {
      expect(view.freshness().caughtUpTo).toBeGreaterThan(0);
    });
    expect([...view.values()].map(({ instance }) => instance).sort()).toEqual(["a", "z"]);
    expect(view.ignoredTotals).toEqual({ TooLarge: 150 });
    expect(counted.calls.get("range TooLarge")).toBeGreaterThan(0);
  });

  it("takes in whole what etcd sends in parts", async () => {
    const { hostname, port } = new URL(server.endpoints[0] ?? "");
    const proxy = await TcpProxy.start({ host: hostname, port: Number(port) });
    onTestFinished(() => proxy.stop());
    const { adapter, counted } = makeEtcdAdapter({
      connection: { endpoints: [`http://127.0.0.1:${String(proxy.port)}`] },
    });
    const view = runAdapter(adapter);
    await eventually(() => {
      expect(view.freshness().caughtUpTo).toBeGreaterThan(0);
    });
    const changes: number[] = [];
    view.subscribe(({ upserted }) => changes.push(upserted.length));
    await proxy.refuse();
    // Far more than etcd puts into one message (1.5 MiB), all of it owed to a watch that comes back.
    const padding = "p".repeat(10_000);
    for (let i = 0; i < 400; i++) {
      const id = `t${String(i)}`;
      await session.put(`/microservices/web/${id}`, JSON.stringify({ ...(JSON.parse(value(id)) as object), padding }));
    }
    await proxy.listen();
    await eventually(() => {
      expect(view.size).toBe(400);
    });
    expect(changes).toEqual([400]);
    expect(counted.lists).toEqual(["Start"]);
  });

  it("holds 5,000 instances within a second or two of its start", async () => {
    const numbers = Array.from({ length: 5_000 }, (_, i) => i);
    await mapBounded(numbers, 50, (i) =>
      session.put(
        `/microservices/web/i${String(i)}`,
        value(`i${String(i)}`, `10.1.${String(i >> 8)}.${String(i & 255)}`),
      ),
    );
    const { adapter, counted } = makeEtcdAdapter({ connection: { endpoints: server.endpoints } });
    const startedAt = performance.now();
    const view = runAdapter(adapter);
    await eventually(() => {
      expect(view.freshness().caughtUpTo).toBeGreaterThan(0);
    });
    expect(view.size).toBe(5_000);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(counted.calls.get("range OK")).toBe(10);
    expect(view.byHost("10.1.19.135")).toHaveLength(1);
  });
});

describe("leases", () => {
  it("learns a lease's true length when it is asked for a sign of life", async () => {
    const registrant = await Registrant.register(session, kratos({ service: "web", host: "10.0.0.1", port: 1 }), {
      ttl: 900,
    });
    const { adapter } = makeEtcdAdapter({ connection: { endpoints: server.endpoints } });
    const view = runAdapter(adapter);
    await eventually(() => {
      expect(view.get(registrant.key)?.ttlMs).toBe(15_000);
    });
    const record = view.get(registrant.key);
    if (record === undefined) throw new Error("not listed");
    expect(await adapter.readLife(record, never)).toMatchObject({ kind: "Lease", grantedMs: 900_000 });
    expect(view.get(registrant.key)).toMatchObject({ ttlMs: 900_000, version: record.version, seenAt: record.seenAt });
    await registrant.deregister();
  });

  it("leaves the registrant's lease alone, and lets its own records run out within a day", async () => {
    const registrant = await Registrant.register(session, kratos({ service: "web", host: "10.0.0.1", port: 1 }));
    await session.put("/elsewhere/of-the-same-lease", "x", registrant.lease);
    const { adapter } = makeEtcdAdapter({ connection: { endpoints: server.endpoints } });
    const view = runAdapter(adapter);
    await eventually(() => {
      expect(view.get(registrant.key)).toBeDefined();
    });
    const record = view.get(registrant.key);
    if (record === undefined) throw new Error("not listed");
    const result = await adapter.deregister(record, fence({ clusterUid: "uid-1" }), never);
    expect(await session.get("/elsewhere/of-the-same-lease")).toBeDefined();
    const undoKey = result.outcome === "Done" ? (result.restore.undoKey ?? "") : "";
    const undo = await session.get(undoKey);
    expect(undoKey).toMatch(/^\/hygeia\/uid-1\/undo\//);
    expect(JSON.parse(undo?.value ?? "{}")).toMatchObject({
      key: registrant.key,
      ttlSeconds: 15,
      lease: registrant.lease,
      reason: "DeathConfirmed",
      traceId: "trace-1",
      layout: "Kratos",
      service: "web",
    });
    expect(await session.remaining(undo?.lease ?? "0")).toBeGreaterThan(23 * 3600);
    expect(await session.remaining(undo?.lease ?? "0")).toBeLessThanOrEqual(24 * 3600);
    registrant.crash();
  });

  it("gives the canary a lease, so that it leaves when its process is gone", async () => {
    const { adapter } = makeEtcdAdapter({ connection: { endpoints: server.endpoints }, holder: "pod-a" });
    const view = runAdapter(adapter);
    await eventually(() => {
      expect(view.freshness().caughtUpTo).toBeGreaterThan(0);
    });
    const canary = await session.get("/hygeia/c0ffee/canary/pod-a");
    expect(await session.remaining(canary?.lease ?? "0")).toBeGreaterThan(0);
    expect(await session.remaining(canary?.lease ?? "0")).toBeLessThanOrEqual(60);
  });

  it("evicts though somebody revoked the lease of its records", async () => {
    const { adapter } = makeEtcdAdapter({ connection: { endpoints: server.endpoints } });
    for (const id of ["a", "b"]) {
      await session.put(`/microservices/web/${id}`, value(id));
      const record = await adapter.read(`/microservices/web/${id}`, never);
      if (record === undefined) throw new Error("not listed");
      const result = await adapter.deregister(record, fence(), never);
      const undoKey = result.outcome === "Done" ? (result.restore.undoKey ?? "") : "";
      const undo = await session.get(undoKey);
      expect(undo).toBeDefined();
      await session.revoke(undo?.lease ?? "0");
    }
    await adapter.close();
  });

  it("goes on when its leases were revoked by somebody", async () => {
    const { adapter } = makeEtcdAdapter({ connection: { endpoints: server.endpoints }, holder: "pod-b" });
    const view = runAdapter(adapter);
    await eventually(() => {
      expect(view.freshness().caughtUpTo).toBeGreaterThan(0);
    });
    const canary = await session.get("/hygeia/c0ffee/canary/pod-b");
    await session.revoke(canary?.lease ?? "0");
    const now = performance.now();
    await eventually(() => {
      expect(view.freshness().problem).toBeUndefined();
      expect(view.freshness().caughtUpTo).toBeGreaterThan(now);
    });
  });
});
