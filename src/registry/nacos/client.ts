import { ExponentialBackoff, handleWhen, handleWhenResult, retry } from "cockatiel";
import { Pool } from "undici";

import type { Clock } from "../../clock/clock.ts";
import type { Breaker } from "../breaker.ts";
import { connectionError } from "../connection-error.ts";
import { RegistryError } from "../errors.ts";
import type { RegistryMetrics } from "../metrics.ts";
import { Login } from "./login.ts";
import type { NacosConnection } from "./options.ts";
import { refusalError } from "./status.ts";

/** Connections to one server at most. */
const MAX_CONNECTIONS = 8;
/** Idle connections are closed after so long, milliseconds: before Nacos' Tomcat closes them (20 s). */
const IDLE_MS = 15_000;
/** No page of a list is longer. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** A read that found nobody is asked once more a moment later; one that ran into its deadline is not. */
const askAgain = retry(
  handleWhen((error) => error instanceof RegistryError && error.code === "Unreachable"),
  { maxAttempts: 1, backoff: new ExponentialBackoff({ initialDelay: 50, maxDelay: 500 }) },
);

/** Answers by which a server stumbles: asked again for about a second, as long as lists lag behind. */
const askPastStumbles = retry(
  handleWhenResult((answer) => (answer as NacosAnswer).status === 500),
  { maxAttempts: 8, backoff: new ExponentialBackoff({ initialDelay: 50, maxDelay: 250 }) },
);

/** What a caller says of one call. */
export interface NacosCall {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  /** Asked at the last moment before bytes leave; false stops the call with {@link NotSent}. */
  readonly beforeSend?: () => boolean;
}

/** `beforeSend` said no: nothing left this process. */
export class NotSent extends Error {}

export interface NacosRequest {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** Below `/nacos`. */
  readonly path: string;
  /** Must hold no secret: it ends in access logs. */
  readonly query?: Readonly<Record<string, string>>;
  /** Sent as a form in the body. */
  readonly form?: Readonly<Record<string, string>>;
}

export interface NacosAnswer {
  readonly status: number;
  readonly text: string;
  /** What the server's clock said, milliseconds, rounded down to the second; undefined when it did not say. */
  readonly serverTime: number | undefined;
}

/** What a client needs of its owner; shared by all clients an adapter has. */
export interface ClientContext {
  readonly clock: Clock;
  readonly breaker: Breaker;
  readonly metrics: RegistryMetrics;
}

/**
 * HTTP to one Nacos server over few kept connections. Every call has a deadline, can be cancelled and is measured. The
 * password travels in the body of a login and the token in a header, never in a URL.
 */
export class NacosClient {
  readonly endpoint: string;
  readonly #context: ClientContext;
  readonly #pool: Pool;
  readonly #login: Login | undefined;

