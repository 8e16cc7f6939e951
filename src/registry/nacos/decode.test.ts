import { describe, expect, it } from "vitest";

import { decode, removalOf } from "./decode.ts";
import type { NacosInstance } from "./model.ts";
import { kindOf, writersOf } from "./writers.ts";

const instance: NacosInstance = {
  group: "DEFAULT_GROUP",
  service: "web",
  cluster: "DEFAULT",
  ip: "10.1.0.1",
  port: 80,
  weight: 1,
  healthy: true,
  enabled: true,
  ephemeral: true,
  metadata: { kind: "grpc" },
  beatTimeout: 15_000,
  deleteTimeout: 30_000,
};

describe("an instance", () => {
  it("is at its address, under its service's name", () => {
    expect(decode(instance)).toEqual({
      service: "web",
      instance: "10.1.0.1#80#DEFAULT#DEFAULT_GROUP@@web",
      endpoint: { host: "10.1.0.1", isIp: true, port: 80 },
      metadata: { kind: "grpc" },
    });
  });

  it("of another group has the group before its service's name", () => {
    expect(decode({ ...instance, group: "shop" })).toMatchObject({ service: "shop@@web" });
  });

  it("may be at a host name, and without a port", () => {
    const { endpoint } = decode({ ...instance, ip: "Web.Shop.svc", port: 0 }) as { endpoint: unknown };
    expect(endpoint).toEqual({ host: "web.shop.svc", isIp: false, port: 0 });
  });

  it.each([
    ["a caller that Dubbo lists", { service: "consumers:org.shop.Api::" }, "Consumer"],
    ["something without a valid address", { ip: "10.1.0" }, "InvalidAddress"],
    ["something without a valid port", { port: 70_000 }, "InvalidAddress"],
  ])("is not %s", (_, other, reason) => {
    expect(decode({ ...instance, ...other })).toBe(reason);
  });

  it("leaves out metadata too long to be compared", () => {
    const { metadata } = decode({ ...instance, metadata: { a: "x".repeat(513), b: "y" } }) as { metadata: unknown };
    expect(metadata).toEqual({ b: "y" });
  });
});

describe("how an instance was registered", () => {
  const grpc = "1795698626258_127.0.0.1_49120";
  const kinds: Record<string, readonly [readonly string[], string, string]> = {
    "over HTTP": [["10.1.0.1:80#true"], "HTTP", "Yes"],
    persistently: [["10.1.0.1:80#false"], "Persistent", "Yes"],
    "over gRPC": [[grpc], "GRPC", "No"],
    "over gRPC and HTTP: what is on the connection stays": [["10.1.0.1:80#true", grpc], "GRPC", "No"],
  };
  it.each(Object.entries(kinds))("%s", (_, [ids, kind, effective]) => {
    expect(kindOf({ ids, stamp: undefined })).toBe(kind);
    expect(removalOf(kindOf({ ids, stamp: undefined })).effective).toBe(effective);
  });

  it("is told by those at the very address and cluster", () => {
    const at = { ip: "10.1.0.1", port: 80, cluster: "DEFAULT" };
    const publishers = [
      { clientId: "b", ...at },
      { clientId: "a", ...at, cluster: undefined },
      { clientId: "c", ...at, port: 81 },
      { clientId: "d", ...at, cluster: "c2" },
      { clientId: "e", ...at, ip: "10.1.0.2" },
    ];
    expect(writersOf(instance, publishers)).toEqual(["a", "b"]);
  });
});
