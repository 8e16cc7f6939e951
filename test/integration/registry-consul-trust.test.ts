/** Who may see and change what in Consul: tokens, TLS, and where secrets do not go. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

import { Agent } from "undici";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";

import type { ConsulConnection } from "../../src/registry/consul/options.ts";
import type { RegistryView } from "../../src/registry/view.ts";
import { createAuthority } from "../env/certificates.ts";
import { type ConsulOptions, type ConsulServer, startConsul } from "../env/index.ts";
import { catalogRegistration, ConsulApi, EXTERNAL_NODE } from "../support/consul-api.ts";
import { makeConsulAdapter, QUICK, runConsulAdapter } from "../support/registry-consul.ts";
import { eventually, fence, never } from "../support/registry-contract/stage.ts";

const MANAGEMENT = "11111111-2222-4333-8444-555555555555";
const UNKNOWN = "99999999-2222-4333-8444-555555555555";
const ID = `${EXTERNAL_NODE}/shop-1`;
/** What docs/registries.md asks for. */
const DOCUMENTED = `
node_prefix "" { policy = "read" }
service_prefix "" { policy = "write" }
session_prefix "" { policy = "write" }
key_prefix "hygeia/" { policy = "write" }
agent_prefix "" { policy = "read" }
`;

/** Everything the view said of problems. */
function follow(connection: ConsulConnection) {
  const { adapter } = makeConsulAdapter({ connection });
  const view = runConsulAdapter(adapter);
  const said: string[] = [];
  view.subscribeState(() => {
    const { problem } = view.freshness();
    if (problem !== undefined) said.push(`${problem.reason}: ${problem.message}`);
  });
  return { adapter, view, said };
}

async function isFresh(view: RegistryView): Promise<void> {
  const now = performance.now();
  await eventually(() => {
    expect(view.freshness().problem).toBeUndefined();
    expect(view.freshness().caughtUpTo).toBeGreaterThan(now);
    expect(view.get(ID)).toBeDefined();
  });
}

async function says(view: RegistryView, reason: string, message: RegExp): Promise<void> {
  await eventually(() => {
    expect(view.freshness().problem).toMatchObject({ reason, message: expect.stringMatching(message) as string });
  });
}

describe("with ACLs that deny by default", () => {
  let server: ConsulServer;
  let api: ConsulApi;

  beforeAll(async () => {
    server = await startConsul({ acl: { managementToken: MANAGEMENT } });
    api = new ConsulApi(server.url, MANAGEMENT);
    for (const [id, service] of [
      ["shop-1", "shop-web"],
      ["other-1", "other-web"],
    ] as const) {
      await api.put("/v1/catalog/register", catalogRegistration({ id, service, status: "passing" }));
    }
  });
  afterAll(async () => {
    await server.stop();
  });

  let policies = 0;
  async function token(rules: string): Promise<string> {
    policies++;
    const Name = `policy-${String(policies)}`;
    await api.put("/v1/acl/policy", { Name, Rules: rules });
    const made = (await api.put("/v1/acl/token", { Policies: [{ Name }] })) as { readonly SecretID: string };
    return made.SecretID;
  }

  it("works with the policy that the documentation asks for", async () => {
    const { adapter, view } = follow({ endpoints: [server.url], token: await token(DOCUMENTED) });
    await isFresh(view);
    expect(view.freshness()).toMatchObject({ serverVersion: "1.19.2" });
    const record = view.get(ID);
    if (record === undefined) throw new Error("not listed");
    const result = await adapter.deregister(record, fence(), never);
    if (result.outcome !== "Done") throw new Error(result.outcome);
    await api.put(
      "/v1/catalog/register",
      catalogRegistration({ id: "shop-1", service: "shop-web", status: "passing" }),
    );
  });

  it("is not fresh with a token that sees half, and says what is missing", async () => {
    const half = await token(DOCUMENTED.replace('service_prefix ""', 'service_prefix "shop-"'));
    const { view } = follow({ endpoints: [server.url], token: half });
    await says(view, "FilteredByACLs", /service_prefix/);
    expect(view.freshness()).toMatchObject({ synced: false, caughtUpTo: Number.NEGATIVE_INFINITY });
    expect(view.size).toBe(0);
  });

  it("keeps the last good view when its token is cut down, and calls it fresh no more", async () => {
    const { adapter, view } = follow({ endpoints: [server.url], token: await token(DOCUMENTED) });
    await isFresh(view);
    const { size } = view;
    const half = await token(DOCUMENTED.replace('node_prefix ""', `node_prefix "${EXTERNAL_NODE}"`));
    adapter.reconfigure({ endpoints: [server.url], token: half });
    await says(view, "FilteredByACLs", /policy/);
    const { caughtUpTo } = view.freshness();
    await new Promise((resolve) => setTimeout(resolve, 3 * QUICK.canaryEvery));
    expect(view.freshness().caughtUpTo).toBe(caughtUpTo);
    expect(view.size).toBe(size);
  });

  it("reads nothing as there being nothing where the token may not see an entry", async () => {
    const { adapter, view } = follow({ endpoints: [server.url], token: await token(DOCUMENTED) });
    await isFresh(view);
    const record = view.get(ID);
    if (record === undefined) throw new Error("not listed");
    adapter.reconfigure({ endpoints: [server.url], token: await token('session_prefix "" { policy = "write" }') });
    await expect(adapter.read(ID, never)).rejects.toMatchObject({ name: "RegistryError" });
    await expect(adapter.deregister(record, fence(), never)).rejects.toMatchObject({ name: "RegistryError" });
  });

  it("names the right that is missing to write its keys", async () => {
    const reader = DOCUMENTED.replace('key_prefix "hygeia/" { policy = "write" }', "");
    const { view } = follow({ endpoints: [server.url], token: await token(reader) });
    await says(view, "PermissionDenied", /canary can not be written/);
  });

  it("asks for a token where there are ACLs, since what is left out without one is not said", async () => {
    const { view } = follow({ endpoints: [server.url] });
    await says(view, "Unauthenticated", /has ACLs/);
    expect(view.freshness().synced).toBe(false);
  });

  it("names an unknown token without telling it, and recovers when the Secret is right", async () => {
    const { adapter, view, said } = follow({ endpoints: [server.url], token: UNKNOWN });
    await says(view, "Unauthenticated", /token is not known/);
    adapter.reconfigure({ endpoints: [server.url], token: MANAGEMENT });
    await isFresh(view);
    expect(said.join()).not.toContain(UNKNOWN);
  });
});

