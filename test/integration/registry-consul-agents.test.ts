/** Entries that an agent keeps: with the agent alive, dead, and out of reach. */
import Consul from "consul";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";

import type { ConsulAdapterOptions } from "../../src/registry/consul/options.ts";
import type { InstanceRecord } from "../../src/registry/port.ts";
import type { RegistryView } from "../../src/registry/view.ts";
import { type ConsulAgent, type ConsulServer, startConsul } from "../env/index.ts";
import { ConsulApi } from "../support/consul-api.ts";
import { atAgent, HttpGate } from "../support/operator-http-gate.ts";
import { makeConsulAdapter, QUICK, runConsulAdapter } from "../support/registry-consul.ts";
import { eventually, fence, never } from "../support/registry-contract/stage.ts";

/** Deregistrations under way at one agent. */
const SERVED_TOGETHER = 4;

let cluster: ConsulServer;
let api: ConsulApi;
let agent: ConsulAgent;
let mortal: ConsulAgent;
let counter = 0;
let id: string;

beforeAll(async () => {
  cluster = await startConsul({ agents: 2 });
  api = new ConsulApi(cluster.url);
  const [first, second] = cluster.agents;
  if (first === undefined || second === undefined) throw new Error("two agents were asked for");
  agent = first;
  mortal = second;
});
afterAll(async () => {
  await cluster.stop();
});
beforeEach(() => {
  counter++;
  id = `api-${String(counter)}`;
});

/** As a service process does: over the npm package, with a TTL check that it keeps passing. */
function processAt({ url }: ConsulAgent, ttl = "1s", as = id) {
  const { hostname: host, port } = new URL(url);
  const client = new Consul({ host, port: Number(port) });
  return {
    register: () =>
      client.agent.service.register({
        name: "api",
        id: as,
        address: "10.0.0.1",
        port: 80,
        check: { ttl, deregistercriticalserviceafter: "10m" },
      } as Parameters<typeof client.agent.service.register>[0] & object),
    beat: (note = "") => client.agent.check.pass({ id: `service:${as}`, note }),
    fail: (note: string) => client.agent.check.fail({ id: `service:${as}`, note }),
    services: async () => Object.keys(await client.agent.services()),
  };
}

function run(options: Partial<ConsulAdapterOptions> = {}) {
  const { adapter } = makeConsulAdapter({ connection: { endpoints: [cluster.url] }, ...options });
  return { adapter, view: runConsulAdapter(adapter) };
}

async function listed(view: RegistryView, node: string, as = id): Promise<InstanceRecord> {
  await eventually(() => {
    expect(view.get(`${node}/${as}`)).toBeDefined();
  });
  const record = view.get(`${node}/${as}`);
  if (record === undefined) throw new Error("not listed");
  return record;
}

function portOf({ url }: ConsulAgent): number {
  return Number(new URL(url).port);
}

async function serfHealth(node: string): Promise<string | undefined> {
  return checkOf(node, "serfHealth");
}

/** The catalog's word on a check; default that of the present instance. */
async function checkOf(node: string, check = `service:${id}`): Promise<string | undefined> {
  const checks = (await api.get(`/v1/health/node/${node}?consistent`)) as readonly {
    CheckID: string;
    Status: string;
  }[];
  return checks.find(({ CheckID }) => CheckID === check)?.Status;
}

