import { createHash, createPrivateKey, X509Certificate } from "node:crypto";

import type { RegistrySpec } from "../../api/v1alpha1/index.ts";
import { HygeiaError } from "../../errors.ts";
import { KubeError } from "../../kube/http-errors.ts";
import type { KubeTransport } from "../../kube/transport.ts";

/** What an adapter needs to be trusted and let in. Held in memory only; never logged. */
export interface Credentials {
  /** PEM, one or more certificate authorities; undefined = those the runtime trusts. */
  readonly ca: string | undefined;
  /** PEM; undefined = show none. */
  readonly client: { readonly certificate: string; readonly privateKey: string } | undefined;
  readonly login: { readonly username: string; readonly password: string } | undefined;
  /** Secret of a Consul ACL token. */
  readonly token: string | undefined;
  /** Differs when any of the above does. A hash: it tells nothing about them. */
  readonly digest: string;
}

/** Why credentials can not be had. The message names the field of the spec, the Secret and the key, never a value. */
export interface SecretProblem {
  readonly reason: "SecretNotFound" | "SecretKeyMissing" | "SecretInvalid" | "SecretUnreadable";
  readonly message: string;
}

export type Resolution =
  { readonly ok: true; readonly credentials: Credentials } | { readonly ok: false; readonly problem: SecretProblem };

/** Reads one Secret; undefined when there is none. */
export type ReadSecret = (name: string, signal: AbortSignal) => Promise<SecretData | undefined>;

/** Decoded values by key. */
export type SecretData = ReadonlyMap<string, string>;

/** One answer for one small object. */
const READ_DEADLINE_MS = 5_000;

/**
 * Reads Secrets by name from one namespace, the only one in which the operator may read any.
 * @param reserved names that no Registry may have read, since what is read is sent to an endpoint of its choice
 */
