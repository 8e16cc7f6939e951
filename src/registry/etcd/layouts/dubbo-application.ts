import { makeEndpoint } from "../../endpoint.ts";
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

/**
 * dubbo-go's application level: `/services/<application>/<host>:<port>`. `Address` may be empty; Host and Port are what
 * counts. Further ports of the same host stand in the metadata, as JSON inside a string.
 */
export const dubboApplication: Layout = {
  name: "DubboApplication",
  defaultPrefix: "/services",
  ttlMs: 30_000,
  decode(entry: Entry): Decoded | IgnoredReason {
    const segments = segmentsOf(entry.rest);
    if (segments === undefined || segments.length > 2) return "UnknownKey";
    const [application = "", address] = segments;
    if (address === undefined) return "Directory";
    const value = jsonOf(entry.value);
    if (!isObject(value)) return "InvalidValue";
    const { Host: host, Port: port, ServiceName: service, Address: stated } = value;
    const metadata = stringMap(value["Metadata"]);
    if (typeof host !== "string" || !Number.isInteger(port) || metadata === undefined) return "InvalidValue";
    const written = `${host}:${String(port)}`;
    if (service !== application || written !== address) return "Mismatch";
    if (stated !== undefined && stated !== "" && stated !== written) return "Mismatch";
    const first = makeEndpoint(host, String(port));
    if (first === undefined) return "InvalidAddress";
    const ports = portsOf(metadata["dubbo.endpoints"]);
    if (ports === undefined) return "InvalidValue";
    const endpoints = [first, ...ports.filter((other) => other !== first.port).map((other) => onHost(first, other))];
    return { service: application, instance: address, endpoints, metadata };
  },
};

function onHost(endpoint: Endpoint, port: number): Endpoint {
  return Object.freeze({ ...endpoint, port });
}

/** `[{"port":20000,"protocol":"tri"}]` */
function portsOf(text: string | undefined): readonly number[] | undefined {
  if (text === undefined || text === "") return [];
  const list = jsonOf(Buffer.from(text));
  if (!Array.isArray(list) || list.length >= MAX_ENDPOINTS) return undefined;
  const ports = list.map((item: unknown) => (isObject(item) ? item["port"] : undefined));
  const areValid = ports.every(
    (port): port is number => Number.isInteger(port) && Number(port) > 0 && Number(port) < 65_536,
  );
  return areValid ? [...new Set(ports)] : undefined;
}
