import { EventEmitter } from "node:events";
import { Agent as HttpAgent, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent } from "node:https";

import Consul from "consul";

import type { Clock } from "../../clock/clock.ts";
import type { Breaker } from "../breaker.ts";
import { connectionError } from "../connection-error.ts";
import { RegistryError } from "../errors.ts";
import type { RegistryMetrics } from "../metrics.ts";
import type { ConsulConnection, ConsulScope } from "./options.ts";
import type { AgentAddress } from "./ownership.ts";
import { assertNamesWhatItRemoves } from "./removal-guard.ts";
import { type Refusal, refusalError } from "./status.ts";

/** Connections to one endpoint at most: one waits for changes, the others are for everything else. */
const MAX_CONNECTIONS = 8;

/** What a caller says of one call. */
export interface ConsulCall {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  /** Waits for changes on purpose: how long it takes says nothing about the server. */
  readonly waits?: boolean;
  /** Asked at the last moment before bytes leave; false stops the call with {@link NotSent}. */
  readonly beforeSend?: () => boolean;
}

/** A call with a deadline that ends early when the signal aborts. */
export function within(timeoutMs: number, signal: AbortSignal): ConsulCall {
  return { timeoutMs, signal };
}

/** `beforeSend` said no: nothing left this process. */
export class NotSent extends Error {}

/** The server understood, and refused: neither a success nor a failure of the registry. Only with `expects`. */
export class Refused extends Error {
  readonly status: number;
  readonly body: unknown;
  /** As in {@link Answer}. */
  readonly knownLeader: boolean;

  constructor(status: number, { body, knownLeader }: Pick<Answer, "body" | "knownLeader">) {
    super(`HTTP ${String(status)}`);
    this.status = status;
    this.body = body;
    this.knownLeader = knownLeader;
  }
}

/** An answer, with what Consul says of it in its headers. */
export interface Answer {
  readonly body: unknown;
  /** X-Consul-Index; 0 when there is none. */
  readonly index: number;
  /** False when the server knew of no leader: the answer may be old. */
  readonly knownLeader: boolean;
  /** Milliseconds since the server heard from the leader; 0 at the leader. */
  readonly lastContact: number;
  /** The token may not see all of it. */
  readonly filtered: boolean;
}

/** What a client needs of its owner; shared by all clients an adapter has one after another. */
export interface ClientContext {
  readonly clock: Clock;
  readonly breaker: Breaker;
  readonly metrics: RegistryMetrics;
}

/** A request of ours beside the package's own. */
export interface ConsulRequest {
  readonly method: "GET" | "PUT";
  /** Below `/v1`, with `{name}` where a parameter goes. */
  readonly path: string;
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** Ends a request of the package `consul` and carries its answer: what its requests know as `ctx`. */
export class RequestContext extends EventEmitter {
  /** The package then answers with the response beside the body. */
  readonly includeResponse = true;
  canceled = false;

  cancel(): void {
    this.canceled = true;
    this.emit("cancel");
  }
}

/** What the package does not say of itself: its requests by hand, and the hook before each. */
interface Requester {
  readonly _opts: { readonly baseUrl: { hostname: string } };
  _request(request: object): Promise<IncomingMessage & { readonly body?: unknown }>;
  _ext(hook: "onCreate", change: (request: PackageRequest, next: () => void) => void): void;
}

interface PackageRequest {
  readonly opts: { method?: string; path: string; params: object; query: Record<string, string>; body?: unknown };
}

/**
 * One Consul datacenter under one token. The requests are those of the npm package `consul` over connections of our own:
 * few, kept, and under our TLS settings. It talks to one endpoint at a time; {@link rotate} goes on to the next one. Every
 * call has a deadline, can be cancelled and is measured, and every one names datacenter, namespace and partition.
 */
export class ConsulClient {
  readonly #connection: ConsulConnection;
  readonly #scope: ConsulScope;
  readonly #context: ClientContext;
  #turn = 0;
  #link: Link | undefined;
  #closed = false;

