import { RegistryError } from "../errors.ts";
import { type ConsulClient, Refused, within } from "./client.ts";
import { CONSUL_SERVICE } from "./decode.ts";
import { type CatalogNode, isObject } from "./model.ts";
import { refusalError } from "./status.ts";

const UNNAMED = "unnamed";

/**
 * Names the data: the trust domain that a datacenter's servers make up once and keep in their store. Where the service
 * mesh is switched off there is none, and only the canary tells one store from another.
 * @throws RegistryError
 */
export async function clusterIdOf(client: ConsulClient, timeoutMs: number, signal: AbortSignal): Promise<string> {
  try {
    const request = { method: "GET", path: "/connect/ca/roots" } as const;
    const { body } = await client.send("connect.caRoots", request, within(timeoutMs, signal), [500, 404]);
    const domain: unknown = isObject(body) ? body["TrustDomain"] : undefined;
    if (typeof domain === "string" && domain !== "") return domain.slice(0, 128);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const text = textOf(error.body);
    if (!/Connect must be enabled/i.test(text))
      throw refusalError({ status: error.status, text }, "connect.caRoots", client.endpoint);
  }
  return UNNAMED;
}

/**
 * Without a token a server that has ACLs leaves out what anonymous users may not see, and does not say so.
 * @throws RegistryError `Unauthenticated` when there is no token and the server has ACLs
 */
export async function assertSeesAll(client: ConsulClient, timeoutMs: number, signal: AbortSignal): Promise<void> {
  if (client.hasToken) return;
  const request = { method: "GET", path: "/acl/token/self" } as const;
  try {
    await client.send("acl.token.self", request, within(timeoutMs, signal), [401, 403, 404]);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401 && /ACL support disabled/i.test(textOf(error.body))) return;
  }
  throw new RegistryError(
    "Unauthenticated",
    `${client.endpoint} has ACLs, and shows a part of the catalog only: name a token in spec.credentials`,
  );
}

/** The version that the servers list of themselves; empty when they do not. */
export function serverVersionIn(nodes: readonly CatalogNode[]): string {
  for (const { Services } of nodes) {
    const version = Services.find(({ Service }) => Service === CONSUL_SERVICE)?.Meta?.["version"];
    if (version !== undefined && version !== "") return version;
  }
  return "";
}

/** The package leaves plain text as bytes. */
function textOf(body: unknown): string {
  return typeof body === "string" || Buffer.isBuffer(body) ? body.toString() : "";
}
