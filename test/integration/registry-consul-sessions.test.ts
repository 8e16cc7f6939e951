/** How long what we keep in Consul lives: through outages, and after a process that ended without a farewell. */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";

import { DEFAULT_TIMING } from "../../src/registry/consul/options.ts";
import { RegistryView } from "../../src/registry/view.ts";
import { type ConsulServer, startConsul } from "../env/index.ts";
import { TcpProxy } from "../env/proxy/index.ts";
import { catalogRegistration, ConsulApi, EXTERNAL_NODE } from "../support/consul-api.ts";
import { makeConsulAdapter, QUICK, runConsulAdapter } from "../support/registry-consul.ts";
import { eventually, fence, never } from "../support/registry-contract/stage.ts";

/** Short enough to see it run out; a server that is set up as usual refuses less than 10 s. */
const SHORT_TTL_MS = 3_000;
const ID = `${EXTERNAL_NODE}/web-1`;
const ROOT = "hygeia/c0ffee";

interface Session {
  readonly ID: string;
  readonly Name: string;
  readonly TTL: string;
  readonly Behavior: string;
}

let server: ConsulServer;
let api: ConsulApi;

beforeAll(async () => {
  server = await startConsul({ settings: { session_ttl_min: "1s" } });
  api = new ConsulApi(server.url);
});
afterAll(async () => {
  await server.stop();
});

async function register(): Promise<void> {
  await api.put("/v1/catalog/register", catalogRegistration({ id: "web-1", service: "web", status: "passing" }));
}

async function keys(below: string): Promise<readonly string[]> {
  return ((await api.get(`/v1/kv/${ROOT}/${below}?keys`)) as readonly string[] | undefined) ?? [];
}

async function sessionsOf(holder: string): Promise<readonly Session[]> {
  const all = (await api.get("/v1/session/list")) as readonly Session[];
  return all.filter(({ Name }) => Name.includes(holder));
}

async function isFresh(view: RegistryView): Promise<void> {
  const now = performance.now();
  await eventually(() => {
    expect(view.freshness().problem).toBeUndefined();
    expect(view.freshness().caughtUpTo).toBeGreaterThan(now);
  });
}

describe("an outage", () => {
  /** A running adapter that lists one entry, over a network that can be taken away. */
  async function overNetwork(holder: string) {
    const { hostname: host, port } = new URL(server.url);
    const proxy = await TcpProxy.start({ host, port: Number(port) });
    onTestFinished(() => proxy.stop());
    await register();
    const { adapter, counted } = makeConsulAdapter({
      connection: { endpoints: [`http://127.0.0.1:${String(proxy.port)}`] },
      holder,
      timing: { ...QUICK, canarySessionTtl: SHORT_TTL_MS },
    });
    const view = runConsulAdapter(adapter);
    await isFresh(view);
    const record = view.get(ID);
    if (record === undefined) throw new Error("not listed");
    return { proxy, view, record, counted };
  }

  async function unreachable(view: RegistryView): Promise<void> {
    await eventually(() => {
      expect(view.freshness().problem?.reason).toBe("Unreachable");
    });
  }

  it("that the canary's session outlives costs nothing of what is known", async () => {
    const { proxy, view, record, counted } = await overNetwork("short-outage");
    await proxy.refuse();
    await unreachable(view);
    expect(await keys("canary/short-outage")).toHaveLength(1);
    await proxy.listen();
    await isFresh(view);
    expect(view.get(ID)).toBe(record);
    expect(counted.lists).not.toContain("LeaseNotFound");
  });

  it("that outlives the canary's session ends all that is known: from then on it is another store", async () => {
    const { proxy, view, record, counted } = await overNetwork("long-outage");
    const said: string[] = [];
    view.subscribeState(() => said.push(view.freshness().problem?.reason ?? ""));
    await proxy.refuse();
    await unreachable(view);
    await eventually(async () => {
      expect(await keys("canary/long-outage")).toEqual([]);
    });
    await proxy.listen();
    await isFresh(view);
    expect(said).toContain("LeaseNotFound");
    expect(counted.lists).toContain("LeaseNotFound");
    expect(view.get(ID)?.version).not.toBe(record.version);
    expect(view.get(ID)?.seenAt).toBeGreaterThan(record.seenAt);
  });

  it("may last for five minutes and more without the canary being lost", async () => {
    const { adapter } = makeConsulAdapter({ connection: { endpoints: [server.url] }, holder: "as-usual" });
    await isFresh(runConsulAdapter(adapter));
    const [session, ...others] = await sessionsOf("as-usual");
    expect(others).toEqual([]);
    expect(session).toMatchObject({ TTL: `${String(DEFAULT_TIMING.canarySessionTtl / 1_000)}s` });
    expect(DEFAULT_TIMING.canarySessionTtl).toBeGreaterThan(2 * 300_000);
  });
});

describe("a process that ended without a farewell", () => {
  it("leaves its canary to Consul, which forgets it with the session", async () => {
    await register();
    const { adapter } = makeConsulAdapter({
      connection: { endpoints: [server.url] },
      holder: "killed",
      name: "killed-registry",
      timing: { ...QUICK, canarySessionTtl: SHORT_TTL_MS },
    });
    onTestFinished(() => adapter.close());
    const view = new RegistryView("killed-registry");
    const running = new AbortController();
    const ended = adapter.run(view, running.signal);
    await isFresh(view);
    const record = view.get(ID);
    if (record === undefined) throw new Error("not listed");
    expect(await adapter.deregister(record, fence({ traceId: "killed" }), never)).toMatchObject({ outcome: "Done" });
    running.abort();
    await ended;
    expect(await keys("canary/killed")).toHaveLength(1);
    // Canary, lock and undo records: each has a session that runs out, and takes its keys along.
    const sessions = await sessionsOf("killed");
    expect(sessions.map(({ Name, TTL, Behavior }) => [Name, TTL, Behavior]).toSorted()).toEqual([
      ["hygeia canary of killed", "3s", "delete"],
      ["hygeia lock of killed", "60s", "delete"],
      ["hygeia undo records of killed-registry", "86400s", "delete"],
    ]);
    await eventually(async () => {
      expect(await keys("canary/killed")).toEqual([]);
      expect((await sessionsOf("killed")).map(({ Name }) => Name)).not.toContain("hygeia canary of killed");
    });
    // What leaves later hangs on its session too.
    const left = (await api.get(`/v1/kv/${ROOT}?recurse`)) as readonly {
      readonly Key: string;
      readonly Session?: string;
    }[];
    const own = left.filter(({ Key }) => Key.includes("lock/killed-registry") || Key.includes("/undo/"));
    const ids = new Set((await sessionsOf("killed")).map(({ ID: id }) => id));
    expect(own.map(({ Session }) => ids.has(Session ?? ""))).toEqual([true, true]);
  });
});
