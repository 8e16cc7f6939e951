import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { JsonLines } from "./transport-lines.ts";

describe("JsonLines", () => {
  test("gives the same lines however the bytes are cut", () => {
    fc.assert(
      fc.property(fc.array(fc.json()), fc.array(fc.nat(200)), (texts, cuts) => {
        const values = texts.map((text) => JSON.parse(text) as unknown);
        // Umlauts and emoji, so that cuts fall inside characters.
        const written = [{ text: "ä€😀" }, ...values];
        const bytes = Buffer.from(written.map((value) => `${JSON.stringify(value)}\n`).join(""), "utf8");
        const lines = new JsonLines("a test", 1_000_000);
        const read: unknown[] = [];
        let at = 0;
        for (const length of cuts) {
          read.push(...lines.push(bytes.subarray(at, at + length)));
          at += length;
        }
        read.push(...lines.push(bytes.subarray(at)));
        expect(JSON.stringify(read)).toBe(JSON.stringify(written));
        expect(lines.pendingBytes).toBe(0);
      }),
    );
  });

  test("leaves out empty lines", () => {
    expect(new JsonLines("a test", 100).push(Buffer.from("\n\n1\n\n2\n"))).toEqual([1, 2]);
  });

  test("tells of a line that has not ended", () => {
    const lines = new JsonLines("a test", 100);
    lines.push(Buffer.from("1\n[2"));
    expect(lines.pendingBytes).toBe(2);
  });

  test.each([
    ["in one chunk", ["12345678901\n"]],
    ["in many chunks, before its end is seen", ["123456", "78901"]],
  ])("refuses a line that is too long, %s", (_name, chunks) => {
    const lines = new JsonLines("a test", 10);
    expect(() => {
      for (const chunk of chunks) lines.push(Buffer.from(chunk));
    }).toThrow(expect.objectContaining({ code: "BadResponse" }));
  });

  test("refuses what is not JSON without quoting it", () => {
    const push = (): unknown => new JsonLines("a test", 100).push(Buffer.from("secret-value\n"));
    expect(push).toThrow(expect.objectContaining({ code: "BadResponse" }));
    expect(push).not.toThrow(/secret/);
  });
});
