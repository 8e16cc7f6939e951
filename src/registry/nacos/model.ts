import { RegistryError } from "../errors.ts";

/** A service in its group. */
export interface ServiceRef {
  readonly group: string;
  readonly service: string;
}

/** One instance as the admin API lists it. */
export interface NacosInstance extends ServiceRef {
  readonly cluster: string;
  /** An address, or a host name. */
  readonly ip: string;
  readonly port: number;
  readonly weight: number;
  /** The server's own word: for an HTTP registrant whether it beats, for a gRPC one always true. */
  readonly healthy: boolean;
  /** False when it was taken out of rotation. */
  readonly enabled: boolean;
  readonly ephemeral: boolean;
  readonly metadata: Readonly<Record<string, string>>;
  /** Without a beat for so long it is unhealthy, milliseconds. */
  readonly beatTimeout: number;
  /** Without a beat for so long it is forgotten, milliseconds. */
  readonly deleteTimeout: number;
}

/** Who registered one instance of a service. */
export interface Publisher {
  /** `<connect-ms>_<ip>_<port>` for a gRPC connection, `<ip>:<port>#true` for HTTP, `<ip>:<port>#false` for persistent. */
  readonly clientId: string;
  readonly ip: string;
  readonly port: number;
  /** Undefined when the server does not say. */
  readonly cluster: string | undefined;
}

export const DEFAULT_GROUP = "DEFAULT_GROUP";
const DEFAULT_CLUSTER = "DEFAULT";

/** Nacos' own defaults. */
const BEAT_TIMEOUT = 15_000;
const DELETE_TIMEOUT = 30_000;

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The object that an answer is.
 * @throws RegistryError `NotUnderstood` when it is none
 */
export function objectIn(text: string): Readonly<Record<string, unknown>> {
  try {
    const body: unknown = JSON.parse(text);
    if (isObject(body)) return body;
  } catch {
    // Said below.
  }
  throw notUnderstood("something else than a JSON object");
}

/**
 * An instance in an answer.
 * @param ephemeral where the answer does not say
 * @throws RegistryError `NotUnderstood` when it is none
 */
export function instanceIn(item: unknown, ref: ServiceRef, cluster = DEFAULT_CLUSTER): NacosInstance {
  if (!isObject(item)) throw notUnderstood("an instance of another shape");
  const { ip, port, weight, healthy, enabled, ephemeral, clusterName, metadata } = item;
  if (typeof ip !== "string" || ip === "" || typeof port !== "number" || !Number.isSafeInteger(port))
    throw notUnderstood("an instance without address or port");
  if (typeof healthy !== "boolean" || typeof enabled !== "boolean" || typeof ephemeral !== "boolean")
    throw notUnderstood("an instance that does not say whether it is healthy, enabled and ephemeral");
  return {
    ...ref,
    cluster: typeof clusterName === "string" && clusterName !== "" ? clusterName : cluster,
    ip,
    port,
    weight: typeof weight === "number" ? weight : 1,
    healthy,
    enabled,
    ephemeral,
    metadata: metadataIn(metadata),
    beatTimeout: positive(item["instanceHeartBeatTimeOut"], BEAT_TIMEOUT),
    deleteTimeout: positive(item["ipDeleteTimeout"], DELETE_TIMEOUT),
  };
}

/** @throws RegistryError `NotUnderstood` when it is none */
export function publisherIn(item: unknown): Publisher {
  if (!isObject(item)) throw notUnderstood("a publisher of another shape");
  const { clientId, ip, port, clusterName } = item;
  if (typeof clientId !== "string" || clientId === "" || typeof ip !== "string" || typeof port !== "number")
    throw notUnderstood("a publisher without id or address");
  return { clientId, ip, port, cluster: typeof clusterName === "string" ? clusterName : undefined };
}

/** Names an instance inside its namespace; stable, and no two have the same. */
export function instanceKey({
  group,
  service,
  cluster,
  ip,
  port,
}: Omit<
  NacosInstance,
  "metadata" | "weight" | "healthy" | "enabled" | "ephemeral" | "beatTimeout" | "deleteTimeout"
>): string {
  return JSON.stringify([group, service, cluster, ip, port]);
}

export function serviceKey({ group, service }: ServiceRef): string {
  return JSON.stringify([group, service]);
}

export function notUnderstood(what: string): RegistryError {
  return new RegistryError("NotUnderstood", `Nacos answers ${what}`);
}

function metadataIn(value: unknown): Readonly<Record<string, string>> {
  if (!isObject(value)) return {};
  const entries = Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function positive(value: unknown, otherwise: number): number {
  return typeof value === "number" && value > 0 ? value : otherwise;
}
