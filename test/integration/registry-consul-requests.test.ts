/** What every request to Consul names: which part of it is meant, and that the answer must be the leader's own. */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";

import { parseRegistry } from "../../src/api/v1alpha1/index.ts";
import { systemClock } from "../../src/clock/system.ts";
import { adapterFactory } from "../../src/controllers/registry/adapter-factory.ts";
import type { InstanceRecord, RegistryAdapter } from "../../src/registry/port.ts";
import type { RegistryView } from "../../src/registry/view.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { type ConsulServer, startConsul } from "../env/index.ts";
import { catalogRegistration, ConsulApi, EXTERNAL_NODE } from "../support/consul-api.ts";
import { type FrontChanges, type HttpFront, type SeenRequest, startHttpFront } from "../support/http-front.ts";
import { makeConsulAdapter, runConsulAdapter } from "../support/registry-consul.ts";
import { eventually, fence, never } from "../support/registry-contract/stage.ts";

const DATACENTER = "dc1";
const NAMESPACE = "team-a";
const PARTITION = "part-b";
const SERVER_NODE = "consul-0";
/** Which agent or server answers, whether there are ACLs, and what the datacenter is called: nobody's entries. */
const OF_NO_ENTRIES: ReadonlySet<string> = new Set(["/v1/agent/self", "/v1/acl/token/self", "/v1/connect/ca/roots"]);

let server: ConsulServer;
let api: ConsulApi;

beforeAll(async () => {
  server = await startConsul();
  api = new ConsulApi(server.url);
});
afterAll(async () => {
  await server.stop();
});

async function listed(view: RegistryView, id: string): Promise<InstanceRecord> {
  await eventually(() => {
    expect(view.get(id)).toBeDefined();
  });
  const record = view.get(id);
  if (record === undefined) throw new Error("not listed");
  return record;
}

function pathOf({ url }: SeenRequest): string {
  return url.split("?")[0] ?? "";
}

function queryOf({ url }: SeenRequest): URLSearchParams {
  return new URL(url, "http://front").searchParams;
}

/** The operations of a transaction: what each names of its key, service, check or node. */
function operationsIn({ body }: SeenRequest): readonly (readonly [kind: string, named: Record<string, unknown>])[] {
  const operations = JSON.parse(body) as readonly Record<string, Record<string, Record<string, unknown>>>[];
  return operations.flatMap((operation) =>
    Object.entries(operation).map(([kind, said]) => [kind, kind === "KV" ? said : (said[kind] ?? {})] as const),
  );
}

