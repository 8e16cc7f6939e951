import { describe, expect, it } from "vitest";

import { InternPool } from "./intern.ts";

describe("an intern pool", () => {
  it("gives the same value for the same key", () => {
    const pool = new InternPool<object>();
    const first = pool.get("a", () => ({}));
    expect(pool.get("a", () => ({}))).toBe(first);
    expect(pool.get("b", () => ({}))).not.toBe(first);
  });

  it("forgets what nobody asked for during a generation, and keeps what is in use", () => {
    const pool = new InternPool<object>(2);
    const used = pool.get("used", () => ({}));
    const unused = pool.get("unused", () => ({}));
    for (let i = 0; i < 10; i++) {
      pool.get(`other ${i}`, () => ({}));
      expect(pool.get("used", () => ({}))).toBe(used);
    }
    expect(pool.get("unused", () => ({}))).not.toBe(unused);
  });
});
