import { createServer } from "node:http";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { inspect } from "node:util";

import { KubeConfig } from "@kubernetes/client-node";
import { expect, inject, test, vi } from "vitest";

import type { Clock } from "../../src/clock/clock.ts";
import { systemClock } from "../../src/clock/system.ts";
import { KubeError } from "../../src/kube/http-errors.ts";
import { KubeTransport, type TransportMetrics } from "../../src/kube/transport.ts";
import { answer, answerWatch, blackHole, cut, holdAnswer, silenceAfter, truncate } from "../env/proxy/index.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Bench, eventually } from "./kube-reflector-harness.ts";

/** The machine's clock, which a test can put forward. */
function skippingClock(): Clock & { skip(milliseconds: number): void } {
  let offset = 0;
  return {
    ...systemClock,
    monotonic: () => systemClock.monotonic() + offset,
    skip: (milliseconds) => {
      offset += milliseconds;
    },
  };
}

const get = { method: "GET", path: "/api/v1/namespaces/default" } as const;

/** The error that a promise fails with. */
async function failure(promise: Promise<unknown>): Promise<KubeError> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(KubeError);
  return error as KubeError;
}

/** A service account's files as a kubelet mounts them, and the KubeConfig that client-node makes of them. */
function mountServiceAccount(bench: Bench, token: string): { config: KubeConfig; tokenFile: string; caFile: string } {
  const directory = join(bench.directory, "var/run/secrets/kubernetes.io/serviceaccount");
  mkdirSync(directory, { recursive: true });
  const tokenFile = join(directory, "token");
  const caFile = join(directory, "ca.crt");
  writeFileSync(tokenFile, `${token}\n`);
  writeFileSync(caFile, bench.proxy.ca);
  const { hostname, port } = new URL(bench.proxy.url);
  vi.stubEnv("KUBERNETES_SERVICE_HOST", hostname);
  vi.stubEnv("KUBERNETES_SERVICE_PORT", port);
  const config = new KubeConfig();
  config.loadFromCluster(bench.directory);
  vi.unstubAllEnvs();
  return { config, tokenFile, caFile };
}

// Undici frees a connection a moment after it hands the answer over, so the next call at once may open a second.

test("fifty calls one after another share two connections", async () => {
  await using bench = await Bench.open();
  const transport = await bench.transport();
  for (let i = 0; i < 50; i++) expect((await transport.request(get)).status).toBe(200);
  expect(bench.proxy.count((request) => request.path === get.path)).toBe(50);
  expect(bench.proxy.handshakes).toBeLessThanOrEqual(2);
});

test("a refused call does not cost its connection", async () => {
  await using bench = await Bench.open();
  const transport = await bench.transport();
  for (let i = 0; i < 5; i++)
    expect((await failure(transport.request({ ...get, path: `${get.path}x` }))).status).toBe(404);
  expect(bench.proxy.handshakes).toBeLessThanOrEqual(2);
});

test("a burst of two hundred calls opens no more than 32 connections", async () => {
  await using bench = await Bench.open();
  const transport = await bench.transport();
  await Promise.all(Array.from({ length: 200 }, () => transport.request(get)));
  expect(bench.proxy.handshakes).toBeLessThanOrEqual(32);
  expect(bench.proxy.handshakes).toBeGreaterThan(1);
});

test("watches that end in good order, one after another, share two connections", async () => {
  await using bench = await Bench.open();
  const transport = await bench.transport();
  for (let i = 0; i < 4; i++) {
    const query = { watch: true, timeoutSeconds: 1 };
    for await (const lines of transport.stream({ path: bench.path, query, inactivityMs: 5_000 }))
      expect(lines.length).toBeGreaterThan(0);
  }
  expect(bench.proxy.handshakes).toBeLessThanOrEqual(2);
});