describe("a Registry that names datacenter, namespace and partition", () => {
  const ids = { inCatalog: `${EXTERNAL_NODE}/web-1`, atAgent: `${SERVER_NODE}/kept-1` };
  let sent: readonly SeenRequest[] | undefined;

  /** One of each kind of request there is, sent by the first test that asks. */
  async function allKinds(): Promise<readonly SeenRequest[]> {
    return (sent ??= await sendAllKinds());
  }

  async function sendAllKinds(): Promise<readonly SeenRequest[]> {
    const fronts: HttpFront[] = [];
    for (let i = 0; i < 2; i++) fronts.push(await startEnterpriseFront());
    const [endpoint, agent] = fronts as [HttpFront, HttpFront];
    // So that the way to the node's agent is the one that the catalog and agentPort give.
    endpoint.answer("/v1/agent/self", 403, {});
    const adapter = fromObject(endpoint.url, Number(new URL(agent.url).port));
    const view = runConsulAdapter(adapter);
    const tagged = { grpc: { Address: "grpc://10.0.0.1:9000", Port: 9000 } };
    await api.put(
      "/v1/catalog/register",
      catalogRegistration({ id: "web-1", service: "web", status: "passing", taggedAddresses: tagged }),
    );
    await api.put("/v1/agent/service/register", { Name: "kept", ID: "kept-1", Address: "10.0.0.2", Port: 80 });
    for (const id of Object.values(ids)) {
      const record = await listed(view, id);
      await adapter.readLife(record, never);
      const result = await adapter.deregister(record, fence({ traceId: id }), never);
      if (result.outcome !== "Done") throw new Error(result.outcome);
      expect(await adapter.read(id, never)).toBeUndefined();
      if (id === ids.inCatalog) await api.put("/v1/catalog/deregister", { Node: EXTERNAL_NODE });
      expect(await adapter.put(result.restore, never)).toBe(true);
    }
    return fronts.flatMap(({ seen }) => seen);
  }

  /** As the operator makes it of a Registry object. */
  function fromObject(endpoint: string, agentPort: number): RegistryAdapter {
    const consul = { datacenter: DATACENTER, namespace: NAMESPACE, partition: PARTITION, agentPort };
    const spec = { type: "Consul", endpoints: [endpoint], consul };
    const parsed = parseRegistry({
      apiVersion: "hygeia.dev/v1alpha1",
      kind: "Registry",
      metadata: { name: "scoped" },
      spec,
    });
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    const metrics = createMetrics({ version: "0" });
    const make = adapterFactory({ holder: "requests", clock: systemClock, random: Math.random, metrics });
    const none = { ca: undefined, client: undefined, login: undefined, token: undefined, digest: "" };
    return make("scoped", parsed.object.spec, none, "c0ffee").adapter;
  }

  /** The community's server refuses what only Enterprise knows: the front notes it, and takes it off. */
  async function startEnterpriseFront(): Promise<HttpFront> {
    const url = (asked: string): string => {
      const { pathname, searchParams } = new URL(asked, "http://front");
      for (const name of ["ns", "partition"]) searchParams.delete(name);
      return `${pathname}?${searchParams.toString()}`;
    };
    return await startHttpFront(server.url, undefined, { url });
  }

  it("says them in every request, to servers and to agents", async () => {
    const requests = await allKinds();
    const kinds = new Set(requests.map((request) => `${request.method} ${pathOf(request)}`));
    expect([...kinds]).toEqual(
      expect.arrayContaining([
        "GET /v1/agent/self",
        "GET /v1/catalog/nodes",
        "GET /v1/connect/ca/roots",
        "GET /v1/health/service/web",
        "GET /v1/health/state/critical",
        "GET /v1/internal/ui/nodes",
        "PUT /v1/agent/service/deregister/kept-1",
        "PUT /v1/agent/service/register",
        "PUT /v1/catalog/register",
        "PUT /v1/session/create",
        "PUT /v1/txn",
      ]),
    );
    const named = { dc: DATACENTER, ns: NAMESPACE, partition: PARTITION };
    const without = requests.filter((request) => {
      const query = queryOf(request);
      return Object.entries(named).some(([name, value]) => query.get(name) !== value);
    });
    expect(without.map(({ method, url }) => `${method} ${url}`)).toEqual([]);
  });

  it("says namespace and partition in every operation of a transaction, and of a node its partition", async () => {
    const operations = (await allKinds()).filter((request) => pathOf(request) === "/v1/txn").flatMap(operationsIn);
    expect(new Set(operations.map(([kind]) => kind))).toEqual(new Set(["KV", "Service", "Check", "Node"]));
    for (const [kind, named] of operations) {
      const namespace = kind === "Node" ? {} : { Namespace: NAMESPACE };
      expect([kind, named]).toMatchObject([kind, { ...namespace, Partition: PARTITION }]);
    }
    // A node is in no namespace, and Consul refuses one that says so.
    expect(operations.filter(([kind, named]) => kind === "Node" && "Namespace" in named)).toEqual([]);
  });

  it("reads consistently whatever tells of entries or of our own keys, and never a stale answer", async () => {
    const requests = await allKinds();
    const reads = requests.filter((request) => request.method === "GET" && !OF_NO_ENTRIES.has(pathOf(request)));
    const lookups = requests.filter((request) => pathOf(request) === "/v1/txn" && isLookup(request));
    expect(lookups.length).toBeGreaterThan(0);
    const lax = [...reads, ...lookups].filter((request) => !queryOf(request).has("consistent"));
    expect(lax.map(({ url }) => url)).toEqual([]);
    expect(requests.filter((request) => queryOf(request).has("stale"))).toEqual([]);
  });

  function isLookup({ body }: SeenRequest): boolean {
    const operations = JSON.parse(body) as readonly Record<string, { readonly Verb?: string }>[];
    return operations.every((operation) => Object.values(operation).every(({ Verb }) => Verb === "get"));
  }
});

