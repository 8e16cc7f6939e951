import type { KubeConfig } from "@kubernetes/client-node";

import type { Clock } from "../clock/clock.ts";
import { errorOfResponse, KubeError } from "./http-errors.ts";
import { CallScope } from "./transport-scope.ts";
import { JsonLines } from "./transport-lines.ts";
import { ConnectionPools } from "./transport-pool.ts";

export { loadKubeConfig } from "./transport-credentials.ts";

/** What the transport tells of each call; the names are those of client-go's metrics. */
export interface TransportMetrics {
  /**
   * For `rest_client_requests_total{code,method,host}` and `rest_client_request_duration_seconds{verb,host}`.
   * @param call `code` is the HTTP status as text, `<error>` when no answer came; `seconds` run until the answer was
   * complete, for a watch until its headers came
   */
  completed(call: {
    readonly code: string;
    readonly method: string;
    readonly host: string;
    readonly seconds: number;
  }): void;
}

export interface TransportOptions {
  /** From {@link loadKubeConfig}. Only its current context counts. */
  readonly config: KubeConfig;
  readonly clock: Clock;
  readonly metrics?: TransportMetrics;
  /** Default `hygeia`. */
  readonly userAgent?: string;
}

/** Values of undefined are left out. */
export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface CallRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Absolute, such as `/api/v1/pods`, each segment already percent-encoded, without a query. */
  readonly path: string;
  readonly query?: Query;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Default `application/json`; for server-side apply `application/apply-patch+yaml` (JSON is YAML). */
  readonly contentType?: string;
  /** Default `application/json`. Some other form of JSON, such as a Table. */
  readonly accept?: string;
  /** Until the answer must be complete, in milliseconds. Default 30 s. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

export interface CallResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Parsed JSON, or the text of an answer that is not declared as JSON. */
  readonly body: unknown;
}

export interface StreamRequest {
  readonly path: string;
  readonly query?: Query;
  /** Until the answer's headers must have come, in milliseconds. Default 30 s. */
  readonly openDeadlineMs?: number;
  /** The stream is given up when no byte arrives for so long, in milliseconds. */
  readonly inactivityMs: number;
  /** Default 8 MiB, more than five times what etcd stores in one object. */
  readonly maxLineBytes?: number;
  /** Called once when the server has accepted the stream. */
  readonly onOpen?: () => void;
  readonly signal?: AbortSignal;
}

const defaultDeadlineMs = 30_000;
const defaultMaxLineBytes = 8 * 1024 * 1024;
/** A page of 500 objects of 128 KiB each; a longer answer is refused. */
const maxBodyBytes = 64 * 1024 * 1024;

/**
 * HTTP to one API server over pooled keep-alive connections. Every call has a deadline on the injected clock. Tokens, CA
 * and client certificates are read again as they rotate. Nothing is retried, except once after a 401 with a token that
 * has changed meanwhile. No message ever holds a query, a header or a body of ours.
 */
export class KubeTransport {
  readonly #clock: Clock;
  readonly #metrics: TransportMetrics | undefined;
  readonly #userAgent: string;
  readonly #pools: ConnectionPools;
  readonly #origin: string;
  readonly #prefix: string;
  /** Host and port of the API server, for messages and metrics. */
  readonly host: string;

  /** @throws KubeError `BadCredentials` when the context names no cluster, or one that would be sent clear text */
  constructor(options: TransportOptions) {
    const cluster = options.config.getCurrentCluster();
    if (cluster === null) throw new KubeError("BadCredentials", "the kubeconfig's current context names no cluster");
    const url = new URL(cluster.server);
    if (url.protocol === "http:" && !cluster.skipTLSVerify)
      throw new KubeError(
        "BadCredentials",
        "the kubeconfig names an http:// server: tokens would be sent in clear text",
      );
    this.#origin = url.origin;
    this.#prefix = url.pathname.replace(/\/$/, "");
    this.host = url.host;
    this.#clock = options.clock;
    this.#metrics = options.metrics;
    this.#userAgent = options.userAgent ?? "hygeia";
    this.#pools = new ConnectionPools(options.config, options.clock);
  }

