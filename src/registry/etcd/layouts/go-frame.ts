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
import { looseMap } from "./metadata.ts";

/**
 * GoFrame gsvc: `/<head>/<deployment>/<namespace>/<name>/<version>/<endpoint,endpoint>`, the value metadata alone. One
 * key may stand for several endpoints.
 */
export const goFrame: Layout = {
  name: "GoFrame",
  defaultPrefix: "/service",
  ttlMs: 10_000,
  decode(entry: Entry): Decoded | IgnoredReason {
    if (!entry.key.startsWith("/")) return "UnknownKey";
    const segments = segmentsOf(entry.key.slice(1));
    if (segments === undefined || segments.length > 6) return "UnknownKey";
    const [, , , name = "", , addresses] = segments;
    if (addresses === undefined) return "Directory";
    const value = jsonOf(entry.value);
    if (value !== null && !isObject(value)) return "InvalidValue";
    const endpoints = endpointsOf(addresses);
    if (endpoints === undefined) return "InvalidAddress";
    return { service: name, instance: addresses, endpoints, metadata: looseMap(value) };
  },
};

function endpointsOf(text: string): readonly Endpoint[] | undefined {
  const addresses = text.split(",");
  if (addresses.length > MAX_ENDPOINTS) return undefined;
  const endpoints = addresses.map(parseEndpoint);
  const areValid = endpoints.every((endpoint): endpoint is Endpoint => endpoint !== undefined && endpoint.port !== 0);
  return areValid ? endpoints : undefined;
}
