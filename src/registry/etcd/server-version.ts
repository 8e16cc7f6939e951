import { Client } from "undici";

import { isObject, jsonOf } from "./layouts/layout.ts";
import type { EtcdTLS } from "./options.ts";

/** An answer of /version is some 50 bytes. */
const MAX_BYTES = 4_096;

/**
 * Whether a progress answer of this server waits for the events before it: from 3.4.31 and 3.5.13 on (etcd-io/etcd
 * issue 15220 and pull requests 17566, 17612, the same bounds as Kubernetes takes). Without it only a list proves that
 * the view is complete.
 */
export function ordersProgress(version: string): boolean {
  const [, majorText, minorText, patchText] = /^(\d+)\.(\d+)\.(\d+)/.exec(version) ?? [];
  if (majorText === undefined) return false;
  const [major, minor, patch] = [Number(majorText), Number(minorText), Number(patchText)];
  if (major !== 3) return major > 3;
  if (minor === 4) return patch >= 31;
  if (minor === 5) return patch >= 13;
  return minor > 5;
}

/**
 * Asks the server for its version over plain HTTP, which needs no login: with users, etcd tells its status to root only.
 * @returns the empty string when it does not tell; never rejects but with the signal's reason
 */
export async function versionOverHttp(
  endpoint: string,
  tls: EtcdTLS | undefined,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string> {
  const { ca, certificate: cert, key, serverName: servername } = tls ?? {};
  const client = new Client(endpoint, {
    connect: { ca, cert, key, servername, timeout: timeoutMs },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    maxResponseSize: MAX_BYTES,
  });
  try {
    const { body } = await client.request({ method: "GET", path: "/version", signal });
    const versions = jsonOf(Buffer.from(await body.arrayBuffer()));
    return isObject(versions) && typeof versions["etcdserver"] === "string" ? versions["etcdserver"] : "";
  } catch {
    signal.throwIfAborted();
    return "";
  } finally {
    await client.destroy();
  }
}
