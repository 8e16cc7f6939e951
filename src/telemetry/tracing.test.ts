import { describe, expect, test } from "vitest";

import { traceIds } from "./tracing.ts";

describe("trace ids", () => {
  test("are 32 hexadecimal digits and differ from call to call", () => {
    const next = traceIds();
    const ids = Array.from({ length: 1_000 }, () => next());
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("are never the invalid id of zeros only", () => {
    const draws = [Buffer.alloc(16), Buffer.alloc(16), Buffer.from("000102030405060708090a0b0c0d0e0f", "hex")];
    expect(traceIds(() => draws.shift() ?? Buffer.alloc(16, 1))()).toBe("000102030405060708090a0b0c0d0e0f");
  });
});
