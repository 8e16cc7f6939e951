import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { compareRevisions, requireRevision } from "./resource-version.ts";

describe("compareRevisions", () => {
  test("orders as numbers do, beyond 2^53 too", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 80n }), fc.bigInt({ min: 0n, max: 2n ** 80n }), (a, b) => {
        expect(Math.sign(compareRevisions(String(a), String(b)))).toBe(a < b ? -1 : a > b ? 1 : 0);
      }),
    );
  });
});

describe("requireRevision", () => {
  test.each(["0", "1", "42", "18446744073709551616"])("takes %s", (text) => {
    expect(requireRevision(text, "a list")).toBe(text);
  });

  test.each(["", "007", "-1", "1.5", "abc", " 1", 7, null, undefined])("refuses %j", (value) => {
    expect(() => requireRevision(value, "a list")).toThrow(expect.objectContaining({ code: "OpaqueVersion" }));
  });
});