describe("with its agent alive", () => {
  it("an entry is removed at the agent, over the port that the Registry gives, and stays away", async () => {
    const { adapter, view } = run({ agentPort: portOf(agent) });
    const registrant = processAt(agent);
    await registrant.register();
    const record = await listed(view, agent.node);
    expect(record).toMatchObject({ format: "Agent", removal: { effective: "Yes" }, ttlMs: 0 });
    expect(await adapter.deregister(record, fence({ traceId: "at-agent" }), never)).toMatchObject({ outcome: "Done" });
    expect(await registrant.services()).not.toContain(id);
    expect(await adapter.read(record.id, never)).toBeUndefined();
    const undo = (await api.values("hygeia/c0ffee/undo/")).filter((text) => text.includes('"at-agent"'));
    expect(undo).toHaveLength(1);
    // The same decision asks again, as after a lost answer.
    expect(await adapter.deregister(record, fence({ traceId: "at-agent" }), never)).toMatchObject({ outcome: "Done" });
    expect(await adapter.deregister(record, fence({ traceId: "another" }), never)).toEqual({ outcome: "Gone" });
  });

  it("an entry is removed at the agent that is itself the endpoint", async () => {
    const { adapter, view } = run({ connection: { endpoints: [agent.url] } });
    await processAt(agent).register();
    const record = await listed(view, agent.node);
    expect(record.removal).toEqual({ effective: "Yes" });
    expect(await adapter.deregister(record, fence(), never)).toMatchObject({ outcome: "Done" });
    expect(await processAt(agent).services()).not.toContain(id);
  });

  it("an entry is put back at the agent, which keeps it", async () => {
    const { adapter, view } = run({ agentPort: portOf(agent) });
    const registrant = processAt(agent);
    await registrant.register();
    const result = await adapter.deregister(await listed(view, agent.node), fence(), never);
    if (result.outcome !== "Done") throw new Error(result.outcome);
    expect(await adapter.put(result.restore, never)).toBe(true);
    expect(await registrant.services()).toContain(id);
    expect(await listed(view, agent.node)).toMatchObject({
      service: "api",
      endpoints: [{ host: "10.0.0.1", port: 80 }],
    });
    expect(await adapter.put(result.restore, never)).toBe(false);
  });

  it("an entry is left alone, with the reason, where nobody says how to reach the agent", async () => {
    const { view } = run();
    await processAt(agent).register();
    expect((await listed(view, agent.node)).removal).toMatchObject({ effective: "No", reason: "AgentOwned" });
  });

  it("an entry is left alone, with the reason, once the agent was found out of reach", async () => {
    const { adapter, view } = run({ agentPort: 1 });
    await processAt(agent).register();
    const record = await listed(view, agent.node);
    expect(record.removal).toEqual({ effective: "Yes" });
    await expect(adapter.deregister(record, fence({ traceId: "unreached" }), never)).rejects.toMatchObject({
      code: "Unreachable",
    });
    expect(view.get(record.id)).toMatchObject({
      version: record.version,
      removal: { effective: "No", reason: "AgentUnreachable" },
    });
    expect(await processAt(agent).services()).toContain(id);
    // Nothing was done, and nothing says that it was.
    expect((await api.values("hygeia/c0ffee/undo/")).filter((text) => text.includes('"unreached"'))).toEqual([]);
  });

  it("an entry that was written again since is not touched", async () => {
    const { adapter, view } = run({ agentPort: portOf(agent) });
    const registrant = processAt(agent);
    await registrant.register();
    const record = await listed(view, agent.node);
    await registrant.beat("a newborn says so");
    await eventually(async () => {
      expect((await adapter.read(record.id, never))?.version).not.toBe(record.version);
    });
    expect(await adapter.deregister(record, fence(), never)).toEqual({ outcome: "Changed" });
    expect(await registrant.services()).toContain(id);
  });

  it("an entry that was written again while others were served at the agent is not touched", async () => {
    const gate = await HttpGate.start(agent.url, atAgent);
    onTestFinished(() => gate.stop());
    const timing = { ...QUICK, callTimeout: 20_000 };
    const { adapter, view } = run({ connection: { endpoints: [gate.endpoint] }, timing });
    const busy = Array.from({ length: SERVED_TOGETHER }, (_, i) => `${id}-${String(i)}`);
    await Promise.all([id, ...busy].map((each) => processAt(agent, "10m", each).register()));
    const records = await Promise.all(busy.map((each) => listed(view, agent.node, each)));
    const waiting = await listed(view, agent.node);
    gate.arm();
    const served = records.map((record) => adapter.deregister(record, fence(), never));
    await eventually(() => expect(gate.held).toBe(SERVED_TOGETHER));
    const inLine = adapter.deregister(waiting, fence({ traceId: "in-line" }), never);
    const undo = async () => (await api.values("hygeia/c0ffee/undo/")).filter((text) => text.includes('"in-line"'));
    // Written just before it takes its place in the line.
    await eventually(async () => expect(await undo()).toHaveLength(1));
    await processAt(agent).beat("a newborn says so");
    await eventually(async () => {
      expect((await adapter.read(waiting.id, never))?.version).not.toBe(waiting.version);
    });
    gate.release();
    expect(await inLine).toEqual({ outcome: "Changed" });
    expect(await Promise.all(served)).toMatchObject(busy.map(() => ({ outcome: "Done" })));
    expect(await processAt(agent).services()).toContain(id);
    expect(await undo()).toEqual([]);
  });

  it("sends nothing to the agent behind a fence that closes after the undo record", async () => {
    const { adapter, view } = run({ agentPort: portOf(agent) });
    const registrant = processAt(agent);
    await registrant.register();
    const record = await listed(view, agent.node);
    let open = 3;
    const closing = fence({ isValid: () => open-- > 0, traceId: "closing" });
    const { outcome } = await adapter.deregister(record, closing, never);
    expect(outcome).toBe("Fenced");
    expect(await registrant.services()).toContain(id);
    expect((await api.values("hygeia/c0ffee/undo/")).filter((text) => text.includes('"closing"'))).toEqual([]);
  });

  it("a check by TTL tells whether the process lives", async () => {
    const { adapter, view } = run();
    const registrant = processAt(agent);
    await registrant.register();
    await registrant.beat();
    const record = await listed(view, agent.node);
    const life = async () => {
      const reading = await adapter.readLife(record, never);
      if (reading.kind !== "Heartbeat") throw new Error(reading.kind);
      return reading;
    };
    await eventually(async () => {
      expect((await life()).silentSince).toBeUndefined();
    });
    const beatAt = performance.now();
    await eventually(async () => {
      expect((await life()).silentSince).toBeGreaterThan(beatAt);
    });
    await eventually(async () => {
      const [first, second] = [await life(), await life()];
      expect(second).toMatchObject({ source: first.source, silentSince: first.silentSince });
    });
    const silent = await life();
    await registrant.beat();
    await eventually(async () => {
      const alive = await life();
      expect(alive.silentSince).toBeUndefined();
      expect(alive.source).not.toBe(silent.source);
    });
    // Who says of itself that it is not well lives.
    await registrant.fail("no database");
    await eventually(async () => {
      expect((await life()).source).not.toBe(silent.source);
      expect((await life()).silentSince).toBeUndefined();
    });
  });

  it("a check that runs out is no sign of life and no new writer", async () => {
    const { view } = run();
    await eventually(() => {
      expect(view.freshness().caughtUpTo).toBeGreaterThan(0);
    });
    // Long enough to see it pass, and short enough to see it run out.
    const registrant = processAt(agent, "4s");
    await registrant.register();
    await registrant.beat();
    await eventually(async () => {
      expect(await checkOf(agent.node)).toBe("passing");
    });
    const passing = performance.now();
    await eventually(() => {
      expect(view.freshness().caughtUpTo).toBeGreaterThan(passing);
    });
    const alive = await listed(view, agent.node);
    await eventually(() => {
      expect(view.get(alive.id)?.version).not.toBe(alive.version);
    }, 10_000);
    expect(await checkOf(agent.node)).toBe("critical");
    const { seenAt, writtenAfter, touchedAfter } = alive;
    expect(view.get(alive.id)).toMatchObject({ seenAt, writtenAfter, touchedAfter });
  });
});

describe("with its agent dead", () => {
  it(
    "an entry is deleted from the catalog, and is back as a new one when the agent is",
    { timeout: 120_000 },
    async () => {
      const { adapter, view } = run();
      await processAt(mortal).register();
      const record = await listed(view, mortal.node);
      await mortal.process.kill();
      await eventually(async () => {
        expect(await serfHealth(mortal.node)).toBe("critical");
      }, 60_000);
      await eventually(() => {
        expect(view.get(record.id)?.removal).toEqual({ effective: "Yes" });
      });
      const orphan = await listed(view, mortal.node);
      expect(await adapter.deregister(orphan, fence(), never)).toMatchObject({ outcome: "Done" });
      expect((await api.services(mortal.node)) ?? []).not.toContain(id);
      await mortal.process.start();
      // The agent remembers its services and puts them back: seen in the view, under another version.
      await eventually(() => {
        expect(view.get(record.id)).toBeDefined();
      }, 90_000);
      expect(view.get(record.id)?.version).not.toBe(orphan.version);
      expect(view.get(record.id)?.seenAt).toBeGreaterThan(orphan.seenAt);
    },
  );
});