  /**
   * One call and its whole answer.
   * @throws KubeError for every status of 400 and above, a missed deadline (`DeadlineExceeded`), a lost connection
   * (`ConnectionLost`), an answer that is not JSON though it says so (`BadResponse`)
   * @throws the signal's reason when it aborts first
   */
  async request(call: CallRequest): Promise<CallResponse> {
    const what = `${call.method} ${call.path}`;
    const deadlineMs = call.deadlineMs ?? defaultDeadlineMs;
    using scope = new CallScope(this.#clock, what, call.signal);
    scope.deadline(deadlineMs, "DeadlineExceeded", `${what} was not answered within ${deadlineMs} ms`);
    const first = await this.#attempt(call, what, scope);
    if (first.response !== undefined) return first.response;
    if (first.error.isUnauthorized) {
      this.#pools.expire();
      const { headers } = await scope.race(this.#pools.lease("call"));
      if (headers["Authorization"] !== first.authorization) {
        const second = await this.#attempt(call, what, scope);
        if (second.response !== undefined) return second.response;
        throw second.error;
      }
    }
    throw first.error;
  }

  /**
   * A stream of JSON lines, such as a watch. Yields the lines of one chunk at a time, in order, each parsed once; returns
   * when the server ends the stream. Abort the signal to stop it: `return()` waits for the next chunk.
   * @throws KubeError for a status of 400 and above, `DeadlineExceeded` when it does not open, `Silent` when no byte came
   * for `inactivityMs`, `ConnectionLost` when it breaks, `BadResponse` for a line that is too long or not JSON
   * @throws the signal's reason when it aborts first
   */
  async *stream(request: StreamRequest): AsyncGenerator<readonly unknown[], void, undefined> {
    const what = `GET ${request.path} (stream)`;
    const openMs = request.openDeadlineMs ?? defaultDeadlineMs;
    using scope = new CallScope(this.#clock, what, request.signal);
    scope.deadline(openMs, "DeadlineExceeded", `${what} was not answered within ${openMs} ms`);
    const opened = await this.#open({ method: "GET", ...request }, "stream", scope);
    const { statusCode: status, body } = opened.data;
    if (status >= 400) {
      const text = await scope.race(readBody(body, what));
      throw this.#refused(what, status, text, opened.data.headers);
    }
    request.onOpen?.();
    const lines = new JsonLines(what, request.maxLineBytes ?? defaultMaxLineBytes);
    const silence = `${what} brought nothing for ${request.inactivityMs} ms`;
    scope.deadline(request.inactivityMs, "Silent", silence);
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        const parsed = lines.push(chunk);
        // The time that the consumer takes to handle the lines is not the server's silence.
        scope.noDeadline();
        if (parsed.length > 0) yield parsed;
        scope.deadline(request.inactivityMs, "Silent", silence);
      }
    } catch (error) {
      throw scope.translate(error);
    }
    if (lines.pendingBytes > 0) throw new KubeError("ConnectionLost", `${what} ended in the middle of a line`);
  }

  /** Breaks every connection; calls under way fail. */
  async close(): Promise<void> {
    await this.#pools.destroy();
  }

  async #attempt(
    call: CallRequest,
    what: string,
    scope: CallScope,
  ): Promise<
    | { readonly response: CallResponse }
    | { readonly response?: undefined; readonly error: KubeError; readonly authorization: string | undefined }
  > {
    const opened = await this.#open(call, "call", scope);
    const { statusCode: status, headers, body } = opened.data;
    const text = await scope.race(readBody(body, what));
    this.#count(call.method, String(status), opened.startedAt);
    if (status >= 400)
      return { error: this.#refused(what, status, text, headers), authorization: opened.authorization };
    return { response: { status, headers, body: parseBody(text, headers["content-type"], what) } };
  }

  async #open(call: CallRequest, kind: "call" | "stream", scope: CallScope) {
    const startedAt = this.#clock.monotonic();
    try {
      const lease = await scope.race(this.#pools.lease(kind));
      const headers: Record<string, string> = {
        ...lease.headers,
        accept: call.accept ?? "application/json",
        "user-agent": this.#userAgent,
      };
      let body: string | null = null;
      if (call.body !== undefined) {
        body = JSON.stringify(call.body);
        headers["content-type"] = call.contentType ?? "application/json";
      }
      const sent = lease.dispatcher.request({
        origin: this.#origin,
        path: this.#prefix + call.path + queryText(call.query),
        method: call.method,
        headers,
        body,
        signal: scope.signal,
      });
      // Undici heeds the signal only when the connection stands.
      const data = await scope.race(sent);
      if (kind === "stream") this.#count("GET", String(data.statusCode), startedAt);
      return { data, startedAt, authorization: lease.headers["Authorization"] };
    } catch (error) {
      this.#count(call.method, "<error>", startedAt);
      throw scope.translate(error);
    }
  }

  #refused(
    what: string,
    status: number,
    text: string,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): KubeError {
    let body: unknown;
    try {
      body = JSON.parse(text);
    } catch {
      body = undefined;
    }
    const retryAfter = headers["retry-after"];
    return errorOfResponse(what, status, body, typeof retryAfter === "string" ? retryAfter : undefined);
  }

  #count(method: string, code: string, startedAt: number): void {
    const seconds = (this.#clock.monotonic() - startedAt) / 1000;
    this.#metrics?.completed({ code, method, host: this.host, seconds });
  }
}

function queryText(query: Query | undefined): string {
  if (query === undefined) return "";
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) params.set(name, String(value));
  const text = params.toString();
  return text === "" ? "" : `?${text}`;
}

async function readBody(body: AsyncIterable<unknown>, what: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes)
      throw new KubeError("BadResponse", `${what} was answered with more than ${maxBodyBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes).toString("utf8");
}

function parseBody(text: string, contentType: string | string[] | undefined, what: string): unknown {
  if (typeof contentType !== "string" || !contentType.includes("json")) return text;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new KubeError("BadResponse", `${what} was answered with ${text.length} characters that are not JSON`);
  }
}
