import { describe, expect, test } from "vitest";

import { readWatchEvent } from "./watch.ts";

const pod = { metadata: { uid: "u1", name: "a", namespace: "n", resourceVersion: "7" }, spec: { nodeName: "x" } };

describe("readWatchEvent", () => {
  test.each(["ADDED", "MODIFIED", "DELETED"])("reads %s with what the object is known by", (type) => {
    expect(readWatchEvent({ type, object: pod }, "a watch")).toEqual({
      type,
      object: { uid: "u1", name: "a", namespace: "n", resourceVersion: "7", raw: pod },
    });
  });

  test("gives a cluster-scoped object the empty namespace", () => {
    const object = { metadata: { uid: "u1", name: "a", resourceVersion: "7" } };
    expect(readWatchEvent({ type: "ADDED", object }, "a watch")).toMatchObject({ object: { namespace: "" } });
  });

  test("reads a bookmark", () => {
    expect(readWatchEvent({ type: "BOOKMARK", object: { metadata: { resourceVersion: "9" } } }, "a watch")).toEqual({
      type: "BOOKMARK",
      resourceVersion: "9",
    });
  });

  test.each([
    ["an expired revision", { code: 410, reason: "Expired", message: "too old" }, { code: "Expired", isExpired: true }],
    ["an expired revision that only its reason tells", { code: 500, reason: "Gone" }, { isExpired: true }],
    [
      "a time to wait",
      { code: 429, details: { retryAfterSeconds: 3 } },
      { retryAfterMs: 3000, isTooManyRequests: true },
    ],
    ["a status without any field", null, { status: 0 }],
  ])("throws for an ERROR event with %s", (_name, object, expected) => {
    expect(() => readWatchEvent({ type: "ERROR", object }, "a watch")).toThrow(expect.objectContaining(expected));
  });

  test.each([
    ["an unknown type", { type: "RENAMED", object: pod }, "BadResponse"],
    ["no object", { type: "ADDED" }, "BadResponse"],
    ["no uid", { type: "ADDED", object: { metadata: { name: "a", resourceVersion: "1" } } }, "BadResponse"],
    ["a number", 7, "BadResponse"],
    ["null", null, "BadResponse"],
    [
      "a revision that is not a number",
      { type: "ADDED", object: { metadata: { ...pod.metadata, resourceVersion: "x" } } },
      "OpaqueVersion",
    ],
    ["a bookmark without revision", { type: "BOOKMARK", object: {} }, "OpaqueVersion"],
  ])("refuses %s", (_name, line, code) => {
    expect(() => readWatchEvent(line, "a watch")).toThrow(expect.objectContaining({ code }));
  });
});
