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

/** Whether a request may have been carried out though no answer came. */
export function isLost(error: unknown): boolean {
  return error instanceof RegistryError && ["TimedOut", "Unreachable", "NoLeader"].includes(error.code);
}

function causeOfStatus(
  status: number,
  text: string,
): { readonly code: RegistryErrorCode; readonly explanation: string } {
  if (status === 413) return { code: "RequestTooLong", explanation: "the request is longer than the server accepts" };
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
