/** Who may see and change what in Nacos: logins, TLS, and where secrets do not go. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { NacosConnection } from "../../src/registry/nacos/options.ts";
import type { RegistryView } from "../../src/registry/view.ts";
import { createAuthority } from "../env/certificates.ts";
import { NACOS_USER, type NacosServer, startNacos } from "../env/index.ts";
import { startHttpFront } from "../support/http-front.ts";
import { NacosApi } from "../support/nacos-api.ts";
import { eventually, fence, never } from "../support/registry-contract/stage.ts";
import { makeNacosAdapter, nacosId, runNacosAdapter } from "../support/registry-nacos.ts";

const PASSWORD = "pass-word-5f1e";
const WRONG = "wrong-word-77ab";
/** Seconds a token is good for. */
const TOKEN_TTL = 5;
const ONE = { service: "web", ip: "10.5.0.1", port: 8080 };
const login = { username: NACOS_USER, password: PASSWORD };

let server: NacosServer;

beforeAll(async () => {
  const settings = [`nacos.core.auth.plugin.nacos.token.expire.seconds=${String(TOKEN_TTL)}`];
  server = await startNacos({ password: PASSWORD, settings });
});
afterAll(async () => {
  await server.stop();
});

/** Everything the view said of problems. */
function follow(connection: NacosConnection) {
  const { adapter } = makeNacosAdapter({ connection });
  const view = runNacosAdapter(adapter);
  const said: string[] = [];
  view.subscribeState(() => {
    const { problem } = view.freshness();
    if (problem !== undefined) said.push(`${problem.reason}: ${problem.message}`);
  });
  return { adapter, view, said };
}

async function isFresh(view: RegistryView, after = performance.now()): Promise<void> {
  await eventually(() => {
    expect(view.freshness().problem).toBeUndefined();
    expect(view.freshness().caughtUpTo).toBeGreaterThan(after);
  });
}

async function says(view: RegistryView, reason: string, message: RegExp): Promise<void> {
  await eventually(() => {
    expect(view.freshness().problem).toMatchObject({ reason, message: expect.stringMatching(message) as string });
  });
}

describe("with authentication", () => {
  it("logs in, reads and writes, and neither password nor token is in a URL or a log", async () => {
    const front = await startHttpFront(server.url);
    const { adapter, view } = follow({ endpoints: [front.url], login });
    await isFresh(view);
    const value = JSON.stringify({ ...ONE, group: "DEFAULT_GROUP", ephemeral: false, healthy: true, enabled: true });
    const id = nacosId(ONE);
    const payload = { registry: "nacos", id, format: "Persistent", value, encoding: "utf8", ttlMs: 0 } as const;
    expect(await adapter.put(payload, never)).toBe(true);
    await isFresh(view);
    const record = view.get(id);
    if (record === undefined) throw new Error("not listed");
    expect((await adapter.deregister(record, fence(), never)).outcome).toBe("Done");

    const tokens = new Set(
      front.seen.map(({ headers }) => headers["accesstoken"]).filter((token) => token !== undefined),
    );
    expect(tokens.size).toBeGreaterThan(0);
    const logs = join(server.directory, "logs");
    const access = readdirSync(logs).filter((file) => file.startsWith("access_log"));
    const texts = [
      ...front.seen.map(({ url }) => url),
      ...access.map((file) => readFileSync(join(logs, file), "utf8")),
    ].join("\n");
    expect(texts).toContain("/nacos/v3/auth/user/login");
    for (const secret of [PASSWORD, ...tokens]) expect(texts).not.toContain(secret);
    const logins = front.seen.filter(({ url }) => url.endsWith("/login"));
    expect(logins.every(({ method, body }) => method === "POST" && body.includes(PASSWORD))).toBe(true);
  });

  it("renews its token before it ends, and logs in no more often than that", { timeout: 40_000 }, async () => {
    const front = await startHttpFront(server.url);
    const { view, said } = follow({ endpoints: [front.url], login });
    await isFresh(view);
    await isFresh(view, performance.now() + 2 * TOKEN_TTL * 1_000);
    expect(said).toEqual([]);
    expect(front.statuses.filter((status) => status !== 200)).toEqual([]);
    const logins = front.seen.filter(({ url }) => url.endsWith("/login")).length;
    expect(logins).toBeGreaterThanOrEqual(3);
    expect(logins).toBeLessThanOrEqual(6);
  });

  it.each([401, 403])("logs in once more when its token is refused (%i)", async (status) => {
    const front = await startHttpFront(server.url);
    const { view, said } = follow({ endpoints: [front.url], login });
    await isFresh(view);
    const before = front.seen.filter(({ url }) => url.endsWith("/login")).length;
    front.refuseOnce(status, ({ url }) => url.includes("/service/list"));
    await eventually(() => {
      expect(front.seen.filter(({ url }) => url.endsWith("/login")).length).toBeGreaterThan(before);
    });
    await isFresh(view);
    expect(said).toEqual([]);
  });

  it("names a wrong password without telling it, and goes on with the right one", async () => {
    const { adapter, view, said } = follow({ endpoints: [server.url], login: { ...login, password: WRONG } });
    await says(view, "Unauthenticated", /refuses user name or password/);
    expect(view.freshness().synced).toBe(false);
    await expect(adapter.read(nacosId(ONE), never)).rejects.toMatchObject({ code: "Unauthenticated" });
    adapter.reconfigure({ endpoints: [server.url], login });
    await isFresh(view);
    expect(said.join()).not.toContain(WRONG);
  });

  it("needs no administrator where there is one server: the namespace is enough", { timeout: 60_000 }, async () => {
    // Tokens end soon here: one login for each call.
    const admin = (): NacosApi => new NacosApi(server.url, login);
    const reader = { username: "namespace-user", password: "pass-word-81d3" };
    await admin().createUser(reader, "public:*:*");
    // Nacos reads its users and their permissions anew every 15 s.
    await eventually(async () => {
      await new NacosApi(server.url, reader).all();
    }, 40_000);
    const { adapter, view } = follow({ endpoints: [server.url], login: reader });
    const two = { ...ONE, service: "web-of-a-namespace" };
    await admin().register(two);
    await isFresh(view);
    const record = view.get(nacosId(two));
    if (record === undefined) throw new Error("not listed");
    expect((await adapter.deregister(record, fence(), never)).outcome).toBe("Done");
    expect(await admin().publishers(two.service)).toEqual([]);
  });

  it("asks for a login where it has none", async () => {
    const { view } = follow({ endpoints: [server.url] });
    await says(view, "Unauthenticated", /asks for a login/);
  });
});

