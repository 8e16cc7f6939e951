/** What is removed from Consul's catalog, what is not, and what is left behind. */
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";

import type { InstanceRecord } from "../../src/registry/port.ts";
import type { RegistryView } from "../../src/registry/view.ts";
import { type ConsulServer, startConsul } from "../env/index.ts";
import { type CatalogRegistration, catalogRegistration, ConsulApi, EXTERNAL_NODE } from "../support/consul-api.ts";
import { makeConsulAdapter, runConsulAdapter } from "../support/registry-consul.ts";
import { eventually, fence, never } from "../support/registry-contract/stage.ts";

let server: ConsulServer;
let api: ConsulApi;
let counter = 0;
let id: string;

beforeAll(async () => {
  server = await startConsul();
  api = new ConsulApi(server.url);
});
afterAll(async () => {
  await server.stop();
});
beforeEach(() => {
  counter++;
  id = `web-${String(counter)}`;
});

async function register(registration: Partial<CatalogRegistration> = {}): Promise<void> {
  await api.put(
    "/v1/catalog/register",
    catalogRegistration({ id, service: "web", status: "passing", ...registration }),
  );
}

function makeAdapter(name = `consul-${String(counter)}`) {
  return makeConsulAdapter({ connection: { endpoints: [server.url] }, name });
}

async function listed(view: RegistryView, recordId = `${EXTERNAL_NODE}/${id}`): Promise<InstanceRecord> {
  let record: InstanceRecord | undefined;
  await eventually(() => {
    record = view.get(recordId);
    expect(record).toBeDefined();
  });
  if (record === undefined) throw new Error("not listed");
  return record;
}

async function isListed(): Promise<boolean> {
  return (await api.services(EXTERNAL_NODE))?.includes(id) ?? false;
}

describe("a newborn that registers the identical entry between our read and our write (1,000 rounds)", () => {
  it("leaves no trace that a guard could see: the adapter alone removes it", { timeout: 120_000 }, async () => {
    const { adapter } = makeAdapter();
    onTestFinished(() => adapter.close());
    const outcomes = new Map<string, number>();
    let lost = 0;
    for (let round = 0; round < 1_000; round++) {
      await register();
      const judged = await adapter.read(`${EXTERNAL_NODE}/${id}`, never);
      if (judged === undefined) throw new Error("not listed");
      await register();
      const { outcome } = await adapter.deregister(judged, fence(), never);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      if (!(await isListed())) lost++;
    }
    // This is what exactGuard=false tells the caller: look for pods at the address, known or hidden, before each write.
    expect(adapter.capabilities).toMatchObject({ guardedDelete: true, exactGuard: false });
    expect(Object.fromEntries(outcomes)).toEqual({ Done: 1_000 });
    expect(lost).toBe(1_000);
  });

  it("is never taken where it leaves a trace: its check says something else", { timeout: 120_000 }, async () => {
    const { adapter } = makeAdapter();
    onTestFinished(() => adapter.close());
    for (let round = 0; round < 1_000; round++) {
      await register({ output: `process ${String(round)}` });
      const judged = await adapter.read(`${EXTERNAL_NODE}/${id}`, never);
      if (judged === undefined) throw new Error("not listed");
      const birth = register({ output: `newborn ${String(round)}` });
      await Promise.all([adapter.deregister(judged, fence(), never), birth]);
      expect(await isListed()).toBe(true);
    }
  });
});

describe("a removal", () => {
  it("takes one service and its checks, and nothing else of the node", async () => {
    const { adapter } = makeAdapter();
    const view = runConsulAdapter(adapter);
    await register();
    await register({ id: `${id}-other` });
    expect(await adapter.deregister(await listed(view), fence(), never)).toMatchObject({ outcome: "Done" });
    const left = await api.services(EXTERNAL_NODE);
    expect(left).not.toContain(id);
    expect(left).toContain(`${id}-other`);
    const checks = (await api.get(`/v1/health/node/${EXTERNAL_NODE}`)) as readonly { readonly ServiceID: string }[];
    expect(checks.map(({ ServiceID }) => ServiceID)).not.toContain(id);
    expect(checks.map(({ ServiceID }) => ServiceID)).toContain(`${id}-other`);
  });

  it("is in the view at once", async () => {
    const { adapter } = makeAdapter();
    const view = runConsulAdapter(adapter);
    await register();
    const record = await listed(view);
    await adapter.deregister(record, fence(), never);
    expect(view.get(record.id)).toBeUndefined();
  });

  it("works without any check, and with a service id full of special characters", async () => {
    const { adapter } = makeAdapter();
    const view = runConsulAdapter(adapter);
    const odd = `${id}/a "b" \\ é?#%`;
    await api.put("/v1/catalog/register", catalogRegistration({ id: odd, service: "odd name" }));
    const record = await listed(view, `${EXTERNAL_NODE}/${odd}`);
    expect(await adapter.read(record.id, never)).toEqual(record);
    expect(await adapter.deregister(record, fence(), never)).toMatchObject({ outcome: "Done" });
    expect(await adapter.read(record.id, never)).toBeUndefined();
  });

  it("finds an entry that changed its name under the same id", async () => {
    const { adapter } = makeAdapter();
    const view = runConsulAdapter(adapter);
    await register();
    const record = await listed(view);
    await register({ service: "renamed" });
    expect(await adapter.read(record.id, never)).toMatchObject({ service: "renamed" });
    expect(await adapter.deregister(record, fence(), never)).toEqual({ outcome: "Changed" });
    expect(await isListed()).toBe(true);
  });
});

