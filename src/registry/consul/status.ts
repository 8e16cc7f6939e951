import { RegistryError, type RegistryErrorCode } from "../errors.ts";

/** Consul's own words, and what they mean to us. Looked for in the body of an answer that is no success. */
const CONSUL_ERRORS: readonly (readonly [pattern: RegExp, code: RegistryErrorCode, explanation: string])[] = [
  [/ACL support disabled/i, "Unauthenticated", "the server knows no tokens"],
  [/ACL not found|token (?:does not exist|not found|has expired)/i, "Unauthenticated", "the token is not known"],
  [/Permission denied/i, "PermissionDenied", "the token's policies do not allow it"],
  [/No cluster leader/i, "NoLeader", "the cluster has no leader"],
  [/leadership lost|not the leader|node is not the leader|leadership transfer/i, "NoLeader", "the leader is changing"],
  [
    /raft is already shutdown|no known Consul servers|failed to get conn|connection (?:refused|reset)|\bEOF\b/i,
    "Unreachable",
    "the agent does not reach the servers",
  ],
  [/timeout|deadline/i, "TimedOut", "the cluster did not answer in time"],
];

/** OpenSSL's and Node's words for a failed handshake, in the order in which they are looked for. */
const TLS_ERRORS: readonly (readonly [pattern: RegExp, cause: string])[] = [
  [/CERT_HAS_EXPIRED|certificate has expired/i, "the server's certificate has expired"],
  [/alert certificate expired|CERTIFICATE_EXPIRED/i, "the server says that our client certificate has expired"],
  [/CERT_NOT_YET_VALID|not yet valid/i, "the server's certificate is not valid yet"],
  [/ALTNAME_INVALID|altnames|HOSTNAME_MISMATCH/i, "the server's certificate is for another name"],
  [
    /SELF_SIGNED|self[- ]signed|UNABLE_TO_(?:VERIFY|GET_ISSUER)|unable to (?:verify|get)/i,
    "the server's certificate was signed by an unknown authority",
  ],
  [/alert unknown ca|UNKNOWN_CA/i, "the server does not know the authority of our client certificate"],
  [/certificate required|CERTIFICATE_REQUIRED/i, "the server asks for a client certificate"],
  [/alert (?:bad certificate|handshake failure)|BAD_CERTIFICATE/i, "the server refuses our client certificate"],
  [/disconnected before secure TLS/i, "the server closed the connection in the TLS handshake: it may not speak TLS"],
  [/wrong version number|packet length too long/i, "the server does not speak TLS at this port"],
  [/ERR_TLS|ERR_SSL|ERR_OSSL|EPROTO|\bSSL\b|\bTLS\b|certificate/i, "the TLS handshake failed"],
];

/** An answer that is no success, as far as it is looked at. */
export interface Refusal {
  readonly status: number;
  /** Bounded and one line; Consul quotes no token in it. */
  readonly text: string;
}

/**
 * Gives an answer that is no success our own code, and a sentence that names the cause.
 * @param what the call that failed, for the message
 */
export function refusalError({ status, text }: Refusal, what: string, endpoint: string): RegistryError {
  const { code, explanation } = causeOfStatus(status, brief(text));
  return new RegistryError(code, `${what} at ${endpoint}: ${explanation}`);
}

/** Gives the failure of a connection our own code. Its message is never quoted whole: it could hold a path or a key. */
export function connectionError(error: unknown, what: string, endpoint: string): RegistryError {
  if (error instanceof RegistryError) return error;
  const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
  const words = `${code} ${error instanceof Error ? error.message : ""}`;
  const tls = TLS_ERRORS.find(([pattern]) => pattern.test(words));
  if (tls !== undefined) return new RegistryError("TLSFailed", `${what} at ${endpoint}: ${tls[1]}`);
  if (error instanceof Error && "isCodec" in error)
    return new RegistryError("NotUnderstood", `${what} at ${endpoint}: the answer is no JSON`);
  const cause = code === "" ? "the connection broke" : `no connection (${code})`;
  return new RegistryError("Unreachable", `${what} at ${endpoint}: ${cause}`, { cause: error });
}

/** Whether there never was a connection: then nothing can have been carried out. */
export function neverConnected({ cause }: RegistryError): boolean {
  const code: unknown = cause instanceof Error && "code" in cause ? cause.code : undefined;
  return typeof code === "string" && ["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND"].includes(code);
}

/** Whether a request may have been carried out though no answer came. */
export function isLost(error: unknown): boolean {
  return error instanceof RegistryError && ["TimedOut", "Unreachable", "NoLeader"].includes(error.code);
}

function causeOfStatus(
  status: number,
  text: string,
): { readonly code: RegistryErrorCode; readonly explanation: string } {
  if (status === 413) return { code: "TooLarge", explanation: "the request is longer than the server accepts" };
  if (status === 429) return { code: "Unreachable", explanation: "the server takes no more requests for the moment" };
  for (const [pattern, code, explanation] of CONSUL_ERRORS) {
    if (pattern.test(text)) return { code, explanation };
  }
  if (status === 401) return { code: "Unauthenticated", explanation: "the server asks for a token" };
  if (status === 403) return { code: "PermissionDenied", explanation: "the server does not allow it" };
  if (status === 502 || status === 503 || status === 504)
    return { code: "Unreachable", explanation: `what is in front of the server answers ${String(status)}` };
  return { code: "NotUnderstood", explanation: `unexpected answer (HTTP ${String(status)}): ${text}` };
}

function brief(text: string): string {
  return text.replace(/\s+/g, " ").trim().slice(0, 200);
}
