import { readFileSync, writeFileSync } from "node:fs";

import { describe, expect, it, onTestFinished } from "vitest";

import type { EtcdConnection } from "../../src/registry/etcd/options.ts";
import type { RegistryView } from "../../src/registry/view.ts";
import { createAuthority } from "../env/certificates.ts";
import { type EtcdOptions, type EtcdServer, startEtcd } from "../env/index.ts";
import { eventually, fence, never } from "../support/registry-contract/stage.ts";
import { makeEtcdAdapter, runAdapter } from "../support/registry-etcd.ts";

const KEY = "/microservices/web/a";
const VALUE = `{"id":"a","name":"web","version":"v1","metadata":{},"endpoints":["grpc://10.0.0.1:9000"]}`;
const PASSWORD = "correct-horse-battery";

async function withEtcd(options: EtcdOptions): Promise<EtcdServer> {
  const server = await startEtcd(options);
  onTestFinished(() => server.stop());
  await server.ctl("put", KEY, VALUE);
  return server;
}

/** Everything the view said of problems. */
function follow(connection: EtcdConnection): {
  adapter: ReturnType<typeof makeEtcdAdapter>["adapter"];
  view: RegistryView;
  said: string[];
} {
  const { adapter } = makeEtcdAdapter({ connection });
  const view = runAdapter(adapter);
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
    expect(view.get(KEY)).toBeDefined();
  });
}

async function says(view: RegistryView, reason: string, message: RegExp): Promise<void> {
  await eventually(() => {
    expect(view.freshness().problem).toMatchObject({
      reason,
      message: expect.stringMatching(message) as string,
    });
  });
}

describe("with users and passwords", () => {
  const user = { name: "hygeia", password: PASSWORD };
  const auth = {
    rootPassword: "root-secret",
    users: [{ ...user, prefixes: ["/microservices/", "/hygeia/"] }],
  };

  it("works with a role that reaches no further than the prefixes and the records", async () => {
    const server = await withEtcd({ auth });
    const { adapter, view } = follow({
      endpoints: server.endpoints,
      credentials: { username: "hygeia", password: PASSWORD },
    });
    await isFresh(view);
    const record = view.get(KEY);
    if (record === undefined) throw new Error("not listed");
    expect(await adapter.deregister(record, fence(), never)).toMatchObject({ outcome: "Done" });
    // etcd tells its status to root alone; the version it tells everybody.
    expect(view.freshness().serverVersion).toMatch(/^3\./);
  });

  it("names a wrong password without telling it, and recovers when the Secret is right", async () => {
    const server = await withEtcd({ auth });
    const { adapter, view, said } = follow({
      endpoints: server.endpoints,
      credentials: { username: "hygeia", password: "wrong-password" },
    });
    await says(view, "Unauthenticated", /user name or password is wrong/);
    adapter.reconfigure({ endpoints: server.endpoints, credentials: { username: "hygeia", password: PASSWORD } });
    await isFresh(view);
    expect(said.join("\n")).not.toMatch(/wrong-password|correct-horse/);
  });

  it("names missing credentials", async () => {
    const server = await withEtcd({ auth });
    const { view } = follow({ endpoints: server.endpoints });
    await says(view, "Unauthenticated", /asks for a user name and password/);
  });

  it("needs no login where the server has no users", async () => {
    const server = await withEtcd({});
    const { view } = follow({ endpoints: server.endpoints, credentials: { username: "hygeia", password: PASSWORD } });
    await isFresh(view);
  });

  it("logs in again when the server has forgotten its tokens", async () => {
    const server = await withEtcd({ auth, flags: ["--auth-token-ttl=1"] });
    const { view } = follow({ endpoints: server.endpoints, credentials: { username: "hygeia", password: PASSWORD } });
    await isFresh(view);
    for (const member of server.members) {
      await member.kill();
      await member.start();
    }
    await isFresh(view);
    // Any change of roles makes every token old.
    await server.ctl("role", "add", "another");
    await isFresh(view);
  });

  it("keeps a view, and calls it unproven, as long as the role may not write the records", async () => {
    const server = await withEtcd({
      auth: { ...auth, users: [{ ...user, prefixes: ["/microservices/"] }] },
    });
    const { adapter, view } = follow({
      endpoints: server.endpoints,
      credentials: { username: "hygeia", password: PASSWORD },
    });
    await says(view, "CanaryNotWritable", /\/hygeia\/c0ffee\/canary\/.*role does not allow/);
    await eventually(() => {
      expect(view.get(KEY)).toBeDefined();
    });
    await server.ctl("put", "/microservices/web/b", VALUE.replace(`"id":"a"`, `"id":"b"`));
    await eventually(() => {
      expect(view.size).toBe(2);
    });
    expect(view.freshness().caughtUpTo).toBe(Number.NEGATIVE_INFINITY);
    const record = view.get(KEY);
    if (record === undefined) throw new Error("not listed");
    await expect(adapter.deregister(record, fence(), never)).rejects.toMatchObject({ code: "PermissionDenied" });
    await server.ctl("role", "grant-permission", "--prefix", "hygeia", "readwrite", "/hygeia/");
    await isFresh(view);
  });

  it("names a role that may not read the registrations", async () => {
    const server = await withEtcd({ auth: { ...auth, users: [{ ...user, prefixes: ["/hygeia/"] }] } });
    const { view } = follow({ endpoints: server.endpoints, credentials: { username: "hygeia", password: PASSWORD } });
    await says(view, "PermissionDenied", /role does not allow it: prefix \/microservices\/$/);
    expect(view.freshness().synced).toBe(false);
  });
});

