import { HygeiaError } from "../errors.ts";

/** What is known of a call that failed; see {@link KubeError}. */
export interface KubeErrorDetails {
  /** HTTP status, 0 when no answer arrived. */
  readonly status: number;
  /** `reason` of the API server's Status object, or the empty string. */
  readonly reason: string;
  /** How long the server asked us to wait, in milliseconds. */
  readonly retryAfterMs?: number;
}

/**
 * A call to the API server that brought no success. `code` stands for the status when the server answered (`NotFound`,
 * `Conflict`, `Expired`, `Forbidden`, `ServerError`, ...), else it is `ConnectionLost`, `DeadlineExceeded`, `Silent`,
 * `BadResponse`, `BadCredentials`, `Closed`, `OpaqueVersion`, `WentBack` or `SinkFailed`.
 */
export class KubeError extends HygeiaError {
  readonly status: number;
  readonly reason: string;
  readonly retryAfterMs: number | undefined;

  constructor(code: string, message: string, details: KubeErrorDetails = { status: 0, reason: "" }) {
    super(code, message);
    this.status = details.status;
    this.reason = details.reason;
    this.retryAfterMs = details.retryAfterMs;
  }

  /** The object changed since we read it. */
  get isConflict(): boolean {
    return this.status === 409 && this.reason !== "AlreadyExists";
  }

  get isAlreadyExists(): boolean {
    return this.status === 409 && this.reason === "AlreadyExists";
  }

  get isNotFound(): boolean {
    return this.status === 404;
  }

  /** The resourceVersion or continue token is older than what the server still holds. */
  get isExpired(): boolean {
    return this.status === 410 || this.reason === "Expired" || this.reason === "Gone";
  }

  get isUnauthorized(): boolean {
    return this.status === 401;
  }

  get isForbidden(): boolean {
    return this.status === 403;
  }

  get isTooManyRequests(): boolean {
    return this.status === 429;
  }
}

/** The stable code for an HTTP status of 400 and above. */
function codeOfStatus(status: number): string {
  switch (status) {
    case 400:
      return "BadRequest";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "NotFound";
    case 409:
      return "Conflict";
    case 410:
      return "Expired";
    case 415:
      return "UnsupportedMediaType";
    case 422:
      return "Invalid";
    case 429:
      return "TooManyRequests";
    default:
      return status >= 500 ? "ServerError" : "Refused";
  }
}

/** The parts of a `v1.Status` that an error needs. */
interface StatusFields {
  readonly message: string;
  readonly reason: string;
  readonly code: number;
  readonly retryAfterSeconds: number | undefined;
}

/** Reads a `v1.Status` object; whatever is missing or of a wrong type stays empty. */
function readStatus(raw: unknown): StatusFields {
  const status = (typeof raw === "object" && raw !== null ? raw : {}) as Record<string, unknown>;
  const details = (
    typeof status["details"] === "object" && status["details"] !== null ? status["details"] : {}
  ) as Record<string, unknown>;
  const seconds = details["retryAfterSeconds"];
  return {
    message: typeof status["message"] === "string" ? status["message"] : "",
    reason: typeof status["reason"] === "string" ? status["reason"] : "",
    code: typeof status["code"] === "number" ? status["code"] : 0,
    retryAfterSeconds: typeof seconds === "number" && seconds > 0 ? seconds : undefined,
  };
}

/**
 * The error for an answer with status 400 or above.
 * @param what method and path, without the query
 * @param retryAfter the `Retry-After` header; only its form in seconds is used, a date would need the server's clock
 */
export function errorOfResponse(
  what: string,
  status: number,
  body: unknown,
  retryAfter: string | undefined,
): KubeError {
  const fields = readStatus(body);
  const seconds =
    retryAfter !== undefined && /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : fields.retryAfterSeconds;
  const said = fields.message === "" ? "" : `: ${fields.message.slice(0, 512)}`;
  return new KubeError(codeOfStatus(status), `${what} was answered with ${status}${said}`, {
    status,
    reason: fields.reason,
    ...(seconds === undefined ? {} : { retryAfterMs: seconds * 1000 }),
  });
}

/** The error for an ERROR event of a watch, whose object is a `v1.Status`. */
export function errorOfEvent(what: string, object: unknown): KubeError {
  const fields = readStatus(object);
  const said = fields.message === "" ? "" : `: ${fields.message.slice(0, 512)}`;
  return new KubeError(codeOfStatus(fields.code), `${what} brought an ERROR event with ${fields.code}${said}`, {
    status: fields.code,
    reason: fields.reason,
    ...(fields.retryAfterSeconds === undefined ? {} : { retryAfterMs: fields.retryAfterSeconds * 1000 }),
  });
}
