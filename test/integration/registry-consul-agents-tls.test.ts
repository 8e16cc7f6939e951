/** Agents reached at the address that the catalog has for their node: only under the expected name, and no token before that. */
import { Agent } from "undici";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";

import type { ConsulAdapterOptions } from "../../src/registry/consul/options.ts";
import type { InstanceRecord } from "../../src/registry/port.ts";
import type { RegistryView } from "../../src/registry/view.ts";
import { type Authority, createAuthority, type KeyPair } from "../env/certificates.ts";
import { type ConsulServer, startConsul } from "../env/index.ts";
import { ConsulApi } from "../support/consul-api.ts";
import { startHttpFront } from "../support/http-front.ts";
import { makeConsulAdapter, runConsulAdapter } from "../support/registry-consul.ts";
import { eventually, fence, never } from "../support/registry-contract/stage.ts";

const MANAGEMENT = "11111111-2222-4333-8444-555555555555";
/** Under which the agents' certificates are issued; their addresses are not in them. */
const AGENT_NAME = "agent.dc1.consul";

let authority: Authority;
let counter = 0;

beforeAll(async () => {
  authority = await createAuthority("consul authority");
});

function run(options: Partial<ConsulAdapterOptions> & Pick<ConsulAdapterOptions, "connection">) {
  const { adapter } = makeConsulAdapter(options);
  return { adapter, view: runConsulAdapter(adapter) };
}

function newService(): { readonly ID: string; readonly Name: string; readonly Address: string; readonly Port: number } {
  counter++;
  return { ID: `api-${String(counter)}`, Name: "api", Address: "10.0.0.1", Port: 80 };
}

async function listed(view: RegistryView, id: string): Promise<InstanceRecord> {
  await eventually(() => {
    expect(view.get(id)).toBeDefined();
  });
  const record = view.get(id);
  if (record === undefined) throw new Error("not listed");
  return record;
}

describe("agents that speak TLS and ask for a client certificate and a token", () => {
  let cluster: ConsulServer;
  let client: KeyPair;
  let servers: ConsulApi;
  let agent: ConsulApi;
  let node: string;
  let dispatcher: Agent;

  beforeAll(async () => {
    const hosts = ["127.0.0.1", "localhost", AGENT_NAME];
    const tls = { authority, clientAuth: true, hosts };
    cluster = await startConsul({ agents: 1, acl: { managementToken: MANAGEMENT }, tls });
    client = await authority.issue({ commonName: "hygeia" });
    dispatcher = new Agent({ connect: { rejectUnauthorized: false, cert: client.certificate, key: client.key } });
    servers = new ConsulApi(cluster.url, MANAGEMENT, dispatcher);
    const [first] = cluster.agents;
    if (first === undefined) throw new Error("an agent was asked for");
    agent = new ConsulApi(first.url, MANAGEMENT, dispatcher);
    ({ node } = first);
  });
  afterAll(async () => {
    await dispatcher.close();
    await cluster.stop();
  });

  /** An adapter that reaches every agent at the port that they all have, and an entry that one of them keeps. */
  async function withEntry(agentServerName: string | undefined) {
    const service = newService();
    await agent.put("/v1/agent/service/register", service);
    const tls = {
      ca: Buffer.from(authority.certificate),
      certificate: Buffer.from(client.certificate),
      key: Buffer.from(client.key),
    };
    const connection = { endpoints: [cluster.url], token: MANAGEMENT, tls };
    const { adapter, view } = run({ connection, agentPort: Number(new URL(agent.url).port), agentServerName });
    const record = await listed(view, `${node}/${service.ID}`);
    expect(record.removal).toEqual({ effective: "Yes" });
    const isKept = async (): Promise<boolean> => service.ID in ((await agent.get("/v1/agent/services")) as object);
    return { adapter, view, record, isKept };
  }

  it("remove an entry, where their certificate has the name that the Registry gives", async () => {
    const { adapter, record, isKept } = await withEntry(AGENT_NAME);
    expect(await isKept()).toBe(true);
    expect(await adapter.deregister(record, fence(), never)).toMatchObject({ outcome: "Done" });
    expect(await isKept()).toBe(false);
    expect(await adapter.read(record.id, never)).toBeUndefined();
  });

  it.each([
    { what: "another name than the Registry gives", name: "other.dc1.consul" },
    { what: "not their address, and the Registry gives no name", name: undefined },
  ])("are left alone, with the reason, where their certificate has $what", async ({ name }) => {
    const { adapter, view, record, isKept } = await withEntry(name);
    const refused = adapter.deregister(record, fence({ traceId: record.id }), never);
    await expect(refused).rejects.toMatchObject({ code: "TLSFailed" });
    expect(view.get(record.id)?.removal).toMatchObject({
      effective: "No",
      reason: "AgentUnreachable",
      message: expect.stringMatching(/certificate is for another name/) as string,
    });
    expect(await isKept()).toBe(true);
    // Nothing was done, and nothing says that it was.
    expect((await servers.values("hygeia/c0ffee/undo/")).filter((text) => text.includes(record.id))).toEqual([]);
  });
});

describe("the token", () => {
  let server: ConsulServer;
  let api: ConsulApi;

  beforeAll(async () => {
    server = await startConsul({ acl: { managementToken: MANAGEMENT } });
    api = new ConsulApi(server.url, MANAGEMENT);
  });
  afterAll(async () => {
    await server.stop();
  });

  /** An entry of the server's own agent, and an adapter that finds what stands at that agent's address over the catalog. */
  async function atListener(certificate: KeyPair) {
    const own = await authority.issue({ commonName: "consul", hosts: ["127.0.0.1"] });
    const endpoint = await startHttpFront(server.url, { cert: own.certificate, key: own.key });
    // Or the endpoint itself would be the way to that agent.
    endpoint.answer("/v1/agent/self", 403, {});
    const listener = await startHttpFront(server.url, { cert: certificate.certificate, key: certificate.key });
    const service = newService();
    await api.put("/v1/agent/service/register", service);
    onTestFinished(async () => {
      await api.put(`/v1/agent/service/deregister/${service.ID}`);
    });
    const tls = { ca: Buffer.from(authority.certificate) };
    const { adapter, view } = run({
      connection: { endpoints: [endpoint.url], token: MANAGEMENT, tls },
      agentPort: Number(new URL(listener.url).port),
      agentServerName: AGENT_NAME,
    });
    return { adapter, listener, record: await listed(view, `consul-0/${service.ID}`) };
  }

  it("goes to an agent that shows the expected certificate, in a header", async () => {
    const { adapter, listener, record } = await atListener(
      await authority.issue({ commonName: "agent", hosts: [AGENT_NAME] }),
    );
    expect(await adapter.deregister(record, fence(), never)).toMatchObject({ outcome: "Done" });
    expect(listener.seen).toMatchObject([{ method: "PUT", headers: { "x-consul-token": MANAGEMENT } }]);
    expect(listener.seen[0]?.url).not.toContain(MANAGEMENT);
  });

  it.each(["another name", "another authority"])(
    "goes nowhere, and nothing else does, where the certificate is for %s",
    async (fault) => {
      const certificate =
        fault === "another name"
          ? await authority.issue({ commonName: "agent", hosts: ["elsewhere.dc1.consul", "127.0.0.1"] })
          : await (await createAuthority("stranger")).issue({ commonName: "agent", hosts: [AGENT_NAME] });
      const { adapter, listener, record } = await atListener(certificate);
      await expect(adapter.deregister(record, fence(), never)).rejects.toMatchObject({ code: "TLSFailed" });
      expect(listener.seen).toEqual([]);
    },
  );
});