describe("with TLS", () => {
  const buffer = (file: string): Buffer => readFileSync(file);

  function filesOf(server: EtcdServer): NonNullable<EtcdServer["tls"]> {
    if (server.tls === undefined) throw new Error("no TLS");
    return server.tls;
  }

  it("trusts the authority it is given, and shows its certificate", async () => {
    const server = await withEtcd({ tls: { clientAuth: true } });
    const files = filesOf(server);
    const { view } = follow({
      endpoints: server.endpoints,
      tls: {
        ca: buffer(files.caFile),
        certificate: buffer(files.clientCertificateFile),
        key: buffer(files.clientKeyFile),
      },
    });
    await isFresh(view);
  });

  it("names an unknown authority, and recovers when the Secret has the right one", async () => {
    const server = await withEtcd({ tls: {} });
    const other = await createAuthority("another authority");
    const { adapter, view } = follow({ endpoints: server.endpoints, tls: { ca: Buffer.from(other.certificate) } });
    await says(view, "TLSFailed", /unknown authority/);
    adapter.reconfigure({ endpoints: server.endpoints, tls: { ca: buffer(filesOf(server).caFile) } });
    await isFresh(view);
  });

  it("names an expired certificate, and recovers when the server has a new one", async () => {
    const server = await startEtcd({ tls: { notAfter: new Date(Date.now() - 3_600_000) } });
    onTestFinished(() => server.stop());
    const files = filesOf(server);
    const { view } = follow({ endpoints: server.endpoints, tls: { ca: buffer(files.caFile) } });
    await says(view, "TLSFailed", /server's certificate has expired/);
    const renewed = await files.authority.issue({ commonName: "etcd", hosts: ["127.0.0.1"] });
    writeFileSync(files.serverCertificateFile, renewed.certificate);
    writeFileSync(files.serverKeyFile, renewed.key);
    await server.ctl("put", KEY, VALUE);
    await isFresh(view);
  });

  it("names a certificate for another name, unless that name is asked for", async () => {
    const server = await withEtcd({ tls: { hosts: ["etcd.infra.svc", "127.0.0.1"] } });
    const ca = buffer(filesOf(server).caFile);
    const { adapter, view } = follow({ endpoints: server.endpoints, tls: { ca, serverName: "other.infra.svc" } });
    await says(view, "TLSFailed", /another name/);
    adapter.reconfigure({ endpoints: server.endpoints, tls: { ca, serverName: "etcd.infra.svc" } });
    await isFresh(view);
  });

  it("names a missing client certificate, and one of another authority", async () => {
    const server = await withEtcd({ tls: { clientAuth: true } });
    const ca = buffer(filesOf(server).caFile);
    const { adapter, view } = follow({ endpoints: server.endpoints, tls: { ca } });
    await says(view, "TLSFailed", /asks for a client certificate/);
    const stranger = await (await createAuthority("strangers")).issue({ commonName: "root" });
    const tls = { ca, certificate: Buffer.from(stranger.certificate), key: Buffer.from(stranger.key) };
    adapter.reconfigure({ endpoints: server.endpoints, tls });
    await says(view, "TLSFailed", /authority of our client certificate/);
  });

  it("says of a Secret without PEM that it is not valid, and quotes nothing of it", async () => {
    const server = await withEtcd({ tls: {} });
    const { adapter, view, said } = follow({
      endpoints: server.endpoints,
      tls: { ca: Buffer.from("garbage-in-secret") },
    });
    await says(view, "TLSFailed", /not valid PEM/);
    expect(said.join("\n")).not.toContain("garbage");
    adapter.reconfigure({ endpoints: server.endpoints, tls: { ca: buffer(filesOf(server).caFile) } });
    await isFresh(view);
  });

  it("names a port that does not speak TLS", async () => {
    const server = await withEtcd({});
    const { view } = follow({ endpoints: server.endpoints.map((url) => url.replace("http:", "https:")) });
    await says(view, "TLSFailed", /TLS/);
  });

  it("logs in over TLS under another server name", async () => {
    const server = await withEtcd({
      tls: { hosts: ["etcd.infra.svc", "127.0.0.1"] },
      auth: { rootPassword: "root-secret", users: [{ name: "hygeia", password: PASSWORD, prefixes: ["/"] }] },
    });
    const { view } = follow({
      endpoints: server.endpoints,
      tls: { ca: buffer(filesOf(server).caFile), serverName: "etcd.infra.svc" },
      credentials: { username: "hygeia", password: PASSWORD },
    });
    await isFresh(view);
    expect(view.freshness().serverVersion).toMatch(/^3\./);
  });
});
