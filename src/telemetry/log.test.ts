import { describe, expect, test } from "vitest";

import { createLogger } from "./log.ts";
import type { Logger } from "./log.ts";

/** A logger and the lines it wrote, as text. */
function capture(): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  return { log: createLogger({ destination: { write: (line) => void lines.push(line) } }), lines };
}

function only(lines: readonly string[]): Record<string, unknown> {
  expect(lines).toHaveLength(1);
  return JSON.parse(lines[0] ?? "") as Record<string, unknown>;
}

describe("a line of the log", () => {
  test("is one JSON object with level, time and message as text", () => {
    const { log, lines } = capture();
    log.warn({ registry: "etcd-a" }, "it is slow");
    expect(only(lines)).toEqual({
      level: "warn",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string,
      registry: "etcd-a",
      msg: "it is slow",
    });
    expect(lines[0]).toMatch(/\n$/);
  });

  test("below the level is not written", () => {
    const { log, lines } = capture();
    log.debug("details");
    expect(lines).toEqual([]);
  });

  test("carries the fields of every child above it", () => {
    const { log, lines } = capture();
    log.child({ controller: "instances" }).child({ traceId: "ab" }).info({ n: 1 }, "judged");
    expect(only(lines)).toMatchObject({ controller: "instances", traceId: "ab", n: 1, msg: "judged" });
  });

  test("keeps type, code, stack and causes of an error, and nothing else that hangs on it", () => {
    const { log, lines } = capture();
    const cause = Object.assign(new Error("socket closed"), { code: "ECONNRESET" });
    const error = Object.assign(new TypeError("no answer", { cause }), {
      request: { headers: { "x-anything": "hunter2" } },
    });
    log.error({ err: error }, "failed");
    expect(lines.join()).not.toContain("hunter2");
    expect(only(lines)["err"]).toMatchObject({
      type: "TypeError",
      message: "no answer",
      stack: expect.stringContaining("log.test.ts") as string,
      cause: { type: "Error", message: "socket closed", code: "ECONNRESET" },
    });
  });
});

test("an object that contains itself is written up to some depth", () => {
  const { log, lines } = capture();
  const node: Record<string, unknown> = { name: "a" };
  node["self"] = node;
  log.info({ node }, "x");
  expect(only(lines)).toMatchObject({ node: { name: "a", self: { name: "a" } } });
});

describe("secrets", () => {
  const underName: Record<string, (log: Logger) => void> = {
    "as a field": (log) => log.info({ password: "hunter2" }, "x"),
    "deep inside": (log) => log.info({ a: { b: [{ c: { clientSecret: "hunter2" } }] } }, "x"),
    "in a header of any case": (log) => log.info({ headers: { "X-Consul-Token": ["hunter2"] } }, "x"),
    "in a map": (log) => log.info({ env: new Map([["API_KEY", "hunter2"]]) }, "x"),
    "in a child's fields": (log) => log.child({ credentials: { user: "u", pass: "hunter2" } }).info("x"),
    "in a grandchild's fields": (log) => log.child({ a: 1 }).child({ authorization: "hunter2" }).info("x"),
    "in bytes": (log) => log.info({ privateKey: Buffer.from("hunter2") }, "x"),
    "in an instance of a class": (log) =>
      log.info(
        {
          client: new (class Client {
            readonly it = "hunter2";
          })(),
        },
        "x",
      ),
    "deeper than anybody looks": (log) => {
      let value: unknown = { token: "hunter2" };
      for (let i = 0; i < 20; i++) value = { value };
      log.info({ value }, "x");
    },
    "in an error's cause": (log) => {
      const cause = Object.assign(new Error("x"), { config: { auth: "hunter2" } });
      log.error({ err: new Error("x", { cause }) }, "x");
    },
  };
  for (const [where, write] of Object.entries(underName)) {
    test(`are not written ${where}`, () => {
      const { log, lines } = capture();
      write(log);
      expect(lines).toHaveLength(1);
      expect(lines.join()).not.toContain("hunter2");
      expect(() => JSON.parse(lines[0] ?? "") as unknown).not.toThrow();
    });
  }

  const inText: Record<string, string> = {
    "a bearer token": "401 for Authorization: Bearer hunter2hunter2",
    "basic credentials": 'header "Basic aHVudGVyMmh1bnRlcjI="',
    "a URL's user part": "cannot reach https://root:hunter2@10.0.0.1:2379/health",
    "a query parameter": "GET /nacos/v1/ns/instance?password=hunter2&x=1 failed",
    "a JSON web token": "refused eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.c2lnbmF0dXJl",
  };
  for (const [what, text] of Object.entries(inText)) {
    test(`that are ${what} in a message are not written`, () => {
      const { log, lines } = capture();
      log.warn({ err: new Error(text) }, text);
      expect(lines.join()).not.toMatch(/hunter2|aHVudGVy|odW50ZXIy/);
      expect(only(lines)["level"]).toBe("warn");
    });
  }

  test("are told from what only looks like one", () => {
    const { log, lines } = capture();
    log.info(
      { secretName: "etcd-client", hasToken: true, tokens: undefined, key: "/services/a", at: new Date(0) },
      "x",
    );
    expect(only(lines)).toMatchObject({
      secretName: "etcd-client",
      hasToken: true,
      key: "/services/a",
      at: "1970-01-01T00:00:00.000Z",
    });
  });
});
