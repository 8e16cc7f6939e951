import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { connect } from "node:tls";

import { afterEach, describe, expect, test } from "vitest";

import { annotate, everywhere, reviewOf } from "../../test/support/admission-review.ts";
import { systemClock } from "../clock/system.ts";
import { createLogger } from "../telemetry/log.ts";
import { createMetrics } from "../telemetry/metrics.ts";
import { createAuthority, issueLeaf } from "./certificates/authority.ts";
import type { KeyPair } from "./certificates/key-pair.ts";
import { WEBHOOK_PATH, WebhookServer, type WebhookServerOptions } from "./server.ts";

const NAME = "hooks.ops.svc";
const day = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 86_400_000) };

interface Running {
  readonly server: WebhookServer;
  readonly authority: KeyPair;
  readonly metrics: ReturnType<typeof createMetrics>;
  leafOf(authority: KeyPair): Promise<KeyPair>;
}

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function start(options: Partial<WebhookServerOptions> = {}): Promise<Running> {
  const metrics = createMetrics({ version: "test" });
  const authority = await createAuthority(day);
  const server = new WebhookServer({
    address: "127.0.0.1:0",
    snapshot: () => everywhere,
    mutate: annotate,
    exemptNamespaces: new Set(),
    clock: systemClock,
    log: createLogger({ level: "silent" }),
    metrics,
    ...options,
  });
  const leafOf = (issuer: KeyPair): Promise<KeyPair> => issueLeaf(issuer, [NAME], day);
  await server.use(await leafOf(authority));
  closing.push(() => server.close(0));
  return { server, authority, metrics, leafOf };
}

interface Sent {
  readonly path?: string;
  readonly method?: string;
  readonly body?: string | Buffer;
  readonly trusted: KeyPair;
  readonly agent?: HttpsAgent;
}

interface Got {
  readonly status: number;
  readonly text: string;
  /** The server ends the connection. */
  readonly closes: boolean;
}

async function send({ server }: { readonly server: Pick<WebhookServer, "port"> }, sent: Sent): Promise<Got> {
  const outgoing = httpsRequest({
    host: "127.0.0.1",
    port: server.port,
    servername: NAME,
    ca: sent.trusted.certificate,
    path: sent.path ?? `${WEBHOOK_PATH}?timeout=2s`,
    method: sent.method ?? "POST",
    headers: { "content-type": "application/json" },
    ...(sent.agent === undefined ? { agent: false } : { agent: sent.agent }),
  });
  outgoing.end(sent.body ?? JSON.stringify(reviewOf()));
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const closes = response.headers.connection === "close";
  return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString(), closes };
}

async function counted({ metrics }: Running, series: string): Promise<string | undefined> {
  return (await metrics.render()).split("\n").find((line) => line.startsWith(series));
}

describe("WebhookServer", () => {
  test("answers the API server's question about a pod, and counts it", async () => {
    const running = await start();
    const { status, text } = await send(running, { trusted: running.authority });
    expect(status).toBe(200);
    expect(JSON.parse(text)).toMatchObject({ response: { allowed: true, patchType: "JSONPatch" } });
    const series = 'hygeia_admission_requests_total{result="Patched",reason="Changed"}';
    expect(await counted(running, series)).toBe(`${series} 1`);
    expect(await counted(running, "hygeia_admission_request_duration_seconds_count")).toMatch(/ 1$/);
  });

  test("allows what it can not read", async () => {
    const running = await start();
    const { status, text } = await send(running, { trusted: running.authority, body: "no JSON" });
    expect(status).toBe(200);
    expect(JSON.parse(text)).toMatchObject({ response: { allowed: true } });
  });

  test("is found at one path, by POST only", async () => {
    const running = await start();
    expect((await send(running, { trusted: running.authority, path: "/" })).status).toBe(404);
    expect((await send(running, { trusted: running.authority, method: "PUT" })).status).toBe(405);
  });

  test("reads no body beyond the bound, whether its length is told before or not", async () => {
    const running = await start({ maxBodyBytes: 1_000 });
    const body = Buffer.alloc(2_000, " ");
    expect((await send(running, { trusted: running.authority, body })).status).toBe(413);
    const series = 'hygeia_admission_requests_total{result="Failed",reason="TooLarge"}';
    expect(await counted(running, series)).toBe(`${series} 1`);

    const chunked = connect({
      host: "127.0.0.1",
      port: running.server.port ?? 0,
      ca: running.authority.certificate,
      servername: NAME,
    });
    closing.push(() => void chunked.destroy());
    chunked.on("error", () => undefined);
    chunked.write(`POST ${WEBHOOK_PATH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n`);
    chunked.write(`7d0\r\n${" ".repeat(2_000)}\r\n`);
    const [answer] = (await once(chunked, "data")) as [Buffer];
    expect(answer.toString()).toContain("413");
    await once(chunked, "close");
  });

  test("waits for a body no longer than its deadline", async () => {
    const running = await start({ deadlineMs: 100 });
    const slow = connect({
      host: "127.0.0.1",
      port: running.server.port ?? 0,
      ca: running.authority.certificate,
      servername: NAME,
    });
    closing.push(() => void slow.destroy());
    slow.on("error", () => undefined);
    slow.write(`POST ${WEBHOOK_PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345`);
    const [answer] = (await once(slow, "data")) as [Buffer];
    expect(answer.toString()).toContain("408");
    const series = 'hygeia_admission_requests_total{result="Failed",reason="Deadline"}';
    expect(await counted(running, series)).toBe(`${series} 1`);
  });

  test("a new certificate takes over for new connections, and the old ones end with their next answer", async () => {
    const running = await start();
    const agent = new HttpsAgent({ keepAlive: true, maxSockets: 1 });
    closing.push(() => agent.destroy());
    expect(await send(running, { trusted: running.authority, agent })).toMatchObject({ status: 200, closes: false });
    const successor = await createAuthority(day);
    await running.server.use(await running.leafOf(successor));
    expect((await send(running, { trusted: successor })).status).toBe(200);
    expect(await send(running, { trusted: running.authority, agent })).toMatchObject({ status: 200, closes: true });
    await expect(send(running, { trusted: running.authority, agent })).rejects.toThrow();
  });

  test("a stop lets the answer under way go out and takes no new connection", async () => {
    const running = await start();
    const port = running.server.port ?? 0;
    const body = JSON.stringify(reviewOf());
    const options = { host: "127.0.0.1", port, ca: running.authority.certificate, servername: NAME };
    const half = connect(options);
    const head = `POST ${WEBHOOK_PATH} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: ${body.length}\r\n\r\n`;
    half.write(head + body.slice(0, 50));
    expect(String(await once(half, "data"))).toContain("100 Continue");
    const idle = connect(options);
    await once(idle, "secureConnect");
    idle.on("error", () => undefined);
    idle.resume();
    const closed = running.server.close(5_000);
    await once(idle, "close");
    await expect(send({ server: { port } }, { trusted: running.authority })).rejects.toThrow();
    half.write(body.slice(50));
    const [answer] = (await once(half, "data")) as [Buffer];
    expect(answer.toString()).toContain('"allowed":true');
    await closed;
  });

  test("refuses to be without an address", () => {
    expect(() => new WebhookServer({ address: "0" } as WebhookServerOptions)).toThrow("--admission=none");
  });
});