  constructor(connection: ConsulConnection, scope: ConsulScope, context: ClientContext) {
    this.#connection = connection;
    this.#scope = scope;
    this.#context = context;
  }

  /** In use; holds no secret. */
  get endpoint(): string {
    const { endpoints } = this.#connection;
    return endpoints[this.#turn % endpoints.length] ?? "";
  }

  get endpoints(): readonly string[] {
    return this.#connection.endpoints;
  }

  get hasToken(): boolean {
    return this.#connection.token !== undefined;
  }

  /** What every request names. */
  get scope(): ConsulScope {
    return this.#scope;
  }

  /** Requests may be for another datacenter than the endpoint's own. */
  get namesDatacenter(): boolean {
    return this.#scope.datacenter !== undefined;
  }

  /** Counts the connections. */
  get turn(): number {
    return this.#turn;
  }

  /** Goes on to the next endpoint. Calls under way end on the connections they have. */
  rotate(): void {
    this.#turn++;
    this.#drop();
  }

  /** A client of the same rights for one agent. To be closed by the caller. */
  at({ url, serverName, isDerived }: AgentAddress): ConsulClient {
    const { tls } = this.#connection;
    const connection = { ...this.#connection, endpoints: [url] };
    if (!isDerived) return new ConsulClient(connection, this.#scope, this.#context);
    return new ConsulClient({ ...connection, tls: { ...tls, serverName } }, this.#scope, this.#context);
  }

  close(): void {
    this.#closed = true;
    this.#drop();
  }

  /**
   * Runs one of the package's own calls.
   * @param operation for metrics and messages
   * @param start makes the call; what it is given must go into the call's options
   * @param expects statuses that are thrown as {@link Refused}, for they say something
   * @throws RegistryError, {@link NotSent}, {@link Refused}, or the signal's reason
   */
  async run(
    operation: string,
    call: ConsulCall,
    start: (consul: Consul, options: { readonly ctx: RequestContext }) => Promise<unknown>,
    expects: readonly number[] = [],
  ): Promise<Answer> {
    return await this.#measured(operation, call, expects, async (consul, ctx) => {
      const [response, body] = (await start(consul, { ctx })) as [IncomingMessage, unknown];
      return answerOf(response, body);
    });
  }

  /** Sends a request the package has no call for. Throws as {@link run} does. */
  async send(
    operation: string,
    request: ConsulRequest,
    call: ConsulCall,
    expects: readonly number[] = [],
  ): Promise<Answer> {
    return await this.#measured(operation, call, expects, async (consul, ctx) => {
      const { method, path, params = {}, query = {}, body } = request;
      const asked = { name: operation, method, path, params, query: { ...query }, ctx, type: "json" };
      const response = await (consul as unknown as Requester)._request(body === undefined ? asked : { ...asked, body });
      return answerOf(response, response.body);
    });
  }

  async #measured(
    operation: string,
    call: ConsulCall,
    expects: readonly number[],
    start: (consul: Consul, ctx: RequestContext) => Promise<Answer>,
  ): Promise<Answer> {
    call.signal.throwIfAborted();
    const { clock, breaker, metrics } = this.#context;
    const endpoint = this.endpoint;
    const { consul } = this.#linked();
    const startedAt = clock.monotonic();
    if (call.beforeSend?.() === false) throw new NotSent();
    const ctx = new RequestContext();
    const late = { is: false };
    const timer = clock.setTimer(() => {
      late.is = true;
      ctx.cancel();
    }, call.timeoutMs);
    const onAbort = (): void => {
      ctx.cancel();
    };
    call.signal.addEventListener("abort", onAbort, { once: true });
    const seconds = (): number => (clock.monotonic() - startedAt) / 1000;
    try {
      const answer = await start(consul, ctx);
      const result = breaker.answered(call.waits === true ? 0 : clock.monotonic() - startedAt);
      metrics.call(operation, result, seconds());
      return answer;
    } catch (error) {
      if (call.signal.aborted) {
        metrics.call(operation, "Aborted", seconds());
        call.signal.throwIfAborted();
      }
      const failure = late.is
        ? new RegistryError("TimedOut", `${operation} at ${endpoint}: no answer in time`)
        : failureOf(error, operation, endpoint, expects);
      if (failure instanceof RegistryError) {
        if (failure.code === "TimedOut") breaker.timedOut();
        metrics.call(operation, failure.code, seconds());
      } else metrics.call(operation, breaker.answered(clock.monotonic() - startedAt), seconds());
      throw failure;
    } finally {
      timer.cancel();
      call.signal.removeEventListener("abort", onAbort);
    }
  }

