import { makeEndpoint } from "../endpoint.ts";
import type { Endpoint, Removal } from "../port.ts";
import { DEFAULT_GROUP, type NacosInstance } from "./model.ts";
import type { RegistrationKind } from "./writers.ts";

/**
 * Why something listed is no instance that is judged.
 * - `Consumer`: Dubbo lists who calls a service under `consumers:`; nobody is routed there.
 * - `InvalidAddress`: no valid address or host name, or no valid port.
 */
export type IgnoredReason = "Consumer" | "InvalidAddress";

/** What the record of an instance says of it. */
export interface Decoded {
  readonly service: string;
  readonly instance: string;
  readonly endpoint: Endpoint;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Longer metadata is left out whole, since half a value could match wrongly. */
const MAX_VALUE = 512;

/** Pure and total. */
export function decode(instance: NacosInstance): Decoded | IgnoredReason {
  const { service, cluster, ip, port, metadata } = instance;
  if (service.startsWith("consumers:")) return "Consumer";
  const endpoint = makeEndpoint(ip, port === 0 ? undefined : String(port));
  if (endpoint === undefined) return "InvalidAddress";
  return {
    service: qualifiedName(instance),
    // As Nacos itself makes an instance's id.
    instance: `${ip}#${String(port)}#${cluster}#${instance.group}@@${service}`,
    endpoint,
    metadata: Object.fromEntries(Object.entries(metadata).filter(([, value]) => value.length <= MAX_VALUE)),
  };
}

/** A service's name, and as Nacos writes it before it the group, where that is not the default one. */
function qualifiedName({ group, service }: Pick<NacosInstance, "group" | "service">): string {
  return group === DEFAULT_GROUP ? service : `${group}@@${service}`;
}

/** Whether a delete takes effect. */
export function removalOf(kind: RegistrationKind): Removal {
  if (kind !== "GRPC") return Object.freeze({ effective: "Yes" });
  return Object.freeze({
    effective: "No",
    reason: "GRPCConnection",
    message:
      "it hangs on a client's gRPC connection: Nacos answers a delete over HTTP with ok and does nothing; it can be " +
      "quarantined",
  });
}
