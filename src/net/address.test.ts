import { SocketAddress } from "node:net";

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { canonicalIp, parseCidr } from "./address.ts";

describe("canonicalIp", () => {
  const cases: Record<string, [text: string, expected: string | undefined]> = {
    "keeps IPv4": ["10.42.3.17", "10.42.3.17"],
    "lowers and shortens IPv6": ["2001:0DB8:0:0:0:0:0:0001", "2001:db8::1"],
    "shortens the longest run of zeros": ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    "shortens the first of two equal runs": ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    "does not shorten a single zero group": ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    "writes an IPv4-mapped address as IPv4": ["::ffff:10.1.2.3", "10.1.2.3"],
    "writes a mapped address in hexadecimal as IPv4": ["0:0:0:0:0:FFFF:0a01:0203", "10.1.2.3"],
    "keeps an IPv4-compatible address IPv6": ["::10.1.2.3", "::a01:203"],
    "knows the unspecified address": ["0:0:0:0:0:0:0:0", "::"],
    "keeps zeros at the end": ["fe80:0:0:0:0:0:0:0", "fe80::"],
    "refuses a zone": ["fe80::1%eth0", undefined],
    "refuses brackets": ["[::1]", undefined],
    "refuses a port": ["10.0.0.1:80", undefined],
    "refuses leading zeros, which some readers take for octal": ["010.0.0.1", undefined],
    "refuses three octets": ["10.0.1", undefined],
    "refuses an octet above 255": ["10.0.0.256", undefined],
    "refuses a space": [" 10.0.0.1", undefined],
    "refuses a host name": ["localhost", undefined],
    "refuses nothing at all": ["", undefined],
    "refuses two runs": ["1::2::3", undefined],
  };
  for (const [sentence, [text, expected]] of Object.entries(cases)) {
    it(sentence, () => {
      expect(canonicalIp(text)).toBe(expected);
    });
  }

  it("gives one spelling to every spelling of one address, and the spelling names that address", () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        const canonical = canonicalIp(text);
        expect(canonical).toBeDefined();
        const read = (address: string): SocketAddress =>
          new SocketAddress({ address, family: address.includes(":") ? "ipv6" : "ipv4" });
        // Node's own parser is the second opinion; it writes mapped addresses with the prefix.
        expect(read(text).address.replace(/^::ffff:(?=\d+\.)/, "")).toBe(
          canonical?.includes(":") === true ? read(canonical).address : canonical,
        );
        expect(canonicalIp(canonical ?? "")).toBe(canonical);
      }),
    );
  });

  it("never throws", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        canonicalIp(text);
        parseCidr(text);
      }),
    );
  });
});

describe("parseCidr", () => {
  const contains: Record<string, [cidr: string, address: string, inside: boolean]> = {
    "holds its first address": ["10.42.0.0/16", "10.42.0.0", true],
    "holds its last address": ["10.42.0.0/16", "10.42.255.255", true],
    "does not hold the address after it": ["10.42.0.0/16", "10.43.0.0", false],
    "cuts inside a byte": ["10.42.3.128/25", "10.42.3.127", false],
    "clears host bits": ["10.42.3.17/16", "10.42.200.1", true],
    "of length 0 holds every IPv4 address": ["0.0.0.0/0", "255.1.2.3", true],
    "of length 0 holds no IPv6 address": ["0.0.0.0/0", "::1", false],
    "of IPv6 holds no IPv4 address": ["::/0", "10.0.0.1", false],
    "of length 32 holds itself only": ["10.0.0.1/32", "10.0.0.2", false],
    "holds IPv6 in any spelling": ["fd00:10:244::/56", "FD00:0010:0244:00ff::9", true],
    "cuts IPv6 inside a group": ["fd00:10:244::/56", "fd00:10:244:100::9", false],
    "holds an IPv4-mapped spelling": ["10.42.0.0/16", "::ffff:10.42.0.9", true],
    "written as a mapped network is the IPv4 one": ["::ffff:10.42.0.0/112", "10.42.9.9", true],
    "does not hold what is no address": ["10.42.0.0/16", "10.42.0", false],
  };
  for (const [sentence, [cidr, address, inside]] of Object.entries(contains)) {
    it(sentence, () => {
      expect(parseCidr(cidr)?.contains(address)).toBe(inside);
    });
  }

  it("has one canonical text", () => {
    expect(parseCidr("10.42.3.17/16")?.text).toBe("10.42.0.0/16");
    expect(parseCidr("FD00:10:244:0:0::1/64")?.text).toBe("fd00:10:244::/64");
    expect(parseCidr("::ffff:10.42.0.0/112")?.text).toBe("10.42.0.0/16");
  });

  for (const text of [
    "10.0.0.0",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/08",
    "10.0.0.0/8 ",
    "::/129",
    "/8",
    "10.0.0.0/",
    "a/8",
    "::ffff:10.0.0.0/64",
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      expect(parseCidr(text)).toBeUndefined();
    });
  }
});
