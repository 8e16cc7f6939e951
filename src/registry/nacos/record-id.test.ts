import { describe, expect, it } from "vitest";

import { formatId, parseId } from "./record-id.ts";

const plain = {
  namespace: "public",
  group: "DEFAULT_GROUP",
  service: "web",
  cluster: "DEFAULT",
  ip: "10.1.0.1",
  port: 80,
};

describe("the id of a record", () => {
  const refs = {
    "of an instance like all others": plain,
    "with slashes and percent signs in its names": { ...plain, service: "a/b%2Fc", group: "g%25/" },
    "with an address of IPv6": { ...plain, ip: "fd00::1" },
    "without a port": { ...plain, port: 0 },
  };
  it.each(Object.entries(refs))("%s leads back to it", (_, ref) => {
    expect(parseId(formatId(ref))).toEqual(ref);
  });

  it("differs wherever one part does", () => {
    const others = [
      plain,
      { ...plain, namespace: "other" },
      { ...plain, group: "other" },
      { ...plain, service: "DEFAULT_GROUP/web" },
      { ...plain, cluster: "c2" },
      { ...plain, ip: "10.1.0.2" },
      { ...plain, port: 81 },
    ];
    expect(new Set(others.map(formatId)).size).toBe(others.length);
  });

  it.each(["", "a/b", "public/g/s/c/10.1.0.1/http", "public/g//c/10.1.0.1/80", "public/g/s/c/10.1.0.1/80/x"])(
    "is not %j",
    (text) => {
      expect(() => parseId(text)).toThrow(TypeError);
    },
  );
});
