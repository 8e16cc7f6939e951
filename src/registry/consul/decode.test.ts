import { describe, expect, it } from "vitest";

import { catalogEntry, type EntrySpec } from "../../../test/support/consul-entries.ts";
import { decode } from "./decode.ts";

const addresses: Record<string, readonly [EntrySpec, readonly string[]]> = {
  "its own": [{ service: { Address: "10.0.0.1", Port: 80 } }, ["10.0.0.1:80"]],
  "its node's when it has none": [{ service: { Address: "" } }, ["192.0.2.1:80"]],
  "without a port when it names none": [{ service: { Port: 0 } }, ["10.0.0.1:0"]],
  "a host name": [{ service: { Address: "web-0.web.shop.svc" } }, ["web-0.web.shop.svc:80"]],
  "an IPv6 address in one spelling": [{ service: { Address: "fd00:0:0::7" } }, ["fd00::7:80"]],
  "and kratos' further endpoints, each once": [
    {
      service: {
        Address: "10.0.0.1",
        Port: 9000,
        TaggedAddresses: {
          grpc: { Address: "grpc://10.0.0.1:9000", Port: 9000 },
          http: { Address: "http://10.0.0.1:8000", Port: 8000 },
          lan_ipv4: { Address: "10.0.0.1", Port: 9000 },
          virtual: { Address: "240.0.0.1", Port: 9000 },
        },
      },
    },
    ["10.0.0.1:9000", "10.0.0.1:8000"],
  ],
};

describe("an entry's address is", () => {
  it.each(Object.entries(addresses))("%s", (_, [spec, expected]) => {
    const decoded = decode(catalogEntry(spec));
    if (typeof decoded === "string") throw new Error(decoded);
    expect(decoded.endpoints.map(({ host, port }) => `${host}:${String(port)}`)).toEqual(expected);
  });
});

const ignored: Record<string, readonly [EntrySpec, string]> = {
  "Consul's own": [{ service: { ID: "consul", Service: "consul" } }, "ConsulItself"],
  "imported from a peer": [{ service: { PeerName: "other" } }, "Imported"],
  "on an imported node": [{ node: { PeerName: "other" } }, "Imported"],
  "at no address": [{ service: { Address: "" }, node: { Address: "" } }, "InvalidAddress"],
  "at a broken address": [{ service: { Address: "10.0.0.300" } }, "InvalidAddress"],
};

describe("an entry is no instance when it is", () => {
  it.each(Object.entries(ignored))("%s", (_, [spec, reason]) => {
    expect(decode(catalogEntry(spec))).toBe(reason);
  });
});

it("keeps what matches metadata, and leaves long values out whole", () => {
  const decoded = decode(catalogEntry({ service: { Meta: { cluster: "prod-1", long: "x".repeat(513) } } }));
  expect(decoded).toMatchObject({ service: "web", instance: "web-1", metadata: { cluster: "prod-1" } });
  expect(decoded).not.toHaveProperty("metadata.long");
});
