import { parseEndpoint } from "../../endpoint.ts";
import { type Decoded, type Entry, isObject, jsonOf, type IgnoredReason, type Layout, segmentsOf } from "./layout.ts";
import { stringMap } from "./metadata.ts";

/**
 * go-micro v2 to v6: `/micro/registry/<service>/<node id>`, the value one service with exactly one node. Slashes of
 * either name are written as dashes in the key. Node metadata stands before the service's.
 */
export const goMicro: Layout = {
  name: "GoMicro",
  defaultPrefix: "/micro/registry",
  ttlMs: 90_000,
  decode(entry: Entry): Decoded | IgnoredReason {
    const [service, node, ...more] = segmentsOf(entry.rest) ?? [];
    if (service === undefined || more.length > 0) return "UnknownKey";
    if (node === undefined) return "Directory";
    const value = jsonOf(entry.value);
    if (!isObject(value) || typeof value["name"] !== "string" || !Array.isArray(value["nodes"])) return "InvalidValue";
    const nodes: readonly unknown[] = value["nodes"];
    const only = nodes[0];
    if (nodes.length !== 1 || !isObject(only)) return "InvalidValue";
    const { id, address } = only;
    if (typeof id !== "string" || typeof address !== "string") return "InvalidValue";
    const ofService = stringMap(value["metadata"]);
    const ofNode = stringMap(only["metadata"]);
    if (ofService === undefined || ofNode === undefined) return "InvalidValue";
    if (dashed(value["name"]) !== service || dashed(id) !== node) return "Mismatch";
    const endpoint = parseEndpoint(address);
    if (endpoint === undefined) return "InvalidAddress";
    return {
      service: value["name"],
      instance: id,
      endpoints: [endpoint],
      metadata: { ...ofService, ...ofNode },
    };
  },
};

function dashed(name: string): string {
  return name.replaceAll("/", "-");
}