describe("an answer that says of itself that it is not the leader's", () => {
  const noLeader = { "x-consul-knownleader": "false" };
  const ID = `${EXTERNAL_NODE}/late`;

  /** An adapter behind a front that says of answers at these paths what it is told to say. */
  async function behind(name: string) {
    let told: { readonly path: string; readonly headers: Readonly<Record<string, string>> } | undefined;
    const headers: FrontChanges["headers"] = (request) =>
      told !== undefined && pathOf(request).startsWith(told.path) ? told.headers : {};
    const front = await startHttpFront(server.url, undefined, { headers });
    const { adapter } = makeConsulAdapter({ connection: { endpoints: [front.url] }, name });
    const view = runConsulAdapter(adapter);
    await eventually(() => {
      expect(view.freshness().caughtUpTo).toBeGreaterThan(0);
    });
    const tell = (path?: string, said: Readonly<Record<string, string>> = {}): void => {
      told = path === undefined ? undefined : { path, headers: said };
    };
    return { front, adapter, view, tell };
  }

  it.each([
    { what: "no leader known, nodes", path: "/v1/catalog/nodes", said: noLeader },
    { what: "no leader known, checks", path: "/v1/health/state/critical", said: noLeader },
    { what: "a list that is a follower's", path: "/v1/internal/ui/nodes", said: { "x-consul-lastcontact": "1500" } },
    { what: "a list older than its beginning", path: "/v1/internal/ui/nodes", said: { "x-consul-index": "1" } },
  ])("proves nothing and brings nothing into the view: $what", async ({ path, said }) => {
    const { front, view, tell } = await behind("unled");
    onTestFinished(async () => {
      await api.put("/v1/catalog/deregister", { Node: EXTERNAL_NODE, ServiceID: "late" });
    });
    tell(path, said);
    await api.put("/v1/catalog/register", catalogRegistration({ id: "late", service: "web" }));
    await eventually(() => {
      expect(view.freshness().problem?.reason).toBe("NoLeader");
    });
    const { caughtUpTo } = view.freshness();
    const canaries = (): number => front.seen.filter((request) => pathOf(request) === "/v1/txn").length;
    const before = canaries();
    // It goes on trying, and writes its canary each time.
    await eventually(() => {
      expect(canaries()).toBeGreaterThan(before + 2);
    });
    expect(view.freshness()).toMatchObject({ caughtUpTo, problem: { reason: "NoLeader" } });
    expect(view.get(ID)).toBeUndefined();
    tell();
    const now = performance.now();
    await eventually(() => {
      expect(view.freshness().problem).toBeUndefined();
      expect(view.freshness().caughtUpTo).toBeGreaterThan(now);
      expect(view.get(ID)).toBeDefined();
    });
  });

  it("proves nothing where it has no index", async () => {
    const { view, tell } = await behind("indexless");
    tell("/v1/catalog/nodes", { "x-consul-index": "0" });
    await eventually(() => {
      expect(view.freshness().problem?.reason).toBe("NotUnderstood");
    });
  });

  it("is neither an entry nor the lack of one, and nothing is removed on it", async () => {
    const { front, adapter, view, tell } = await behind("unread");
    await api.put("/v1/catalog/register", catalogRegistration({ id: "read", service: "web" }));
    const record = await listed(view, `${EXTERNAL_NODE}/read`);
    tell("/v1/health/service/", noLeader);
    await expect(adapter.read(record.id, never)).rejects.toMatchObject({ code: "NoLeader" });
    await expect(adapter.deregister(record, fence(), never)).rejects.toMatchObject({ code: "NoLeader" });
    expect(front.seen.filter(({ body }) => body.includes("delete-cas"))).toEqual([]);
    expect(await api.services(EXTERNAL_NODE)).toContain("read");
    tell("/v1/txn", noLeader);
    await expect(adapter.read(`${EXTERNAL_NODE}/not-there`, never)).rejects.toMatchObject({ code: "NoLeader" });
    tell();
    expect(await adapter.read(`${EXTERNAL_NODE}/not-there`, never)).toBeUndefined();
    expect(await adapter.read(record.id, never)).toEqual(record);
  });
});