test("a server that hangs has a deadline", async () => {
  await using bench = await Bench.open();
  const transport = await bench.transport();
  bench.proxy.rule({ match: () => true, action: blackHole(), times: 1 });
  const error = await failure(transport.request({ ...get, deadlineMs: 200 }));
  expect(error).toMatchObject({ code: "DeadlineExceeded", status: 0 });
  expect((await transport.request(get)).status).toBe(200);
});

test("an answer that stops in the middle has the same deadline", async () => {
  await using bench = await Bench.open();
  const transport = await bench.transport();
  bench.proxy.rule({ match: () => true, action: silenceAfter(0) });
  expect(await failure(transport.request({ ...get, deadlineMs: 200 }))).toMatchObject({ code: "DeadlineExceeded" });
});

test("a stream that is not answered has a deadline, and one that falls silent is given up", async () => {
  await using bench = await Bench.open();
  await bench.create("a");
  const transport = await bench.transport();
  const stream = { path: bench.path, query: { watch: true }, inactivityMs: 2_000 };
  const hung = bench.proxy.rule({ match: () => true, action: blackHole() });
  const unanswered = transport.stream({ ...stream, openDeadlineMs: 200 });
  expect(await failure(unanswered.next())).toMatchObject({ code: "DeadlineExceeded" });
  hung.remove();
  const open = transport.stream(stream);
  expect((await open.next()).value).toHaveLength(1);
  expect(await failure(open.next())).toMatchObject({ code: "Silent" });
});

test.each([
  ["a call", (transport: KubeTransport) => transport.request(get)],
  [
    "a stream that does not open",
    (transport: KubeTransport) => transport.stream({ path: get.path, inactivityMs: 1 }).next(),
  ],
])(
  "%s that says no deadline has one of 30 s",
  async (_name, begin) => {
    await using bench = await Bench.open();
    const clock = new ManualClock();
    const transport = await bench.transport(clock);
    bench.proxy.rule({ match: () => true, action: blackHole() });
    const ended = vi.fn();
    const running = failure(begin(transport)).finally(ended);
    await eventually(() => expect(bench.proxy.running(() => true)).toBe(1));
    await clock.advance(29_999);
    expect(ended).not.toHaveBeenCalled();
    await clock.advance(1);
    expect(await running).toMatchObject({ code: "DeadlineExceeded", status: 0 });
  },
  30_000,
);

test("the time that a stream's consumer takes is not the server's silence", async () => {
  await using bench = await Bench.open();
  await bench.create("a");
  const transport = await bench.transport();
  const open = transport.stream({ path: bench.path, query: { watch: true }, inactivityMs: 300 });
  await open.next();
  await systemClock.sleep(500);
  await bench.create("b");
  const next = open.next();
  expect((await next).value).toMatchObject([{ type: "ADDED", object: { metadata: { name: "b" } } }]);
  expect(await failure(open.next())).toMatchObject({ code: "Silent" });
});

test.each([
  ["a reset connection", cut(), "ConnectionLost"],
  ["a connection closed without an answer", cut({ how: "Close" }), "ConnectionLost"],
  ["an answer that breaks off", cut({ how: "Close", afterBytes: 30 }), "ConnectionLost"],
  ["an answer that ends too early", truncate(30), "BadResponse"],
  ["409 for a changed object", answer({ status: 409, reason: "Conflict" }), "Conflict"],
  ["410", answer({ status: 410, reason: "Expired" }), "Expired"],
  ["an answer that says JSON and is not", answer({ status: 200, body: "<html>" }), "BadResponse"],
])("%s is an error of its own kind", async (_name, action, code) => {
  await using bench = await Bench.open();
  const transport = await bench.transport();
  bench.proxy.rule({ match: () => true, action, times: 1 });
  expect((await failure(transport.request(get))).code).toBe(code);
  expect((await transport.request(get)).status).toBe(200);
});