describe("over TLS", () => {
  it("trusts the given authority, and no other, and expects the endpoint's name", async () => {
    const authority = await createAuthority("nacos authority");
    const pair = await authority.issue({ commonName: "nacos", hosts: ["nacos.infra.svc"] });
    const front = await startHttpFront(server.url, { cert: pair.certificate, key: pair.key });
    const ca = Buffer.from(authority.certificate);
    const good = follow({ endpoints: [front.url], login, tls: { ca, serverName: "nacos.infra.svc" } });
    await isFresh(good.view);
    await says(follow({ endpoints: [front.url], login, tls: { ca } }).view, "TLSFailed", /another name/);
    const before = front.seen.length;
    const stranger = Buffer.from((await createAuthority("another")).certificate);
    const bad = follow({ endpoints: [front.url], login, tls: { ca: stranger, serverName: "nacos.infra.svc" } });
    await says(bad.view, "TLSFailed", /unknown authority/);
    expect(front.seen.slice(before).every(({ url }) => !url.endsWith("/login"))).toBe(true);
  });

  it("shows a client certificate where one is asked for", async () => {
    const authority = await createAuthority("nacos authority");
    const pair = await authority.issue({ commonName: "nacos", hosts: ["127.0.0.1"] });
    const asking = { ca: authority.certificate, requestCert: true, rejectUnauthorized: true };
    const front = await startHttpFront(server.url, { cert: pair.certificate, key: pair.key, ...asking });
    const ca = Buffer.from(authority.certificate);
    const without = follow({ endpoints: [front.url], login, tls: { ca } });
    await eventually(() => {
      expect(without.said).not.toEqual([]);
    });
    expect(without.view.freshness().synced).toBe(false);
    expect(front.seen).toEqual([]);
    const own = await authority.issue({ commonName: "hygeia" });
    const tls = { ca, certificate: Buffer.from(own.certificate), key: Buffer.from(own.key) };
    await isFresh(follow({ endpoints: [front.url], login, tls }).view);
  });

  it("says that a server speaks no TLS, and quotes no broken key", async () => {
    const endpoints = [server.url.replace("http:", "https:")];
    await says(follow({ endpoints, login }).view, "TLSFailed", /TLS/);
    const broken = { certificate: Buffer.from("s3cret"), key: Buffer.from("s3cret") };
    const { view, said } = follow({ endpoints, login, tls: broken });
    await says(view, "TLSFailed", /TLS/);
    expect(said.join()).not.toContain("s3cret");
  });
});