  constructor(endpoint: string, { tls, login }: NacosConnection, context: ClientContext) {
    this.endpoint = endpoint;
    this.#context = context;
    this.#pool = new Pool(endpoint, {
      connections: MAX_CONNECTIONS,
      keepAliveTimeout: IDLE_MS,
      keepAliveMaxTimeout: IDLE_MS,
      // Deadlines are our own.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: {
        ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
        ...(tls?.certificate === undefined ? {} : { cert: tls.certificate }),
        ...(tls?.key === undefined ? {} : { key: tls.key }),
        ...(tls?.serverName === undefined ? {} : { servername: tls.serverName }),
      },
    });
    if (login !== undefined) {
      this.#login = new Login(login, endpoint, context.clock, (request, timeoutMs) =>
        this.#measured("auth.login", request, {}, { timeoutMs, signal: new AbortController().signal }),
      );
    }
  }

  /**
   * Sends a request; a read that found nobody once more.
   * @param operation for metrics and messages
   * @param expects statuses beside 200 that say something; all others are errors
   * @throws RegistryError, {@link NotSent}, or the signal's reason
   */
  async send(
    operation: string,
    request: NacosRequest,
    call: NacosCall,
    expects: readonly number[] = [],
  ): Promise<NacosAnswer> {
    const attempt = (): Promise<NacosAnswer> => this.#authenticated(operation, request, call);
    const answer = request.method === "GET" ? await askAgain.execute(attempt, call.signal) : await attempt();
    if (answer.status === 200 || expects.includes(answer.status)) return answer;
    throw refusalError(answer.status, this.#login !== undefined, operation, this.endpoint);
  }

  /**
   * As {@link send}, and asks again for a while where the answer is HTTP 500: between the moments in which a client leaves and
   * in which it leaves the index of its services Nacos stumbles over it. A busy server of a cluster takes some time for that.
   */
  async sendPastStumbles(
    operation: string,
    request: NacosRequest,
    call: NacosCall,
    expects: readonly number[] = [],
  ): Promise<NacosAnswer> {
    const attempt = (): Promise<NacosAnswer> => this.send(operation, request, call, [...expects, 500]);
    const answer = await askPastStumbles.execute(attempt, call.signal);
    if (answer.status !== 500) return answer;
    throw refusalError(answer.status, this.#login !== undefined, operation, this.endpoint);
  }

  close(): void {
    this.#pool.destroy().catch(() => undefined);
  }

  async #authenticated(operation: string, request: NacosRequest, call: NacosCall): Promise<NacosAnswer> {
    if (this.#login === undefined) return await this.#measured(operation, request, {}, call);
    const token = await abortable(this.#login.token(call.timeoutMs), call.signal);
    const answer = await this.#measured(operation, request, { accessToken: token }, call);
    if (answer.status !== 401 && answer.status !== 403) return answer;
    // The token may have been revoked, or the server's key changed: once more with a new one.
    this.#login.forget(token);
    const renewed = await abortable(this.#login.token(call.timeoutMs), call.signal);
    return await this.#measured(operation, request, { accessToken: renewed }, call);
  }

  async #measured(
    operation: string,
    request: NacosRequest,
    headers: Readonly<Record<string, string>>,
    call: NacosCall,
  ): Promise<NacosAnswer> {
    call.signal.throwIfAborted();
    const { clock, breaker, metrics } = this.#context;
    if (call.beforeSend?.() === false) throw new NotSent();
    const startedAt = clock.monotonic();
    const late = new AbortController();
    const timer = clock.setTimer(() => {
      late.abort(new RegistryError("TimedOut", `${operation} at ${this.endpoint}: no answer in time`));
    }, call.timeoutMs);
    const signal = AbortSignal.any([call.signal, late.signal]);
    const seconds = (): number => (clock.monotonic() - startedAt) / 1000;
    try {
      const answer = await abortable(this.#exchange(request, headers, signal), signal);
      metrics.call(operation, breaker.answered(clock.monotonic() - startedAt), seconds());
      return answer;
    } catch (error) {
      if (call.signal.aborted) {
        metrics.call(operation, "Aborted", seconds());
        call.signal.throwIfAborted();
      }
      const failure = connectionError(error, operation, this.endpoint);
      if (failure.code === "TimedOut") breaker.timedOut();
      metrics.call(operation, failure.code, seconds());
      throw failure;
    } finally {
      timer.cancel();
    }
  }

  async #exchange(
    { method, path, query = {}, form }: NacosRequest,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<NacosAnswer> {
    const parameters = new URLSearchParams(query).toString();
    const response = await this.#pool.request({
      method,
      path: `/nacos${path}${parameters === "" ? "" : `?${parameters}`}`,
      headers: {
        ...headers,
        "user-agent": "hygeia",
        ...(form === undefined ? {} : { "content-type": "application/x-www-form-urlencoded" }),
      },
      ...(form === undefined ? {} : { body: new URLSearchParams(form).toString() }),
      signal,
    });
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > MAX_BODY_BYTES) {
        response.body.destroy();
        throw new RegistryError("TooLarge", `${this.endpoint} sends more than ${String(MAX_BODY_BYTES)} bytes`);
      }
      chunks.push(chunk);
    }
    const serverTime = Date.parse(String(response.headers["date"] ?? ""));
    return {
      status: response.statusCode,
      text: Buffer.concat(chunks).toString(),
      serverTime: Number.isNaN(serverTime) ? undefined : serverTime,
    };
  }
}

/** @throws the signal's reason when it aborts first: a connection that is still being made does not heed it */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => {
    reject(signal.reason as Error);
  };
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    promise.catch(() => undefined);
  }
}