test("what a real API server refuses is told by predicates", async () => {
  await using bench = await Bench.open();
  const transport = await bench.transport();
  const created = await bench.create("a");
  const lease = (resourceVersion: string): unknown => ({
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name: "a", resourceVersion },
    spec: { holderIdentity: resourceVersion },
  });
  const put = (resourceVersion: string) =>
    transport.request({ method: "PUT", path: `${bench.path}/a`, body: lease(resourceVersion) });
  expect((await put(created.resourceVersion)).status).toBe(200);
  const conflict = await failure(put(created.resourceVersion));
  expect([conflict.isConflict, conflict.isAlreadyExists]).toEqual([true, false]);
  const exists = await failure(transport.request({ method: "POST", path: bench.path, body: lease("") }));
  expect([exists.isConflict, exists.isAlreadyExists]).toEqual([false, true]);
  expect((await failure(transport.request({ method: "GET", path: `${bench.path}/none` }))).isNotFound).toBe(true);
  const nobody = await bench.transport(systemClock, await bench.serviceAccountToken("nobody"));
  expect((await failure(nobody.request({ method: "GET", path: bench.path }))).isForbidden).toBe(true);
  const stranger = await bench.transport(systemClock, "not-a-token");
  expect((await failure(stranger.request(get))).isUnauthorized).toBe(true);
});

test("the time that an overloaded server asks for is told", async () => {
  await using bench = await Bench.open();
  const transport = await bench.transport();
  bench.proxy.rule({ match: () => true, action: answer({ status: 429, retryAfterSeconds: 7 }) });
  expect(await failure(transport.request(get))).toMatchObject({ isTooManyRequests: true, retryAfterMs: 7_000 });
});

test("an answer that is not JSON comes as text", async () => {
  await using bench = await Bench.open();
  expect((await (await bench.transport()).request({ method: "GET", path: "/readyz" })).body).toBe("ok");
});

