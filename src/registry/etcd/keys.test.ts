import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { keyAfter, OwnKeys, rangeEnd } from "./keys.ts";

const bytes = fc.uint8Array({ minLength: 1, maxLength: 4 }).map((array) => Buffer.from(array));

describe("rangeEnd", () => {
  it("holds exactly the keys with the prefix", () => {
    fc.assert(
      fc.property(bytes, bytes, (prefix, key) => {
        const end = rangeEnd(prefix);
        const isToTheEnd = end.length === 1 && end[0] === 0;
        const isInside = key.compare(prefix) >= 0 && (isToTheEnd || key.compare(end) < 0);
        expect(isInside).toBe(key.subarray(0, prefix.length).equals(prefix));
      }),
    );
  });

  it("raises the byte before those that can not be raised", () => {
    expect([...rangeEnd(Buffer.from([1, 0xff, 0xff]))]).toEqual([2]);
  });
});

describe("keyAfter", () => {
  it("leaves no key in between", () => {
    fc.assert(
      fc.property(bytes, bytes, (key, other) => {
        expect(other.compare(key) > 0).toBe(other.compare(keyAfter(key)) >= 0);
      }),
    );
  });
});

describe("OwnKeys", () => {
  const keys = new OwnKeys("/hygeia");

  it("gives each holder a canary of its own", () => {
    expect(keys.canary("uid", "pod-a").toString()).toBe("/hygeia/uid/canary/pod-a");
  });

  it("gives each evicted version an undo record of its own, without slashes of the key", () => {
    const first = keys.undo("uid", "/microservices/a/b", 7);
    expect(first).toMatch(/^\/hygeia\/uid\/undo\/[0-9a-f]{64}\/7$/);
    expect(keys.undo("uid", "/microservices/a/b", 8)).not.toBe(first);
    expect(keys.undo("uid", "/microservices/a/c", 7)).not.toBe(first);
  });
});
