import { afterEach, describe, expect, test } from "vitest";

import { ManualClock } from "../../../test/support/manual-clock.ts";
import type { Change } from "../../kube/types.ts";
import { MemoryAdapter } from "../../registry/memory/adapter.ts";
import { MemoryRegistry } from "../../registry/memory/registry.ts";
import type { RegistrySink } from "../../registry/port.ts";
import { createLogger } from "../../telemetry/log.ts";
import type { RegistryChange } from "../types.ts";
import { projectRegistry, type RegistryObject } from "./registry-object.ts";
import { Registries } from "./registry-set.ts";
import type { SecretData } from "./secrets.ts";

interface Shape {
  readonly name?: string;
  readonly uid?: string;
  readonly generation?: number;
  readonly deleting?: boolean;
  readonly spec?: Record<string, unknown>;
}

function registry({ name = "main", uid = `uid-${name}`, generation = 1, deleting, spec }: Shape = {}): RegistryObject {
  return projectRegistry({
    metadata: {
      name,
      uid,
      generation,
      resourceVersion: "1",
      creationTimestamp: "2026-01-01T00:00:00Z",
      ...(deleting === true ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}),
    },
    spec: { type: "Etcd", endpoints: ["http://127.0.0.1:2379"], etcd: { layouts: [{ layout: "GoMicro" }] }, ...spec },
  });
}

const added = (object: RegistryObject): Change<RegistryObject> => ({ type: "Added", object, createdAfter: -Infinity });
const modified = (object: RegistryObject): Change<RegistryObject> => ({ type: "Modified", object, previous: object });
const deleted = (object: RegistryObject): Change<RegistryObject> => ({ type: "Deleted", object, final: true });

const login = (password: string): SecretData =>
  new Map([
    ["username", "u"],
    ["password", password],
  ]);

let close: (() => Promise<void>) | undefined;
afterEach(async () => {
  await close?.();
  close = undefined;
});

function setUp() {
  const clock = new ManualClock();
  const servers = new Map<string, MemoryRegistry>();
  const secrets = new Map<string, SecretData>();
  const lines: string[] = [];
  const given: string[] = [];
  const sinks: RegistrySink[] = [];
  const mistakes = new Set<string>();
  const server = (name: string): MemoryRegistry => {
    let known = servers.get(name);
    if (known === undefined) servers.set(name, (known = new MemoryRegistry(clock)));
    return known;
  };
  const identity = Promise.withResolvers<string>();
  const registries = new Registries({
    makeAdapter: (name, spec, credentials) => {
      if (spec.etcd?.recordPrefix === "/unusable") throw new RangeError("spec.etcd.recordPrefix: it is unusable");
      given.push(`${name} ${credentials.login?.password ?? "-"}`);
      const adapter = new MemoryAdapter({
        name,
        registry: server(name),
        clock,
        breaker: { slowAfterMs: 200, timeouts: 3 },
        canaryEvery: 1_000,
        callTimeout: 1_000,
      });
      const run = adapter.run.bind(adapter);
      adapter.run = (sink, signal) => {
        sinks.push(sink);
        return name === "rogue" && sinks.length === 1 ? Promise.reject(new TypeError("a mistake")) : run(sink, signal);
      };
      return { adapter, reconfigure: (changed) => void given.push(`${name} again ${changed.login?.password ?? "-"}`) };
    },
    readSecret: (name) => {
      if (mistakes.delete(name)) throw new TypeError("a mistake");
      return Promise.resolve(secrets.get(name));
    },
    clusterUid: identity.promise,
    clock,
    random: () => 0.5,
    log: createLogger({ destination: { write: (line) => void lines.push(line) } }),
  });
  const changes: RegistryChange[] = [];
  registries.subscribe((change) => changes.push(change));
  identity.resolve("cluster");
  close = async () => {
    const closed = registries.close();
    await clock.advance(60_000);
    await closed;
  };
  return { clock, registries, secrets, server, changes, given, lines, sinks, mistakes };
}

function register(server: MemoryRegistry, id: string): void {
  const endpoints = [{ host: "10.0.0.1", isIp: true, port: 80 }];
  server.register({ id, service: "s", instance: id, endpoints, ttlMs: 0 });
}

