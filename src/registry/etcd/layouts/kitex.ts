import { parseEndpoint } from "../../endpoint.ts";
import { type Decoded, type Entry, type IgnoredReason, isObject, jsonOf, type Layout, segmentsOf } from "./layout.ts";
import { stringMap } from "./metadata.ts";

const NETWORKS = new Set<unknown>(["tcp", "tcp4", "tcp6"]);

/** Kitex and Hertz: `kitex/registry-etcd/<service>/<host:port>`, the same address in the value. */
export const kitex: Layout = {
  name: "Kitex",
  defaultPrefix: "kitex/registry-etcd",
  ttlMs: 60_000,
  decode(entry: Entry): Decoded | IgnoredReason {
    const segments = segmentsOf(entry.rest);
    const address = segments?.at(-1);
    if (segments === undefined || address === undefined) return "UnknownKey";
    if (segments.length < 2) return "Directory";
    const value = jsonOf(entry.value);
    if (!isObject(value) || typeof value["address"] !== "string") return "InvalidValue";
    const tags = stringMap(value["tags"]);
    if (!NETWORKS.has(value["network"]) || tags === undefined) return "InvalidValue";
    if (value["address"] !== address) return "Mismatch";
    const endpoint = parseEndpoint(address);
    if (endpoint === undefined || endpoint.port === 0) return "InvalidAddress";
    return { service: segments.slice(0, -1).join("/"), instance: address, endpoints: [endpoint], metadata: tags };
  },
};
