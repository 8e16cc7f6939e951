import { describe, expect, it } from "vitest";

import { MultiIndex } from "./multi-index.ts";

describe("an index of many to many", () => {
  const [a, b, c] = [{ name: "a" }, { name: "b" }, { name: "c" }];

  it("keeps each value of a key once, in the order they came", () => {
    const index = new MultiIndex<object>();
    for (const value of [b, a, b, c, c]) index.add("key", value);
    expect(index.get("key")).toEqual([b, a, c]);
  });

  it("loses what is deleted, and the key with its last value", () => {
    const index = new MultiIndex<object>();
    for (const value of [a, b, c]) index.add("key", value);
    for (const [value, left] of [
      [b, [a, c]],
      [b, [a, c]],
      [a, [c]],
      [a, [c]],
      [c, []],
    ] as const) {
      index.delete("key", value);
      expect(index.get("key")).toEqual(left);
      expect(index.has("key")).toBe(left.length > 0);
    }
  });

  it("names the keys that have a value", () => {
    const index = new MultiIndex<string>();
    index.add("left", "a");
    index.add("kept", "a");
    index.add("kept", "b");
    index.delete("left", "a");
    index.delete("kept", "a");
    expect([...index.keys()]).toEqual(["kept"]);
  });

  it("gives a copy", () => {
    const index = new MultiIndex<object>();
    index.add("key", a);
    index.add("key", b);
    index.get("key").pop();
    expect(index.get("key")).toEqual([a, b]);
  });
});
