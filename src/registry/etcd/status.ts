import { status } from "@grpc/grpc-js";

import { RegistryError, type RegistryErrorCode } from "../errors.ts";

/** Phrases of etcd's own errors, and what they mean to us. Looked for before the gRPC status: etcd reuses few of those. */
const ETCD_ERRORS: readonly (readonly [phrase: string, code: RegistryErrorCode, explanation: string])[] = [
  ["etcdserver: no leader", "NoLeader", "the cluster has no leader"],
  ["etcdserver: leader changed", "NoLeader", "the cluster is changing its leader"],
  ["etcdserver: request timed out", "TimedOut", "the cluster did not agree in time (no quorum, or overloaded)"],
  ["etcdserver: mvcc: database space exceeded", "NoSpace", "the database is full: raise the quota or compact it"],
  ["etcdserver: mvcc: required revision has been compacted", "Compacted", "the history asked for is gone"],
  ["etcdserver: mvcc: required revision is a future revision", "WentBack", "a known revision does not exist yet"],
  ["etcdserver: requested lease not found", "LeaseNotFound", "a lease of ours has left"],
  ["etcdserver: authentication failed", "Unauthenticated", "user name or password is wrong"],
  ["etcdserver: user name is empty", "Unauthenticated", "etcd asks for a user name and password"],
  ["etcdserver: invalid auth token", "Unauthenticated", "the login is no longer valid"],
  ["etcdserver: revision of auth store is old", "Unauthenticated", "users or roles have just changed"],
  ["etcdserver: permission denied", "PermissionDenied", "the user's role does not allow it"],
  ["larger than max", "TooLarge", "the answer is longer than is accepted"],
];

/** OpenSSL's and Node's words for a failed handshake, in the order in which they are looked for. */
const TLS_ERRORS: readonly (readonly [pattern: RegExp, cause: string])[] = [
  [/certificate has expired/i, "the server's certificate has expired"],
  [/alert certificate expired/i, "the server says that our client certificate has expired"],
  [/not yet valid/i, "the server's certificate is not valid yet"],
  [/altnames|Hostname\/IP does not match/i, "the server's certificate is for another name"],
  [
    /self[- ]signed certificate|unable to (?:verify the first|get (?:local )?issuer) certificate/i,
    "the server's certificate was signed by an unknown authority",
  ],
  [/alert unknown ca/i, "the server does not know the authority of our client certificate"],
  [/alert certificate required/i, "the server asks for a client certificate"],
  [/alert (?:bad certificate|handshake failure)/i, "the server refuses our client certificate"],
  [/disconnected before secure TLS/i, "the server closed the connection in the TLS handshake: it may not speak TLS"],
  [/wrong version number|packet length too long/i, "the server does not speak TLS at this port"],
  [/certificate revoked/i, "a certificate was revoked"],
  [/\bSSL\b|\bTLS\b|tlsv1|ERR_TLS|ERR_SSL|certificate/i, "the TLS handshake failed"],
];

/**
 * Gives a gRPC error our own code and a sentence that names the cause.
 * @param what the call that failed, for the message
 */
export function registryErrorOf(error: unknown, what: string, endpoint: string): RegistryError {
  if (error instanceof RegistryError) return error;
  const { code, details } = statusOf(error);
  const { reason, explanation } = causeOf(code, details);
  return new RegistryError(reason, `${what} at ${endpoint}: ${explanation}`, { cause: error });
}

/** The reason etcd gives when it cancels a watch. */
export function watchErrorOf(cancelReason: string, endpoint: string): RegistryError {
  const { reason, explanation } = causeOf(status.UNKNOWN, cancelReason);
  return new RegistryError(reason, `watch at ${endpoint}: ${explanation}`);
}

function statusOf(error: unknown): { code: number; details: string } {
  if (!(error instanceof Error)) return { code: status.UNKNOWN, details: "" };
  const code = "code" in error && typeof error.code === "number" ? error.code : status.UNKNOWN;
  const details = "details" in error && typeof error.details === "string" ? error.details : error.message;
  return { code, details };
}

interface Cause {
  readonly reason: RegistryErrorCode;
  readonly explanation: string;
}

const UNAVAILABLE: number = status.UNAVAILABLE;
const INTERNAL: number = status.INTERNAL;

/** gRPC statuses that say it all. */
const STATUS_CAUSES: ReadonlyMap<number, Cause> = new Map<number, Cause>([
  [status.DEADLINE_EXCEEDED, { reason: "TimedOut", explanation: "no answer in time" }],
  [status.CANCELLED, { reason: "Unreachable", explanation: "the connection was closed" }],
  [status.UNAUTHENTICATED, { reason: "Unauthenticated", explanation: "the server refuses our credentials" }],
  [status.PERMISSION_DENIED, { reason: "PermissionDenied", explanation: "the user's role does not allow it" }],
]);

function causeOf(code: number, details: string): Cause {
  for (const [phrase, reason, explanation] of ETCD_ERRORS) {
    if (details.includes(phrase)) return { reason, explanation };
  }
  if (code === UNAVAILABLE) return causeOfUnavailable(details);
  // A server that dies in the middle of an answer resets the stream.
  if (code === INTERNAL && details.includes("RST_STREAM"))
    return { reason: "Unreachable", explanation: "the connection broke" };
  return (
    STATUS_CAUSES.get(code) ?? {
      reason: "NotUnderstood",
      explanation: `unexpected answer (gRPC status ${String(code)}): ${brief(details)}`,
    }
  );
}

function causeOfUnavailable(details: string): Cause {
  const tls = TLS_ERRORS.find(([pattern]) => pattern.test(details));
  if (tls !== undefined) return { reason: "TLSFailed", explanation: tls[1] };
  if (/protocol error/i.test(details)) return { reason: "NotUnderstood", explanation: "the server speaks no gRPC" };
  return { reason: "Unreachable", explanation: connectionCause(details) };
}

/** The part of grpc-js's message a person wants: `connect ECONNREFUSED 127.0.0.1:2379`. */
function connectionCause(details: string): string {
  const [, cause] = /Last error: (?:Error: )?(.*?)(?:\. Resolution note:|$)/.exec(details) ?? [];
  return `no connection (${brief(cause ?? details)})`;
}

/** One bounded line. */
function brief(text: string): string {
  return text.replace(/\s+/g, " ").trim().slice(0, 200);
}

/** The server has no users at all: it was asked for a login it does not need. */
export function isAuthDisabled(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return statusOf(cause).details.includes("etcdserver: authentication is not enabled");
}
