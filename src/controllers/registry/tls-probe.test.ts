import { once } from "node:events";
import { createServer as createPlainServer, type AddressInfo, type Server, type Socket } from "node:net";
import { createServer, type TlsOptions } from "node:tls";

import { afterEach, beforeAll, describe, expect, test } from "vitest";

import { createAuthority, type Authority, type KeyPair } from "../../../test/env/certificates.ts";
import { systemClock } from "../../clock/system.ts";
import { probeTls, type TlsTrust } from "./tls-probe.ts";

let authority: Authority;
let stranger: Authority;
let client: KeyPair;
const servers: Server[] = [];
const sockets = new Set<Socket>();

beforeAll(async () => {
  [authority, stranger] = await Promise.all([createAuthority("ours"), createAuthority("strange")]);
  client = await authority.issue({ commonName: "client" });
});

afterEach(async () => {
  await Promise.all(
    servers.splice(0).map(async (server) => {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    }),
  );
  sockets.clear();
});

async function listen(server: Server): Promise<string> {
  servers.push(server);
  server.on("connection", (socket: Socket) => sockets.add(socket.on("error", () => undefined)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface ServerWish {
  readonly signer?: Authority;
  readonly hosts?: readonly string[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly options?: TlsOptions;
}

async function serve({ signer = authority, hosts = ["127.0.0.1"], options, ...dates }: ServerWish): Promise<string> {
  const { certificate, key } = await signer.issue({ commonName: "server", hosts, ...dates });
  const server = createServer({ cert: certificate, key, ca: authority.certificate, ...options });
  server.on("tlsClientError", () => undefined).on("secureConnection", (socket) => socket.on("error", () => undefined));
  return await listen(server);
}

const hour = (hours: number): Date => new Date(Date.now() + hours * 3_600_000);
const never = new AbortController().signal;

async function probe(endpoint: string, trust: Partial<TlsTrust> = {}) {
  const all = { ca: authority.certificate, client: undefined, serverName: undefined, ...trust };
  return await probeTls(endpoint, all, systemClock, never);
}

describe("a look at an endpoint's TLS", () => {
  test("shows the certificates that it serves, up to the authority", async () => {
    const notAfter = new Date("2031-01-02T03:04:05Z");
    const endpoint = await serve({ notAfter });
    const { chain, finding } = await probe(endpoint);
    expect(finding).toBeUndefined();
    expect(chain.map(({ subject }) => subject)).toEqual(["CN=server", "CN=ours"]);
    expect(chain[0]?.notAfter).toEqual(notAfter);
    expect(chain[0]?.what).toBe(`the certificate of ${endpoint}`);
  });

  const table: Record<
    string,
    { server: ServerWish; trust?: () => Partial<TlsTrust>; reason: string | undefined; says: RegExp }
  > = {
    "an authority that is not trusted": {
      server: {},
      trust: () => ({ ca: stranger.certificate }),
      reason: "NotTrusted",
      says: /is not signed by an authority that is trusted .*spec\.tls\.caSecretRef/,
    },
    "an expired certificate": {
      server: { notBefore: hour(-2), notAfter: hour(-1) },
      reason: "Expired",
      says: /has expired/,
    },
    "a certificate of the future": {
      server: { notBefore: hour(1), notAfter: hour(2) },
      reason: "NotYetValid",
      says: /is not valid yet/,
    },
    "a certificate for another name": {
      server: { hosts: ["etcd.example"] },
      reason: "WrongName",
      says: /is not for "127\.0\.0\.1": correct spec\.tls\.serverName/,
    },
    "nothing wrong with the name that the spec gives": {
      server: { hosts: ["etcd.example"] },
      trust: () => ({ serverName: "etcd.example" }),
      reason: undefined,
      says: /^$/,
    },
    "nothing wrong where a client's certificate is asked for and shown": {
      server: { options: { requestCert: true } },
      trust: () => ({ client: { certificate: client.certificate, privateKey: client.key } }),
      reason: undefined,
      says: /^$/,
    },
    "that a client's certificate is asked for and missing, in TLS 1.3": {
      server: { options: { requestCert: true, minVersion: "TLSv1.3" } },
      reason: "ClientRejected",
      says: /refuses our client certificate .*spec\.tls\.clientCertificateSecretRef/,
    },
    "that a client's certificate is asked for and missing, in TLS 1.2": {
      server: { options: { requestCert: true, maxVersion: "TLSv1.2" } },
      // OpenSSL servers do not say more; those in Go do.
      reason: "HandshakeFailed",
      says: /HANDSHAKE_FAILURE\): the server may ask for another client certificate/,
    },
  };
  for (const [what, { server, trust, reason, says }] of Object.entries(table)) {
    test(`finds ${what}`, async () => {
      const endpoint = await serve({
        ...server,
        options: { rejectUnauthorized: server.options?.requestCert === true, ...server.options },
      });
      const { finding } = await probe(endpoint, trust?.());
      expect(finding?.reason).toBe(reason);
      expect(finding?.message ?? "").toMatch(says);
      if (finding !== undefined) expect(finding.message).toContain(endpoint);
    });
  }

  test("finds a server that does not speak TLS", async () => {
    const endpoint = await listen(createPlainServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")));
    const { chain, finding } = await probe(endpoint);
    expect(chain).toEqual([]);
    expect(finding?.reason).toBe("HandshakeFailed");
  });

  test("finds nothing of TLS where nobody listens", async () => {
    const endpoint = await serve({});
    const [server] = servers.splice(0);
    server?.close();
    expect(await probe(endpoint)).toEqual({ endpoint, chain: [], finding: undefined });
  });

  test("gives up a server that accepts and says nothing, without blaming TLS", async () => {
    const server = createPlainServer();
    const endpoint = await listen(server);
    expect(await probe(endpoint)).toEqual({ endpoint, chain: [], finding: undefined });
  });

  test("ends at once when it is told to", async () => {
    const endpoint = await listen(createPlainServer());
    const abort = new AbortController();
    const looking = probeTls(
      endpoint,
      { ca: undefined, client: undefined, serverName: undefined },
      systemClock,
      abort.signal,
    );
    abort.abort(new Error("stop"));
    await expect(looking).rejects.toThrow("stop");
  });
});
