import { describe, expect, it } from "vitest";

import { HygeiaError } from "../errors.ts";
import { applyPatch } from "./json-patch.ts";

const add = (path: string, value: unknown) => [{ op: "add", path, value }] as const;

describe("an addition", () => {
  const document = { a: { "b/c~d": 1 }, list: ["x", "y"] };

  it.each([
    ["sets a member", "/a/e", 2, { a: { "b/c~d": 1, e: 2 }, list: ["x", "y"] }],
    ["replaces a member", "/a/b~1c~0d", 2, { a: { "b/c~d": 2 }, list: ["x", "y"] }],
    ["inserts into a list", "/list/1", "z", { a: { "b/c~d": 1 }, list: ["x", "z", "y"] }],
    ["appends to a list", "/list/-", "z", { a: { "b/c~d": 1 }, list: ["x", "y", "z"] }],
    ["appends at the end of a list", "/list/2", "z", { a: { "b/c~d": 1 }, list: ["x", "y", "z"] }],
  ])("%s", (_, path, value, expected) => {
    const before = structuredClone(document);
    expect(applyPatch(document, add(path, value))).toEqual(expected);
    expect(document).toEqual(before);
  });

  it.each([
    ["without a parent", "/b/c"],
    ["into a text", "/list/0/c"],
    ["past the end of a list", "/list/3"],
    ["at no index", "/list/x"],
    ["of the whole", ""],
  ])("%s is refused", (_, path) => {
    expect(() => applyPatch(document, add(path, 1))).toThrow(HygeiaError);
  });
});
