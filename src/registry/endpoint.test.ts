import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { parseEndpoint } from "./endpoint.ts";

describe("parseEndpoint", () => {
  const accepted: Record<string, [text: string, host: string, isIp: boolean, port: number]> = {
    "reads an IPv4 address with a port": ["10.42.3.17:8080", "10.42.3.17", true, 8080],
    "reads a bare IPv4 address": ["10.42.3.17", "10.42.3.17", true, 0],
    "reads an IPv6 address in brackets with a port": ["[FD00:0::1]:8080", "fd00::1", true, 8080],
    "reads an IPv6 address in brackets without a port": ["[fd00::1]", "fd00::1", true, 0],
    "reads a bare IPv6 address": ["fd00::1", "fd00::1", true, 0],
    "writes an IPv4-mapped address as IPv4": ["[::ffff:10.1.2.3]:80", "10.1.2.3", true, 80],
    "reads a host name in lower case": ["Web-0.Web.shop:80", "web-0.web.shop", false, 80],
    "drops the trailing dot of a name": ["web.shop.svc.cluster.local.:80", "web.shop.svc.cluster.local", false, 80],
    "reads a bare name": ["web", "web", false, 0],
    "allows an underscore": ["my_host:80", "my_host", false, 80],
    "reads the largest port": ["10.0.0.1:65535", "10.0.0.1", true, 65_535],
  };
  for (const [sentence, [text, host, isIp, port]] of Object.entries(accepted)) {
    it(sentence, () => {
      expect(parseEndpoint(text)).toEqual({ host, isIp, port });
    });
  }

  const refused: Record<string, string> = {
    nothing: "",
    "a port alone": ":8080",
    "port 0": "10.0.0.1:0",
    "a port above 65535": "10.0.0.1:65536",
    "a port with a leading zero": "10.0.0.1:080",
    "a port with a sign": "10.0.0.1:+80",
    "an empty port": "10.0.0.1:",
    "an octet above 255": "10.0.0.256:80",
    "an address that is cut off": "10.0.0:80",
    "IPv4 in brackets": "[10.0.0.1]:80",
    "IPv6 with a zone": "[fe80::1%eth0]:80",
    "a name with a space": "my host:80",
    "a URL": "http://10.0.0.1:80",
    "a path behind the port": "10.0.0.1:80/x",
    "a label that begins with a dash": "-web:80",
    "an empty label": "web..shop:80",
    "a label of 64 characters": `${"a".repeat(64)}:80`,
  };
  for (const [sentence, text] of Object.entries(refused)) {
    it(`refuses ${sentence}`, () => {
      expect(parseEndpoint(text)).toBeUndefined();
    });
  }

  it("reads its own writing back, and never throws", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: "binary" }), fc.ipV4(), fc.ipV6(), fc.domain()),
        fc.nat(70_000),
        (host, port) => {
          for (const text of [host, `${host}:${String(port)}`, `[${host}]:${String(port)}`]) {
            const endpoint = parseEndpoint(text);
            if (endpoint === undefined) continue;
            const name = endpoint.host.includes(":") ? `[${endpoint.host}]` : endpoint.host;
            expect(parseEndpoint(endpoint.port === 0 ? name : `${name}:${String(endpoint.port)}`)).toEqual(endpoint);
          }
        },
      ),
    );
  });
});