it.each(["127.0.0.1", "::1"])("shows its token in a header, and never in a URL (at %s)", async (host) => {
  const seen: IncomingMessage[] = [];
  const listener = createServer((request, response) => {
    seen.push(request);
    response.writeHead(500).end(`no, ${String(request.headers["x-consul-token"])}`);
  });
  await new Promise<void>((resolve) => listener.listen(0, host, resolve));
  onTestFinished(() => void listener.close());
  const name = host.includes(":") ? `[${host}]` : host;
  const url = `http://${name}:${String((listener.address() as AddressInfo).port)}`;
  const { adapter } = follow({ endpoints: [url], token: UNKNOWN });
  await eventually(() => {
    expect(seen.length).toBeGreaterThan(2);
  });
  await adapter.read(ID, never).catch(() => undefined);
  expect(seen.map(({ url = "" }) => url).join()).not.toContain(UNKNOWN);
  expect(seen.every(({ headers }) => headers["x-consul-token"] === UNKNOWN)).toBe(true);
});

describe("over TLS", () => {
  async function withTls(tls: ConsulOptions["tls"]): Promise<ConsulServer> {
    const authority = tls?.authority ?? (await createAuthority("consul authority"));
    const server = await startConsul({ tls: { ...tls, authority } });
    onTestFinished(() => server.stop());
    const client = tls?.clientAuth === true ? await authority.issue({ commonName: "test" }) : undefined;
    const dispatcher = new Agent({
      connect: {
        rejectUnauthorized: false,
        ...(client === undefined ? {} : { cert: client.certificate, key: client.key }),
      },
    });
    onTestFinished(() => dispatcher.close());
    const api = new ConsulApi(server.url, undefined, dispatcher);
    await api.put("/v1/catalog/register", catalogRegistration({ id: "shop-1", service: "shop-web" }));
    return server;
  }

  function authorityOf(server: ConsulServer): Buffer {
    return Buffer.from(server.authority?.certificate ?? "");
  }

  it("trusts the given authority, and no other", async () => {
    const server = await withTls({});
    const good = follow({ endpoints: [server.url], tls: { ca: authorityOf(server) } });
    await isFresh(good.view);
    const stranger = await createAuthority("another");
    const bad = follow({ endpoints: [server.url], tls: { ca: Buffer.from(stranger.certificate) } });
    await says(bad.view, "TLSFailed", /unknown authority/);
    expect(bad.view.freshness().synced).toBe(false);
  });

  it("shows a client certificate where one is asked for", async () => {
    const authority = await createAuthority("consul authority");
    const server = await withTls({ clientAuth: true, authority });
    const without = follow({ endpoints: [server.url], tls: { ca: authorityOf(server) } });
    await says(without.view, "TLSFailed", /client certificate/);
    const pair = await authority.issue({ commonName: "hygeia" });
    const tls = {
      ca: authorityOf(server),
      certificate: Buffer.from(pair.certificate),
      key: Buffer.from(pair.key),
    };
    await isFresh(follow({ endpoints: [server.url], tls }).view);
  });

  it("expects the given name in place of the endpoint's host", async () => {
    const server = await withTls({ hosts: ["server.dc1.consul"] });
    const ca = authorityOf(server);
    const without = follow({ endpoints: [server.url], tls: { ca } });
    await says(without.view, "TLSFailed", /another name/);
    await isFresh(follow({ endpoints: [server.url], tls: { ca, serverName: "server.dc1.consul" } }).view);
  });

  it("says that a server speaks no TLS, and quotes no broken key", async () => {
    const server = await startConsul();
    onTestFinished(() => server.stop());
    const { view } = follow({ endpoints: [server.url.replace("http:", "https:")] });
    await says(view, "TLSFailed", /TLS/);
    const broken = follow({
      endpoints: [server.url.replace("http:", "https:")],
      tls: { certificate: Buffer.from("s3cret"), key: Buffer.from("s3cret") },
    });
    await says(broken.view, "TLSFailed", /TLS/);
    expect(broken.said.join()).not.toContain("s3cret");
  });
});
