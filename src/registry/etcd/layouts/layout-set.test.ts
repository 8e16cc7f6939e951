import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";

import type { LayoutName } from "./layout.ts";
import { idOf, LayoutSet } from "./layout-set.ts";

const ALL: readonly LayoutName[] = [
  "GoMicro",
  "GoZero",
  "Kratos",
  "DubboInterface",
  "DubboApplication",
  "EtcdNaming",
  "Kitex",
  "GoFrame",
];
const everything = new LayoutSet(ALL.map((layout) => ({ layout, prefix: "p" })));

describe("LayoutSet", () => {
  it("reads each prefix with its slash, and none inside another", () => {
    const set = new LayoutSet([
      { layout: "Kratos" },
      { layout: "EtcdNaming", prefix: "/microservices/legacy" },
      { layout: "GoZero", prefix: "user.rpc" },
      { layout: "GoZero", prefix: "user.rpc2/" },
    ]);
    expect(set.prefixes).toEqual(["/microservices/", "user.rpc/", "user.rpc2/"]);
  });

  it("asks the layout with the longest prefix first", () => {
    const set = new LayoutSet([{ layout: "Kratos" }, { layout: "EtcdNaming", prefix: "/microservices/legacy" }]);
    const reading = set.read({
      key: Buffer.from("/microservices/legacy/e1"),
      value: Buffer.from(`{"Addr":"10.0.0.1:80"}`),
      lease: "0",
    });
    expect(reading).toMatchObject({ layout: { name: "EtcdNaming" } });
  });

  it("refuses a layout without prefix where there is no default", () => {
    expect(() => new LayoutSet([{ layout: "GoZero" }])).toThrow(RangeError);
  });

  it("does not parse a value of 1 MiB", () => {
    const parse = vi.spyOn(JSON, "parse");
    try {
      const value = Buffer.alloc(1024 * 1024, "[");
      expect(everything.read({ key: Buffer.from("p/a/b"), value, lease: "0" })).toEqual({
        id: "p/a/b",
        ignored: "TooLarge",
      });
      expect(parse).not.toHaveBeenCalled();
    } finally {
      parse.mockRestore();
    }
  });

  it("survives brackets that nest 200,000 deep", () => {
    const value = Buffer.alloc(200_000, "[");
    expect(everything.read({ key: Buffer.from("p/a/b"), value, lease: "0" })).toHaveProperty("ignored");
  });

  it("keeps keys that are no text apart from all that are", () => {
    const bytes = Buffer.from([0x70, 0x2f, 0xff]);
    const reading = everything.read({ key: bytes, value: Buffer.alloc(0), lease: "0" });
    expect(reading).toMatchObject({ ignored: "InvalidKey" });
    expect(reading.id).not.toBe(idOf(Buffer.from("p/\u00ff")));
  });

  it("ignores a key longer than any registration", () => {
    const key = Buffer.from(`p/${"a".repeat(17_000)}`);
    expect(everything.read({ key, value: Buffer.alloc(0), lease: "0" })).toMatchObject({ ignored: "InvalidKey" });
  });

  it("leaves out metadata that is too long, whole", () => {
    const set = new LayoutSet([{ layout: "Kitex" }]);
    const tags = { short: "a", long: "b".repeat(600) };
    const value = Buffer.from(JSON.stringify({ network: "tcp", address: "10.0.0.1:80", weight: 1, tags }));
    const reading = set.read({ key: Buffer.from("kitex/registry-etcd/s/10.0.0.1:80"), value, lease: "1" });
    expect(reading).toMatchObject({ decoded: { metadata: { short: "a" } } });
    expect(reading).not.toHaveProperty("decoded.metadata.long");
  });

  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));
  const path = fc
    .array(fc.oneof(fc.constantFrom("providers", "a", "10.0.0.1:80", "", "%"), fc.string()), { maxLength: 7 })
    .map((segments) => Buffer.from(`p/${segments.join("/")}`));
  const json = fc.oneof(
    fc.json(),
    fc
      .record(
        {
          name: fc.constantFrom("a", "b"),
          id: fc.constantFrom("a", "b", 1),
          nodes: fc.array(fc.record({ id: fc.constantFrom("a", "b"), address: fc.string() })),
          endpoints: fc.oneof(fc.array(fc.oneof(fc.webUrl(), fc.string())), fc.constant(null)),
          metadata: fc.oneof(fc.dictionary(fc.string(), fc.string()), fc.jsonValue()),
          Addr: fc.oneof(fc.string(), fc.ipV4()),
          Host: fc.oneof(fc.string(), fc.ipV6()),
          Port: fc.oneof(fc.integer(), fc.string()),
          Metadata: fc.jsonValue(),
          address: fc.string(),
          network: fc.constantFrom("tcp", "unix"),
          tags: fc.jsonValue(),
        },
        { requiredKeys: [] },
      )
      .map((value) => JSON.stringify(value)),
  );
  const values = fc.oneof(
    bytes,
    json.map((text) => Buffer.from(text)),
    fc.string().map((text) => Buffer.from(text)),
  );

  it("answers for any bytes, with endpoints and a service whenever it is an instance", () => {
    fc.assert(
      fc.property(fc.oneof(bytes, path), values, fc.constantFrom("0", "7"), (key, value, lease) => {
        const reading = everything.read({ key, value, lease });
        expect(reading.id).toBe(idOf(key));
        if ("ignored" in reading) return;
        expect(reading.id.startsWith("p/")).toBe(true);
        expect(reading.decoded.endpoints.length).toBeGreaterThan(0);
        expect(reading.decoded.service).not.toBe("");
        for (const { port } of reading.decoded.endpoints) expect(port).toBeLessThan(65_536);
      }),
      { numRuns: 5_000 },
    );
  });
});
