import { RegistryError } from "../errors.ts";

/** What an answer that is no success means. The body is never quoted: it could repeat what was sent. */
export function refusalError(status: number, hasLogin: boolean, what: string, endpoint: string): RegistryError {
  const say = (code: ConstructorParameters<typeof RegistryError>[0], why: string): RegistryError =>
    new RegistryError(code, `${what} at ${endpoint}: ${why}`);
  if (status === 401 || (status === 403 && !hasLogin))
    return say("Unauthenticated", "the server asks for a login: name a Secret in spec.credentials");
  if (status === 403)
    return say("PermissionDenied", "the user may not do it: the admin API asks for an administrator by default");
  if (status === 410) return say("NotUnderstood", "the server has switched this API off (HTTP 410)");
  if (status === 413) return say("RequestTooLong", "the request is longer than the server accepts");
  if (status === 429) return say("Unreachable", "the server takes no more requests for the moment");
  if (status === 502 || status === 503 || status === 504)
    return say("Unreachable", `the server, or what is in front of it, answers ${String(status)}`);
  return say("NotUnderstood", `unexpected answer (HTTP ${String(status)})`);
}

/** A login that did not succeed. 3.1.0 answers a wrong password with HTTP 500. */
export function loginError(status: number, endpoint: string): RegistryError {
  if (status === 502 || status === 503 || status === 504) return refusalError(status, true, "login", endpoint);
  const why = `the server refuses user name or password (HTTP ${String(status)})`;
  return new RegistryError("Unauthenticated", `login at ${endpoint}: ${why}`);
}

/** Whether a request may have been carried out though no answer came. */
export function isLost(error: unknown): boolean {
  return error instanceof RegistryError && ["TimedOut", "Unreachable"].includes(error.code);
}
