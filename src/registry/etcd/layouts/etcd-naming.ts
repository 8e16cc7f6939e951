import { parseEndpoint } from "../../endpoint.ts";
import { type Decoded, type Entry, type IgnoredReason, isObject, jsonOf, type Layout, segmentsOf } from "./layout.ts";
import { looseMap } from "./metadata.ts";

const FIELDS = new Set(["Op", "Addr", "Metadata"]);

/** The value of `Op` that takes an address away; 0, or none, adds it. */
const OP_DELETE = 1;

/**
 * etcd's own gRPC naming: `<target>/<anything>`. The lease is optional: keys without one are the classic zombies. The
 * resolver reads by prefix without the slash, so that `user` also sees `user2/...`; we do not.
 */
export const etcdNaming: Layout = {
  name: "EtcdNaming",
  defaultPrefix: undefined,
  // The library's examples take leases of 10 s to 60 s; the longer one errs on the side of waiting.
  ttlMs: 60_000,
  decode(entry: Entry): Decoded | IgnoredReason {
    const instance = segmentsOf(entry.rest)?.at(-1);
    if (instance === undefined) return "UnknownKey";
    const value = jsonOf(entry.value);
    if (!isObject(value) || !Object.keys(value).every((field) => FIELDS.has(field))) return "InvalidValue";
    const { Op: operation = 0, Addr: address, Metadata: metadata } = value;
    if (typeof address !== "string") return "InvalidValue";
    if (operation === OP_DELETE) return "NotAnInstance";
    if (operation !== 0) return "InvalidValue";
    const endpoint = parseEndpoint(address);
    if (endpoint === undefined) return "InvalidAddress";
    return {
      service: entry.key.slice(0, -instance.length - 1),
      instance,
      endpoints: [endpoint],
      metadata: looseMap(metadata),
    };
  },
};