export function secretsIn(
  namespace: string,
  transport: KubeTransport,
  reserved: ReadonlySet<string> = new Set(),
): ReadSecret {
  return async (name, signal) => {
    if (reserved.has(name)) throw new KubeError("Reserved", `Secret "${name}" is the operator's own`);
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets/${encodeURIComponent(name)}`;
    try {
      const { body } = await transport.request({ method: "GET", path, deadlineMs: READ_DEADLINE_MS, signal });
      const { data } = body as { data?: Record<string, string> };
      return new Map(
        Object.entries(data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64").toString("utf8")]),
      );
    } catch (error) {
      if (error instanceof KubeError && error.isNotFound) return undefined;
      throw error;
    }
  };
}

/** Where in the spec a Secret is named, and which one. */
interface Reference {
  readonly field: string;
  readonly secret: string;
}

/** Reads everything the spec names. @throws the signal's reason when it aborts; every other failure is a problem */
export async function resolveCredentials(
  spec: Pick<RegistrySpec, "tls" | "credentials" | "consul">,
  read: ReadSecret,
  signal: AbortSignal,
): Promise<Resolution> {
  try {
    const ca = await resolveAuthorities(spec, read, signal);
    const client = await resolveClient(spec, read, signal);
    const login = await resolveLogin(spec, read, signal);
    const token = await resolveToken(spec, read, signal);
    const digest = createHash("sha256")
      .update(JSON.stringify([ca, client, login, token]))
      .digest("base64url");
    return { ok: true, credentials: { ca, client, login, token, digest } };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof Unresolved)) throw error;
    return { ok: false, problem: error.problem };
  }
}

class Unresolved extends HygeiaError {
  readonly problem: SecretProblem;

  constructor(reason: SecretProblem["reason"], message: string) {
    super(reason, message);
    this.problem = { reason, message };
  }
}

async function resolveAuthorities(
  { tls }: Pick<RegistrySpec, "tls">,
  read: ReadSecret,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (tls?.caSecretRef === undefined) return undefined;
  const at = { field: "spec.tls.caSecretRef", secret: tls.caSecretRef.name };
  const { key } = tls.caSecretRef;
  const pem = valueOf(await load(at, read, signal), key, at);
  if (certificatesIn(pem) === undefined) throw invalid(at, key, "is no PEM certificate");
  return pem;
}

async function resolveClient(
  { tls }: Pick<RegistrySpec, "tls">,
  read: ReadSecret,
  signal: AbortSignal,
): Promise<Credentials["client"]> {
  if (tls?.clientCertificateSecretRef === undefined) return undefined;
  const at = { field: "spec.tls.clientCertificateSecretRef", secret: tls.clientCertificateSecretRef.name };
  const data = await load(at, read, signal);
  const certificate = valueOf(data, "tls.crt", at);
  const privateKey = valueOf(data, "tls.key", at);
  const [leaf] = certificatesIn(certificate) ?? [];
  if (leaf === undefined) throw invalid(at, "tls.crt", "is no PEM certificate");
  let matches: boolean;
  try {
    matches = leaf.checkPrivateKey(createPrivateKey(privateKey));
  } catch {
    // What the parser says could quote the key.
    throw invalid(at, "tls.key", "is no PEM private key (an encrypted one can not be used)");
  }
  if (!matches) throw invalid(at, "tls.key", "is not the private key of the certificate under tls.crt");
  return { certificate, privateKey };
}

async function resolveLogin(
  { credentials }: Pick<RegistrySpec, "credentials">,
  read: ReadSecret,
  signal: AbortSignal,
): Promise<Credentials["login"]> {
  if (credentials === undefined) return undefined;
  const at = { field: "spec.credentials.secretRef", secret: credentials.secretRef.name };
  const data = await load(at, read, signal);
  return { username: valueOf(data, "username", at), password: valueOf(data, "password", at) };
}

async function resolveToken(
  { consul }: Pick<RegistrySpec, "consul">,
  read: ReadSecret,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (consul?.tokenSecretRef === undefined) return undefined;
  const { name, key } = consul.tokenSecretRef;
  const at = { field: "spec.consul.tokenSecretRef", secret: name };
  // Files mostly end in a line break, which no token holds.
  const token = valueOf(await load(at, read, signal), key, at).trim();
  if (!/^[\x21-\x7e]{1,512}$/.test(token)) throw invalid(at, key, "is no token");
  return token;
}

async function load({ field, secret }: Reference, read: ReadSecret, signal: AbortSignal): Promise<SecretData> {
  let data: SecretData | undefined;
  try {
    data = await read(secret, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof KubeError)) throw error;
    const hint = error.isForbidden ? ": allow the operator's service account to get it" : "";
    throw new Unresolved("SecretUnreadable", `${field}: Secret "${secret}" could not be read (${error.code})${hint}`);
  }
  if (data !== undefined) return data;
  const message = `${field}: there is no Secret "${secret}" in the operator's namespace: create it there, or correct the name`;
  throw new Unresolved("SecretNotFound", message);
}

function valueOf(data: SecretData, key: string, { field, secret }: Reference): string {
  const value = data.get(key);
  if (value !== undefined && value !== "") return value;
  const state = value === undefined ? "has no key" : "has nothing under the key";
  throw new Unresolved("SecretKeyMissing", `${field}: Secret "${secret}" ${state} "${key}"`);
}

function invalid({ field, secret }: Reference, key: string, problem: string): Unresolved {
  return new Unresolved("SecretInvalid", `${field}: the value under "${key}" in Secret "${secret}" ${problem}`);
}

/** The certificates of a PEM text in their order; undefined when it holds none or a broken one. */
export function certificatesIn(pem: string): [X509Certificate, ...X509Certificate[]] | undefined {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    const [first, ...others] = blocks.map((block) => new X509Certificate(block));
    return first === undefined ? undefined : [first, ...others];
  } catch {
    return undefined;
  }
}