describe("a Registry", () => {
  test("is watched from when it is seen, and its records are told", async () => {
    const { clock, registries, server, changes } = setUp();
    register(server("main"), "a");
    registries.apply([added(registry())]);
    await clock.advance(10);
    expect(registries.get("main")?.view.size).toBe(1);
    expect(registries.isInForce("main", "uid-main")).toBe(true);
    expect(changes).toEqual([{ registry: "main", upserted: ["a"], removed: [], whole: true }]);
    register(server("main"), "b");
    server("main").remove("a");
    expect(changes.slice(1)).toEqual([
      { registry: "main", upserted: ["b"], removed: [], whole: false },
      { registry: "main", upserted: [], removed: ["a"], whole: false },
    ]);
  });

  test("is out of force at once when it is deleted, its records are told to be gone, and nothing follows", async () => {
    const { clock, registries, server, changes, sinks } = setUp();
    register(server("main"), "a");
    const object = registry();
    registries.apply([added(object)]);
    await clock.advance(10);
    changes.length = 0;
    registries.apply([deleted(object)]);
    expect(registries.get("main")).toBeUndefined();
    expect(registries.isInForce("main", "uid-main")).toBe(false);
    expect(changes).toEqual([{ registry: "main", upserted: [], removed: ["a"], whole: false }]);
    register(server("main"), "b");
    // Be it that the adapter says so.
    sinks[0]?.change([], ["a"]);
    await clock.advance(5_000);
    expect(changes).toHaveLength(1);
  });

  test("is out of force at once when it is being deleted", async () => {
    const { clock, registries } = setUp();
    registries.apply([added(registry())]);
    await clock.advance(10);
    registries.apply([modified(registry({ deleting: true, generation: 2 }))]);
    expect(registries.isInForce("main", "uid-main")).toBe(false);
    expect(registries.entry("main")?.object.deleting).toBe(true);
  });

  test("is another one when it was created again under its name", async () => {
    const { clock, registries } = setUp();
    const old = registry({ uid: "one" });
    registries.apply([added(old)]);
    await clock.advance(10);
    registries.apply([deleted(old), added(registry({ uid: "two" }))]);
    await clock.advance(10);
    expect(registries.isInForce("main", "one")).toBe(false);
    expect(registries.isInForce("main", "two")).toBe(true);
  });

  test("goes on untouched when only its status changed", async () => {
    const { clock, registries, changes } = setUp();
    registries.apply([added(registry())]);
    await clock.advance(10);
    const before = registries.get("main");
    changes.length = 0;
    registries.apply([modified(registry())]);
    expect(registries.get("main")).toBe(before);
    expect(changes).toEqual([]);
  });

  test("keeps its view when only the ownership changed, and everything is to be judged again", async () => {
    const { clock, registries, changes, given } = setUp();
    registries.apply([added(registry())]);
    await clock.advance(10);
    const view = registries.get("main")?.view;
    changes.length = 0;
    const ownership = { podCIDRs: ["10.42.0.0/16"], requiredMetadata: { cluster: "prod-1" } };
    registries.apply([modified(registry({ generation: 2, spec: { ownership } }))]);
    expect(registries.get("main")).toMatchObject(ownership);
    expect(registries.get("main")?.view).toBe(view);
    expect(changes).toEqual([{ registry: "main", upserted: [], removed: [], whole: true }]);
    expect(given).toHaveLength(1);
  });

  test("has no networks of its own where they come from Nodes", async () => {
    const { clock, registries } = setUp();
    registries.apply([added(registry())]);
    await clock.advance(10);
    expect(registries.get("main")?.podCIDRs).toEqual([]);
  });

  test("begins anew when its connection changed", async () => {
    const { clock, registries, given } = setUp();
    registries.apply([added(registry())]);
    await clock.advance(10);
    const view = registries.get("main")?.view;
    registries.apply([modified(registry({ generation: 2, spec: { endpoints: ["http://127.0.0.1:1"] } }))]);
    await clock.advance(10);
    expect(registries.get("main")?.view).not.toBe(view);
    expect(given).toHaveLength(2);
  });

  test("that is not understood runs nothing, stops what ran, and runs again when corrected", async () => {
    const { clock, registries } = setUp();
    registries.apply([added(registry())]);
    await clock.advance(10);
    registries.apply([modified(registry({ generation: 2, spec: { type: "Zookeeper" } }))]);
    expect(registries.get("main")).toBeUndefined();
    expect(registries.entry("main")?.object.parsed.ok).toBe(false);
    registries.apply([modified(registry({ generation: 3 }))]);
    await clock.advance(10);
    expect(registries.get("main")).toBeDefined();
  });

  test("that no adapter can be made for, or that is down, disturbs no other", async () => {
    const { clock, registries, server } = setUp();
    server("down").down();
    registries.apply([
      added(registry({ name: "bad", spec: { etcd: { layouts: [{ layout: "GoMicro" }], recordPrefix: "/unusable" } } })),
      added(registry({ name: "down" })),
      added(registry({ name: "good" })),
    ]);
    await clock.advance(10);
    expect(registries.entry("bad")?.runner?.problem).toEqual({
      reason: "InvalidSpec",
      message: "spec.etcd.recordPrefix: it is unusable",
    });
    expect([...registries.values()].map(({ name, view }) => [name, view.freshness().synced])).toEqual([
      ["down", false],
      ["good", true],
    ]);
  });

  test("whose adapter ends against its contract is started anew", async () => {
    const { clock, registries, server, lines } = setUp();
    register(server("rogue"), "a");
    registries.apply([added(registry({ name: "rogue" })), added(registry({ name: "good" }))]);
    await clock.advance(10);
    expect(registries.get("rogue")).toBeUndefined();
    expect(registries.get("good")).toBeDefined();
    expect(lines.join()).toContain("an adapter failed against its contract");
    await clock.advance(5_000);
    expect(registries.get("rogue")?.view.size).toBe(1);
  });

  test("that ran into a mistake of ours is started anew", async () => {
    const { clock, registries, secrets, mistakes } = setUp();
    secrets.set("etcd", login("s3cret-1"));
    mistakes.add("etcd");
    registries.apply([added(registry({ spec: { credentials: { secretRef: { name: "etcd" } } } }))]);
    await clock.advance(10);
    expect(registries.get("main")).toBeUndefined();
    await clock.advance(5_000);
    expect(registries.get("main")).toBeDefined();
    mistakes.add("etcd");
    await clock.advance(20_000);
    expect(registries.get("main")).toBeDefined();
  });

  test("is logged once when it gets into trouble, and once when that is over", async () => {
    const { clock, registries, server, lines } = setUp();
    registries.apply([added(registry())]);
    await clock.advance(10);
    lines.length = 0;
    server("main").down();
    await clock.advance(10_000);
    server("main").up();
    await clock.advance(10_000);
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { level: "warn", registry: "main", reason: "Unreachable", msg: "the server is down" },
      { level: "info", registry: "main", msg: "the registry answers again" },
    ]);
  });

  test("tells when its state changed", async () => {
    const { clock, registries, server } = setUp();
    registries.apply([added(registry())]);
    await clock.advance(10);
    const told: string[] = [];
    registries.subscribeState((name) => told.push(name));
    server("main").down();
    await clock.advance(10);
    expect(told).toContain("main");
  });
});

