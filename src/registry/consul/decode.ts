import { makeEndpoint, parseEndpoint } from "../endpoint.ts";
import type { Endpoint } from "../port.ts";
import type { CatalogEntry, CatalogService } from "./model.ts";

/** What a service process registered. */
export interface Decoded {
  readonly service: string;
  readonly instance: string;
  readonly endpoints: readonly Endpoint[];
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Why an entry of the catalog is not an instance.
 * - `ConsulItself`: a server's own entry.
 * - `Imported`: another cluster exports it to this one.
 * - `InvalidAddress`: neither the service nor its node has a valid address.
 */
export type IgnoredReason = "ConsulItself" | "Imported" | "InvalidAddress";

/** Name under which Consul's servers list themselves. */
export const CONSUL_SERVICE = "consul";

/** Longer metadata is left out whole, since half a value could match wrongly. */
const MAX_VALUE = 512;

/** Pure and total. What is not exactly an instance is none. */
export function decode({ node, service }: Pick<CatalogEntry, "node" | "service">): Decoded | IgnoredReason {
  if ((node.PeerName ?? "") !== "" || (service.PeerName ?? "") !== "") return "Imported";
  if (service.Service === CONSUL_SERVICE) return "ConsulItself";
  // A service without an address is at its node's.
  const address = service.Address === "" ? node.Address : service.Address;
  const first = endpointOf(address, service.Port ?? 0);
  if (first === undefined) return "InvalidAddress";
  return {
    service: service.Service,
    instance: service.ID,
    endpoints: distinct([first, ...furtherEndpoints(service)]),
    metadata: metadataOf(service),
  };
}

/** kratos writes each of its endpoints as a tagged address that is a URL; others hold addresses of the same place. */
function furtherEndpoints({ TaggedAddresses }: CatalogService): readonly Endpoint[] {
  const endpoints: Endpoint[] = [];
  for (const { Address } of Object.values(TaggedAddresses ?? {})) {
    if (!Address.includes("://")) continue;
    const endpoint = endpointOf(Address, 0);
    if (endpoint !== undefined) endpoints.push(endpoint);
  }
  return endpoints;
}

function endpointOf(address: string, port: number): Endpoint | undefined {
  const url = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]+)/i.exec(address);
  if (url !== null) return parseEndpoint(url[1] ?? "");
  return makeEndpoint(address, port === 0 ? undefined : String(port));
}

function distinct(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const byText = new Map(endpoints.map((endpoint) => [`${endpoint.host} ${String(endpoint.port)}`, endpoint]));
  return [...byText.values()];
}

function metadataOf({ Meta }: CatalogService): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(Meta ?? {}).filter(([, value]) => value.length <= MAX_VALUE));
}
