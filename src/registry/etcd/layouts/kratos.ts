import { parseEndpoint } from "../../endpoint.ts";
import type { Endpoint } from "../../port.ts";
import {
  type Decoded,
  type Entry,
  type IgnoredReason,
  isObject,
  jsonOf,
  type Layout,
  MAX_ENDPOINTS,
  segmentsOf,
} from "./layout.ts";
import { stringMap } from "./metadata.ts";

/** kratos v2 and v3: `<namespace>/<service>/<id>`, the value one instance with an endpoint URL per protocol. */
export const kratos: Layout = {
  name: "Kratos",
  defaultPrefix: "/microservices",
  ttlMs: 15_000,
  decode(entry: Entry): Decoded | IgnoredReason {
    const segments = segmentsOf(entry.rest);
    if (segments === undefined) return "UnknownKey";
    if (segments.length < 2) return "Directory";
    const value = jsonOf(entry.value);
    if (!isObject(value)) return "InvalidValue";
    const { id, name } = value;
    const metadata = stringMap(value["metadata"]);
    if (typeof id !== "string" || typeof name !== "string" || metadata === undefined) return "InvalidValue";
    if (!Array.isArray(value["endpoints"])) return "InvalidValue";
    if (entry.rest !== `${name}/${id}`) return "Mismatch";
    const endpoints = endpointsOf(value["endpoints"]);
    if (endpoints === undefined) return "InvalidAddress";
    return { service: name, instance: id, endpoints, metadata };
  },
};

/** All of them or none: an instance is dead only when every endpoint is, so that none may be left out. */
function endpointsOf(urls: readonly unknown[]): readonly Endpoint[] | undefined {
  if (urls.length === 0 || urls.length > MAX_ENDPOINTS) return undefined;
  const endpoints: Endpoint[] = [];
  for (const url of urls) {
    if (typeof url !== "string") return undefined;
    // `?isSecure=true` is how older releases say https and grpcs.
    const [, authority] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#@]+)(?:\?isSecure=(?:true|false))?$/.exec(url) ?? [];
    const endpoint = authority === undefined ? undefined : parseEndpoint(authority);
    if (endpoint === undefined || endpoint.port === 0) return undefined;
    endpoints.push(endpoint);
  }
  return endpoints;
}