test("aborting rejects with the signal's reason: before, while it waits, and while a stream runs", async () => {
  await using bench = await Bench.open();
  const transport = await bench.transport();
  const reason = new Error("enough");
  await expect(transport.request({ ...get, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const controller = new AbortController();
  const match = (request: { path: string }): boolean => request.path === get.path;
  bench.proxy.rule({ match, action: blackHole() });
  const waiting = transport.request({ ...get, signal: controller.signal });
  const stream = transport.stream({
    path: bench.path,
    query: { watch: true },
    inactivityMs: 60_000,
    signal: controller.signal,
  });
  const running = (async () => {
    for await (const lines of stream) expect(lines).toEqual([]);
  })();
  await eventually(() => expect(bench.proxy.running(() => true)).toBe(2));
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  await expect(running).rejects.toBe(reason);
  await eventually(() => expect(bench.proxy.running(() => true)).toBe(0));
});

test("a line longer than allowed ends a stream", async () => {
  await using bench = await Bench.open();
  const transport = await bench.transport();
  bench.proxy.rule({ match: () => true, action: answerWatch(["x".repeat(2_000)], "Stay") });
  const stream = transport.stream({
    path: bench.path,
    query: { watch: true },
    inactivityMs: 5_000,
    maxLineBytes: 1_000,
  });
  expect(await failure(stream.next())).toMatchObject({ code: "BadResponse" });
  await eventually(() => expect(bench.proxy.running(() => true)).toBe(0));
});

test("calls are counted as client-go counts them", async () => {
  await using bench = await Bench.open();
  const calls: Parameters<TransportMetrics["completed"]>[0][] = [];
  const { config } = mountServiceAccount(bench, inject("env").kubeToken);
  const transport = new KubeTransport({
    config,
    clock: systemClock,
    metrics: { completed: (call) => calls.push(call) },
  });
  await transport.request(get);
  await failure(transport.request({ ...get, path: `${get.path}x` }));
  bench.proxy.rule({ match: () => true, action: cut() });
  await failure(transport.request(get));
  const { host } = new URL(bench.proxy.url);
  expect(calls.map(({ code, method, host: to }) => [code, method, to])).toEqual([
    ["200", "GET", host],
    ["404", "GET", host],
    ["<error>", "GET", host],
  ]);
  for (const { seconds } of calls) expect(seconds).toBeGreaterThan(0);
  await transport.close();
});

test("a token that was replaced in its file is used: at once after a 401, else within seconds", async () => {
  await using bench = await Bench.open();
  const clock = skippingClock();
  const { config, tokenFile } = mountServiceAccount(bench, "expired");
  const transport = new KubeTransport({ config, clock });
  expect((await failure(transport.request(get))).isUnauthorized).toBe(true);
  writeFileSync(tokenFile, inject("env").kubeToken);
  expect((await transport.request(get)).status).toBe(200);
  writeFileSync(tokenFile, "expired again");
  clock.skip(5_000);
  expect((await failure(transport.request(get))).isUnauthorized).toBe(true);
  await transport.close();
});

test("a token file that is missing for a moment does not matter", async () => {
  await using bench = await Bench.open();
  const clock = skippingClock();
  const { config } = mountServiceAccount(bench, inject("env").kubeToken);
  const transport = new KubeTransport({ config, clock });
  await transport.request(get);
  const provider = config.users[0]?.authProvider as { config: { tokenFile: string } };
  provider.config.tokenFile = join(bench.directory, "missing");
  clock.skip(5_000);
  expect((await transport.request(get)).status).toBe(200);
  await transport.close();
});

test("a new CA brings new connections, and what runs on the old ones ends undisturbed", async () => {
  await using bench = await Bench.open();
  await bench.create("a");
  const clock = skippingClock();
  const { config, caFile } = mountServiceAccount(bench, inject("env").kubeToken);
  const transport = new KubeTransport({ config, clock });
  const held = bench.proxy.rule({ match: (request) => request.path === get.path, action: holdAnswer(), times: 1 });
  const slow = transport.request(get);
  const watch = transport.stream({ path: bench.path, query: { watch: true }, inactivityMs: 20_000 });
  await watch.next();
  await eventually(() => expect(bench.proxy.running(() => true)).toBe(2));
  const before = bench.proxy.handshakes;

  bench.proxy.rotateCertificate();
  writeFileSync(caFile, bench.proxy.ca);
  clock.skip(5_000);
  expect((await transport.request(get)).status).toBe(200);
  expect(bench.proxy.handshakes).toBe(before + 1);

  held.remove();
  expect((await slow).status).toBe(200);
  await bench.create("b");
  expect((await watch.next()).value).toMatchObject([{ object: { metadata: { name: "b" } } }]);
  await transport.close();
});

test("a server with a certificate of another authority is not trusted", async () => {
  await using bench = await Bench.open();
  const { config, caFile } = mountServiceAccount(bench, inject("env").kubeToken);
  writeFileSync(caFile, readFileSync(inject("env").kubeCaFile));
  const transport = new KubeTransport({ config, clock: systemClock });
  expect(await failure(transport.request(get))).toMatchObject({ code: "ConnectionLost" });
  expect(bench.proxy.requests).toEqual([]);
  await transport.close();
});

test("an exec plugin of the kubeconfig gives the token", async () => {
  await using bench = await Bench.open();
  const credential = {
    apiVersion: "client.authentication.k8s.io/v1",
    kind: "ExecCredential",
    status: { token: inject("env").kubeToken },
  };
  const config = new KubeConfig();
  config.loadFromClusterAndUser(
    {
      name: "proxy",
      server: bench.proxy.url,
      caData: Buffer.from(bench.proxy.ca).toString("base64"),
      skipTLSVerify: false,
    },
    {
      name: "plugin",
      exec: { command: process.execPath, args: ["-e", `console.log(${JSON.stringify(JSON.stringify(credential))})`] },
    },
  );
  const transport = new KubeTransport({ config, clock: systemClock });
  expect((await transport.request(get)).status).toBe(200);
  await transport.close();
});

test("an HTTP proxy named in the kubeconfig is used", async () => {
  await using bench = await Bench.open();
  let tunnels = 0;
  const tunnel = createServer();
  tunnel.on("connect", (request: { url: string }, socket: Duplex) => {
    tunnels += 1;
    const [host = "", port = ""] = request.url.split(":");
    const upstream = connect(Number(port), host, () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      upstream.pipe(socket).pipe(upstream);
    });
    upstream.on("error", () => socket.destroy());
    socket.on("error", () => upstream.destroy());
    socket.on("close", () => upstream.destroy());
  });
  await new Promise<void>((resolve) => tunnel.listen(0, "127.0.0.1", resolve));
  const { config } = mountServiceAccount(bench, inject("env").kubeToken);
  const proxyUrl = `http://127.0.0.1:${(tunnel.address() as AddressInfo).port}`;
  config.clusters = config.clusters.map((cluster) => ({ ...cluster, proxyUrl }));
  const transport = new KubeTransport({ config, clock: systemClock });
  for (let i = 0; i < 3; i++) expect((await transport.request(get)).status).toBe(200);
  expect([1, 2]).toContain(tunnels);
  await transport.close();
  tunnel.closeAllConnections();
  tunnel.close();
});

test.each([
  ["a server in clear text", { server: "http://127.0.0.1:1", skipTLSVerify: false }],
  ["a SOCKS proxy", { server: "https://127.0.0.1:1", skipTLSVerify: false, proxyUrl: "socks5://127.0.0.1:2" }],
])("%s is refused at the start", (_name, cluster) => {
  const config = new KubeConfig();
  config.loadFromClusterAndUser({ name: "c", ...cluster }, { name: "u" });
  expect(() => new KubeTransport({ config, clock: systemClock })).toThrow(
    expect.objectContaining({ code: "BadCredentials" }),
  );
});

test("no error tells the token, a query, or what a plugin printed", async () => {
  await using bench = await Bench.open();
  const secret = "very-secret-token";
  const { config, tokenFile } = mountServiceAccount(bench, secret);
  const transport = new KubeTransport({ config, clock: systemClock });
  const call = { ...get, query: { continue: secret }, body: { secret }, deadlineMs: 2_000 };
  const errors = [await failure(transport.request(call))];
  for (const action of [answer({ status: 500 }), cut(), blackHole(), answer({ status: 200, body: secret })]) {
    bench.proxy.rule({ match: () => true, action, times: 1 });
    errors.push(await failure(transport.request(call)));
  }
  writeFileSync(tokenFile, `${secret}\nwith a newline`);
  errors.push(await failure(transport.request(call)));
  config.users = [
    { name: "u", exec: { command: process.execPath, args: ["-e", `console.error("${secret}"); process.exit(1)`] } },
  ];
  config.contexts = [{ name: config.currentContext, cluster: config.clusters[0]?.name ?? "", user: "u" }];
  const plugin = new KubeTransport({ config, clock: systemClock });
  errors.push(await failure(plugin.request(call)));
  expect(errors.map((error) => error.code)).toEqual([
    "Unauthorized",
    "ServerError",
    "ConnectionLost",
    "DeadlineExceeded",
    "BadResponse",
    "Unauthorized",
    "BadCredentials",
  ]);
  for (const error of errors) expect(inspect(error, { depth: 5, showHidden: true })).not.toContain(secret);
  await Promise.all([transport.close(), plugin.close()]);
});

test("after close every call fails at once", async () => {
  await using bench = await Bench.open();
  const transport = await bench.transport();
  bench.proxy.rule({ match: () => true, action: blackHole(), times: 1 });
  const waiting = failure(transport.request(get));
  await eventually(() => expect(bench.proxy.running(() => true)).toBe(1));
  await transport.close();
  expect((await waiting).code).toBe("ConnectionLost");
  expect((await failure(transport.request(get))).code).toBe("Closed");
});
