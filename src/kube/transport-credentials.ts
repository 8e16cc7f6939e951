import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { RequestOptions } from "node:https";

import type { KubeConfig } from "@kubernetes/client-node";

import { importKubeConfig } from "./client-node.ts";
import { KubeError } from "./http-errors.ts";

/** What a TLS connection to the API server is made with. */
export interface TlsSettings {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

/** How the next call proves who we are. */
export interface Credentials {
  /** Authorization and impersonation headers. Never logged. */
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: TlsSettings;
  /** Hash of `tls`; when it changes, new connections are needed. */
  readonly tlsFingerprint: string;
}

/**
 * Finds the cluster as kubectl does: the given file, else KUBECONFIG, else ~/.kube/config, else the service account of
 * the pod we run in. Loads of client-node what reads kubeconfigs, which costs 37 MiB (measured, Node 24, version 2.0.1).
 */
export async function loadKubeConfig(file?: string): Promise<KubeConfig> {
  const KubeConfig = await importKubeConfig();
  const config = new KubeConfig();
  if (file === undefined) config.loadFromDefault();
  else config.loadFromFile(file);
  return config;
}

/**
 * Reads token, CA and client certificate as they are now. Exec and OIDC plugins run inside client-node, which caches
 * their tokens until they expire; token files are read here, because client-node keeps them for 60 s even after a 401.
 * @throws KubeError `BadCredentials`; the message holds no output of a plugin, which may be a secret
 */
export async function readCredentials(config: KubeConfig): Promise<Credentials> {
  try {
    const headers: Record<string, string> = {};
    const options: RequestOptions = { headers };
    await config.applyToHTTPSOptions(options);
    const tokenFile = tokenFileOf(config);
    if (tokenFile !== undefined) headers["Authorization"] = `Bearer ${await readFile(tokenFile, "utf8")}`;
    if (headers["Authorization"] !== undefined) headers["Authorization"] = cleanHeader(headers["Authorization"]);
    if (typeof options.auth === "string")
      headers["Authorization"] = `Basic ${Buffer.from(options.auth, "utf8").toString("base64")}`;
    const tls: TlsSettings = {
      ...pem("ca", options.ca),
      ...pem("cert", options.cert),
      ...pem("key", options.key),
      ...(options.servername === undefined ? {} : { servername: options.servername }),
      ...(options.rejectUnauthorized === undefined ? {} : { rejectUnauthorized: options.rejectUnauthorized }),
    };
    return { headers, tls, tlsFingerprint: fingerprint(tls) };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why = typeof code === "string" ? ` (${code})` : "";
    throw new KubeError("BadCredentials", `credentials for the API server could not be read${why}`);
  }
}

/** Takes the newline off that editors leave in token files. */
function cleanHeader(value: string): string {
  const cleaned = value.trim();
  if (!/^[\x20-\x7e]+$/.test(cleaned)) throw new Error("not a header");
  return cleaned;
}

function tokenFileOf(config: KubeConfig): string | undefined {
  const provider = config.getCurrentUser()?.authProvider as { config?: { tokenFile?: unknown } } | null | undefined;
  const file = provider?.config?.tokenFile;
  return typeof file === "string" && file !== "" ? file : undefined;
}

function pem<K extends "ca" | "cert" | "key">(name: K, value: unknown): Partial<Record<K, string | Buffer>> {
  if (typeof value !== "string" && !Buffer.isBuffer(value)) return {};
  return { [name]: value } as Partial<Record<K, string | Buffer>>;
}

function fingerprint(tls: TlsSettings): string {
  const hash = createHash("sha256");
  for (const value of [tls.ca, tls.cert, tls.key, tls.servername, String(tls.rejectUnauthorized)]) {
    hash.update(`${value === undefined ? -1 : value.length}:`).update(value ?? "");
  }
  return hash.digest("hex");
}