describe("our lock", () => {
  it("goes to the next one that may write, and whoever had it is refused by Consul itself", async () => {
    const first = makeAdapter("shared").adapter;
    const second = makeAdapter("shared").adapter;
    const views = [runConsulAdapter(first), runConsulAdapter(second)] as const;
    await register();
    await register({ id: `${id}-b` });
    expect(await first.deregister(await listed(views[0]), fence(), never)).toMatchObject({ outcome: "Done" });
    const held = await lockSession("shared");
    const other = await listed(views[1], `${EXTERNAL_NODE}/${id}-b`);
    expect(await second.deregister(other, fence({ traceId: "second" }), never)).toMatchObject({ outcome: "Done" });
    expect(await lockSession("shared")).not.toBe(held);
    // The first one believes that it holds the lock: its transaction fails, and its fence is asked before it takes it back.
    await register();
    const again = await listed(views[0]);
    let asked = 0;
    const deposed = fence({ isValid: () => ++asked <= 2, traceId: "deposed" });
    expect(await first.deregister(again, deposed, never)).toEqual({ outcome: "Fenced" });
    expect(await isListed()).toBe(true);
  });

  async function lockSession(name: string): Promise<string | undefined> {
    const [entry] = (await api.get(`/v1/kv/hygeia/c0ffee/lock/${name}`)) as readonly { readonly Session?: string }[];
    return entry?.Session;
  }
});

describe("what we keep in Consul", () => {
  it("leaves with us, but for the undo records, which leave within two days", async () => {
    const { adapter } = makeAdapter("farewell");
    const running = new AbortController();
    const { RegistryView } = await import("../../src/registry/view.ts");
    const view = new RegistryView("farewell");
    const ended = adapter.run(view, running.signal);
    await register();
    await adapter.deregister(await listed(view), fence({ traceId: "farewell" }), never);
    const ours = async (): Promise<readonly string[]> =>
      ((await api.get("/v1/kv/hygeia/c0ffee/?keys")) as readonly string[] | undefined) ?? [];
    const before = await ours();
    expect(before.some((key) => key.includes("/lock/farewell"))).toBe(true);
    running.abort();
    await ended;
    await adapter.close();
    const after = await ours();
    expect(after.some((key) => key.includes("/lock/farewell"))).toBe(false);
    expect(after.filter((key) => key.includes("/canary/")).length).toBe(0);
    interface Session {
      readonly Name: string;
      readonly TTL: string;
      readonly Behavior: string;
      readonly NodeChecks: unknown;
    }
    const sessions = (await api.get("/v1/session/list")) as readonly Session[];
    const mine = sessions.filter(({ Name }) => Name.includes("farewell"));
    expect(mine).toMatchObject([{ TTL: "86400s", Behavior: "delete" }]);
    expect(mine[0]?.NodeChecks ?? []).toEqual([]);
    const undo = (await api.values("hygeia/c0ffee/undo/")).filter((text) => text.includes('"farewell"'));
    expect(undo).toHaveLength(1);
  });
});

describe("a named datacenter", () => {
  it("goes with every request, and our sessions are made on a server of it", async () => {
    const { adapter } = makeConsulAdapter({ connection: { endpoints: [server.url] }, scope: { datacenter: "dc1" } });
    const view = runConsulAdapter(adapter);
    await register();
    expect(await adapter.deregister(await listed(view), fence(), never)).toMatchObject({ outcome: "Done" });
    const elsewhere = makeConsulAdapter({ connection: { endpoints: [server.url] }, scope: { datacenter: "dc2" } });
    await expect(elsewhere.adapter.read(`${EXTERNAL_NODE}/${id}`, never)).rejects.toMatchObject({
      name: "RegistryError",
      message: expect.stringMatching(/dc2|datacenter/) as string,
    });
    await elsewhere.adapter.close();
  });
});

describe("putting back", () => {
  it("restores all there is: tags, weights, tagged addresses, and a node that is gone", async () => {
    const { adapter } = makeAdapter();
    const view = runConsulAdapter(adapter);
    const node = `${EXTERNAL_NODE}-${id}`;
    const taggedAddresses = { grpc: { Address: "grpc://10.0.0.1:9000", Port: 9000 } };
    const body = catalogRegistration({ node, id, service: "web", status: "critical", taggedAddresses }) as {
      Service: Record<string, unknown>;
    };
    Object.assign(body.Service, { Tags: ["a", "b"], Weights: { Passing: 3, Warning: 2 } });
    await api.put("/v1/catalog/register", body);
    const read = async (): Promise<unknown> => await api.get(`/v1/health/service/web?filter=Node.Node=="${node}"`);
    const before = withoutIndexes(await read());
    const result = await adapter.deregister(await listed(view, `${node}/${id}`), fence(), never);
    if (result.outcome !== "Done") throw new Error(result.outcome);
    await api.put("/v1/catalog/deregister", { Node: node });
    expect(await adapter.put(result.restore, never)).toBe(true);
    expect(withoutIndexes(await read())).toEqual(before);
    expect(await adapter.put(result.restore, never)).toBe(false);
  });

  function withoutIndexes(value: unknown): unknown {
    return JSON.parse(JSON.stringify(value), (key, part: unknown) =>
      /^(Create|Modify)Index$/.test(key) ? undefined : part,
    );
  }
});
