import { canonicalIp } from "../net/address.ts";
import type { Endpoint } from "./port.ts";

/**
 * An address as frameworks write it: `ip:port`, `[v6]:port`, `host:port`, or any of them without the port.
 * @returns undefined when it is not exactly that
 */
export function parseEndpoint(text: string): Endpoint | undefined {
  const bracketed = /^\[([0-9A-Fa-f:.]+)\](?::(\d{1,5}))?$/.exec(text);
  if (bracketed !== null) {
    const [, host = "", port] = bracketed;
    return host.includes(":") ? makeEndpoint(host, port) : undefined;
  }
  const colon = text.lastIndexOf(":");
  // Several colons without brackets: an IPv6 address that has no port.
  if (colon < 0 || text.indexOf(":") !== colon) return makeEndpoint(text, undefined);
  return makeEndpoint(text.slice(0, colon), text.slice(colon + 1));
}

/**
 * @param port decimal text; undefined when the registration names none
 * @returns undefined when host or port is not valid
 */
export function makeEndpoint(host: string, port: string | undefined): Endpoint | undefined {
  const number = port === undefined ? 0 : parsePort(port);
  if (number === undefined) return undefined;
  const ip = canonicalIp(host);
  if (ip !== undefined) return Object.freeze({ host: ip, isIp: true, port: number });
  const name = canonicalHost(host);
  return name === undefined ? undefined : Object.freeze({ host: name, isIp: false, port: number });
}

/** As people write it: `10.42.3.17:80`, `[2001:db8::1]:80`; several separated by commas. */
export function formatEndpoints(endpoints: readonly Endpoint[]): string {
  return endpoints.map(({ host, port }) => (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`)).join(",");
}

function parsePort(text: string): number | undefined {
  if (!/^[1-9]\d{0,4}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}

/** A host name in lower case without the trailing dot (RFC 1123, and the underscore that DNS and Docker allow). */
function canonicalHost(text: string): string | undefined {
  const name = text.toLowerCase().replace(/\.$/, "");
  if (name.length > 253) return undefined;
  const labels = name.split(".");
  if (!labels.every((label) => /^[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9_])?$/.test(label))) return undefined;
  // A last label of digits alone is a mistyped IPv4 address, never a name.
  return /^\d+$/.test(labels.at(-1) ?? "") ? undefined : name;
}