describe("the Secrets of a Registry", () => {
  const withLogin: Shape = { spec: { credentials: { secretRef: { name: "etcd" } } } };

  test("are waited for: without them nothing runs, and a problem says why", async () => {
    const { clock, registries, secrets, given } = setUp();
    registries.apply([added(registry(withLogin))]);
    await clock.advance(10);
    expect(registries.get("main")).toBeUndefined();
    expect(registries.entry("main")?.runner?.problem?.reason).toBe("SecretNotFound");
    secrets.set("etcd", login("s3cret-1"));
    await clock.advance(12_000);
    expect(registries.entry("main")?.runner?.problem).toBeUndefined();
    expect(registries.get("main")).toBeDefined();
    expect(given).toEqual(["main s3cret-1"]);
  });

  test("are followed: the adapter and its view stay, and get the new ones", async () => {
    const { clock, registries, secrets, given, lines } = setUp();
    secrets.set("etcd", login("s3cret-1"));
    registries.apply([added(registry(withLogin))]);
    await clock.advance(10);
    const before = registries.get("main");
    secrets.set("etcd", login("s3cret-2"));
    await clock.advance(12_000);
    expect(given).toEqual(["main s3cret-1", "main again s3cret-2"]);
    expect(registries.get("main")).toBe(before);
    await clock.advance(60_000);
    expect(given).toHaveLength(2);
    expect(lines.join()).not.toMatch(/s3cret/);
  });

  test("stay in use when they are gone, and a problem says so until they are back", async () => {
    const { clock, registries, secrets, given } = setUp();
    secrets.set("etcd", login("s3cret-1"));
    registries.apply([added(registry(withLogin))]);
    await clock.advance(10);
    secrets.delete("etcd");
    await clock.advance(12_000);
    expect(registries.get("main")).toBeDefined();
    expect(registries.entry("main")?.runner?.problem?.reason).toBe("SecretNotFound");
    secrets.set("etcd", login("s3cret-1"));
    await clock.advance(12_000);
    expect(registries.entry("main")?.runner?.problem).toBeUndefined();
    expect(given).toHaveLength(1);
  });
});