  #linked(): Link {
    if (this.#closed) throw new RegistryError("Unreachable", "the connection was closed");
    this.#link ??= this.#connect();
    return this.#link;
  }

  #connect(): Link {
    const { tls, token } = this.#connection;
    const { hostname, port, protocol } = new URL(this.endpoint);
    const pool = { keepAlive: true, maxSockets: MAX_CONNECTIONS };
    const agent =
      protocol === "https:"
        ? new HttpsAgent({
            ...pool,
            ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
            ...(tls?.certificate === undefined ? {} : { cert: tls.certificate }),
            ...(tls?.key === undefined ? {} : { key: tls.key }),
            ...(tls?.serverName === undefined ? {} : { servername: tls.serverName }),
          })
        : new HttpAgent(pool);
    const headers = token === undefined ? {} : { "x-consul-token": token };
    // An IPv6 address stands in brackets in a URL, and without them everywhere else.
    const host = hostname.replace(/^\[|\]$/g, "");
    const options = { host: hostname, port: Number(port), secure: protocol === "https:", agent, headers };
    const consul = new Consul(options);
    const requester = consul as unknown as Requester;
    requester._opts.baseUrl.hostname = host;
    requester._ext("onCreate", ({ opts }, next) => {
      assertNamesWhatItRemoves(opts);
      const { datacenter, namespace, partition } = this.#scope;
      if (datacenter !== undefined) opts.query["dc"] = datacenter;
      if (namespace !== undefined) opts.query["ns"] = namespace;
      if (partition !== undefined) opts.query["partition"] = partition;
      next();
    });
    return { consul, agent };
  }

  #drop(): void {
    const link = this.#link;
    this.#link = undefined;
    // Idle connections go at once, those in use when their call has ended.
    if (link !== undefined) {
      link.agent.maxFreeSockets = 0;
      for (const sockets of Object.values(link.agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
    }
  }
}

interface Link {
  readonly consul: Consul;
  readonly agent: HttpAgent | HttpsAgent;
}

function answerOf({ headers }: IncomingMessage, body: unknown): Answer {
  const number = (name: string): number => Number(headers[name] ?? 0) || 0;
  return {
    body,
    index: number("x-consul-index"),
    knownLeader: headers["x-consul-knownleader"] !== "false",
    lastContact: number("x-consul-lastcontact"),
    filtered: headers["x-consul-results-filtered-by-acls"] === "true",
  };
}

function failureOf(error: unknown, operation: string, endpoint: string, expects: readonly number[]): Error {
  if (error instanceof TypeError || error instanceof NotSent) return error;
  const response = responseOf(error);
  if (response === undefined) return connectionError(error, operation, endpoint);
  if (expects.includes(response.status)) return new Refused(response.status, response.answer);
  return refusalError(response, operation, endpoint);
}

/** The answer that the package made an error of; undefined when there was none. */
function responseOf(error: unknown): (Refusal & { readonly answer: Answer }) | undefined {
  if (!(error instanceof Error) || !("response" in error)) return undefined;
  const response = error.response as (IncomingMessage & { readonly body?: unknown }) | undefined;
  if (response?.statusCode === undefined || !("isResponse" in error)) return undefined;
  const { body } = response;
  const text = Buffer.isBuffer(body) ? body.toString() : typeof body === "string" ? body : JSON.stringify(body ?? "");
  return { status: response.statusCode, text, answer: answerOf(response, body) };
}
