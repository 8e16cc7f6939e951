import { once } from "node:events";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { afterEach, describe, expect, test } from "vitest";

import { ManualClock } from "../../test/support/manual-clock.ts";
import { systemClock } from "../clock/system.ts";
import { serveHttp } from "./http.ts";
import type { HttpService, ReadinessCheck } from "./http.ts";
import { createLogger } from "./log.ts";

const running: HttpService[] = [];

afterEach(async () => {
  for (const service of running.splice(0)) await service.close(0);
});

async function start(overrides: Partial<Parameters<typeof serveHttp>[0]> = {}): Promise<HttpService> {
  const service = await serveHttp({
    probeAddress: "127.0.0.1:0",
    metricsAddress: "127.0.0.1:0",
    ready: () => [],
    metrics: { contentType: "text/plain; version=0.0.4", render: () => Promise.resolve("up 1\n") },
    clock: systemClock,
    log: createLogger({ level: "silent" }),
    ...overrides,
  });
  running.push(service);
  return service;
}

async function get(port: number | undefined, path: string, method = "GET") {
  const response = await fetch(`http://127.0.0.1:${port ?? 0}${path}`, { method });
  return {
    status: response.status,
    body: await response.text(),
    type: response.headers.get("content-type"),
    allow: response.headers.get("allow"),
  };
}

describe("endpoints", () => {
  test("a live process is healthy whatever else is wrong", async () => {
    const { probePort } = await start({ ready: () => [{ name: "pods", problem: "not listed yet" }] });
    expect(await get(probePort, "/healthz")).toMatchObject({ status: 200, body: "ok" });
  });

  test("readiness names the checks that fail, and becomes ok by itself", async () => {
    let checks: ReadinessCheck[] = [
      { name: "pods", problem: "not listed yet" },
      { name: "nodes", problem: undefined },
    ];
    const { probePort } = await start({ ready: () => checks });
    expect(await get(probePort, "/readyz")).toMatchObject({
      status: 503,
      body: "[-]pods failed: not listed yet\n[+]nodes ok\nreadyz check failed\n",
    });
    checks = [{ name: "pods", problem: undefined }];
    expect(await get(probePort, "/readyz")).toMatchObject({ status: 200, body: "ok" });
    expect(await get(probePort, "/readyz?verbose")).toMatchObject({
      status: 200,
      body: "[+]pods ok\nreadyz check passed\n",
    });
  });

  test("metrics are served with their media type", async () => {
    const { metricsPort } = await start();
    expect(await get(metricsPort, "/metrics")).toMatchObject({
      status: 200,
      body: "up 1\n",
      type: "text/plain; version=0.0.4",
    });
  });

  test("the same address serves everything from one port, different ones keep to their own", async () => {
    const one = await start();
    expect(one.probePort).toBe(one.metricsPort);
    const two = await start({ metricsAddress: "localhost:0" });
    expect(two.probePort).not.toBe(two.metricsPort);
    expect(await get(two.probePort, "/metrics")).toMatchObject({ status: 404 });
    expect(await get(two.metricsPort, "/readyz")).toMatchObject({ status: 404 });
  });

  test("an address of 0 switches an endpoint off", async () => {
    const { probePort, metricsPort } = await start({ metricsAddress: "0" });
    expect(probePort).toBeGreaterThan(0);
    expect(metricsPort).toBeUndefined();
  });

  test("other methods and paths are refused, HEAD is answered without a body", async () => {
    const { probePort } = await start();
    expect(await get(probePort, "/metrics", "POST")).toMatchObject({ status: 405, allow: "GET, HEAD" });
    expect(await get(probePort, "/debug")).toMatchObject({ status: 404 });
    expect(await get(probePort, "/metrics", "HEAD")).toMatchObject({ status: 200, body: "" });
  });

  test("a check or a scrape that throws is an answer of 500, and the next request is served", async () => {
    const { probePort } = await start({
      ready: () => {
        throw new Error("bug");
      },
      metrics: { contentType: "text/plain", render: () => Promise.reject(new Error("bug")) },
    });
    expect(await get(probePort, "/readyz")).toMatchObject({ status: 500, body: "internal error\n" });
    expect(await get(probePort, "/metrics")).toMatchObject({ status: 500, body: "internal error\n" });
    expect(await get(probePort, "/healthz")).toMatchObject({ status: 200 });
  });

  for (const address of ["8080", "host", "host:port", "127.0.0.1:65536", "::1:80", "[::1]", ""]) {
    test(`"${address}" is refused as an address`, async () => {
      await expect(start({ probeAddress: address })).rejects.toMatchObject({ code: "BadBindAddress" });
    });
  }

  test("a port in use is an error that names it, and what was already started is closed", async () => {
    const { probePort } = await start();
    const taken = `127.0.0.1:${probePort ?? 0}`;
    await expect(start({ metricsAddress: taken })).rejects.toMatchObject({
      code: "ListenFailed",
      message: expect.stringContaining(taken) as string,
    });
  });
});

describe("closing", () => {
  test("lets an answer under way finish and breaks idle connections at once", async () => {
    let release: (text: string) => void = () => undefined;
    const rendering = new Promise<string>((resolve) => (release = resolve));
    const reached = Promise.withResolvers<undefined>();
    // Its time stands still, so that nothing here ends because the grace is over.
    const service = await start({
      clock: new ManualClock(),
      metrics: {
        contentType: "text/plain",
        render: () => {
          reached.resolve(undefined);
          return rendering;
        },
      },
    });
    const idle = connect(service.probePort ?? 0, "127.0.0.1").resume();
    await once(idle, "connect");
    const broken = once(idle, "close");
    const scrape = new Promise<number>((resolve, reject) => {
      const agent = new Agent({ keepAlive: true });
      request({ port: service.probePort, host: "127.0.0.1", path: "/metrics", agent }, (response) => {
        response.resume().on("end", () => resolve(response.statusCode ?? 0));
      })
        .on("error", reject)
        .end();
    });
    await reached.promise;
    const closed = service.close(10_000);
    release("late 1\n");
    expect(await scrape).toBe(200);
    await closed;
    await broken;
    await expect(fetch(`http://127.0.0.1:${service.probePort ?? 0}/healthz`)).rejects.toThrow();
  });

  test("breaks what has not finished when the grace is over", async () => {
    const reached = Promise.withResolvers<undefined>();
    const service = await start({
      metrics: {
        contentType: "text/plain",
        render: () => {
          reached.resolve(undefined);
          return new Promise<string>(() => undefined);
        },
      },
    });
    const hung = expect(fetch(`http://127.0.0.1:${service.probePort ?? 0}/metrics`)).rejects.toThrow();
    await reached.promise;
    await service.close(20);
    await hung;
  });
});
