import { RegistryError } from "./errors.ts";

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
