import { X509Certificate } from "node:crypto";

import {
  type CallOptions,
  Channel,
  type ChannelCredentials,
  type Client,
  type ClientOptions,
  type ClientUnaryCall,
  credentials as channelCredentials,
  Metadata,
} from "@grpc/grpc-js";
import {
  AuthClient,
  type ICallable,
  KVClient,
  LeaseClient,
  MaintenanceClient,
  type Services,
  WatchClient,
} from "etcd3";
import { Host } from "etcd3/lib/connection-pool.js";

import type { Clock } from "../../clock/clock.ts";
import type { Breaker } from "../breaker.ts";
import { RegistryError } from "../errors.ts";
import type { RegistryMetrics } from "../metrics.ts";
import type { EtcdConnection } from "./options.ts";
import { versionOverHttp } from "./server-version.ts";
import { isAuthDisabled, registryErrorOf } from "./status.ts";

/**
 * Longest answer accepted. etcd's own limit for a value is 1.5 MiB, so that a page of one key always fits; pages that
 * do not are asked for again in halves.
 */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** etcd refuses pings more often than every 5 s; without pings a frozen server is never noticed. */
const CHANNEL_OPTIONS = {
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
  "grpc.max_receive_message_length": MAX_ANSWER_BYTES,
  // A channel's back-off must not be another channel's: a new channel means a new connection.
  "grpc.use_local_subchannel_pool": 1,
};

/** What a caller says of one unary call; etcd3's clients hand it through. */
export interface EtcdCall extends CallOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  /** Asked at the last moment before bytes leave; false stops the call with {@link NotSent}. */
  readonly beforeSend?: () => boolean;
}

/** A call with a deadline that ends early when the signal aborts. */
export function within(timeoutMs: number, signal: AbortSignal): EtcdCall {
  return { timeoutMs, signal };
}

/** `beforeSend` said no: nothing left this process. */
export class NotSent extends Error {}

/** What a client needs of its owner; shared by all clients an adapter has one after another. */
export interface ClientContext {
  readonly clock: Clock;
  readonly breaker: Breaker;
  readonly metrics: RegistryMetrics;
}

type ServiceName = keyof typeof Services;
type UnaryMethod = (
  request: unknown,
  metadata: Metadata,
  options: CallOptions,
  callback: (error: Error | null, response: unknown) => void,
) => ClientUnaryCall;

/**
 * One etcd cluster under one set of credentials. It runs etcd3's typed clients over channels of its own, because
 * etcd3's pool has no deadline, no cancel, no server name and no second login for a stream. It talks to one member at a
 * time; {@link rotate} goes on to the next one over a new connection. Every call has a deadline and is measured.
 */
export class EtcdClient implements ICallable<undefined> {
  readonly kv = new KVClient(this);
  readonly lease = new LeaseClient(this);
  readonly callOptionsFactory = undefined;
  readonly #auth = new AuthClient(this);
  readonly #maintenance = new MaintenanceClient(this);
  readonly #watch = new WatchClient(this);
  readonly #connection: EtcdConnection;
  readonly #context: ClientContext;
  #turn = 0;
  #link: Link | undefined;
  #token: Promise<string | undefined> | undefined;
  #closed = false;

  constructor(connection: EtcdConnection, context: ClientContext) {
    this.#connection = connection;
    this.#context = context;
  }

  /** Of the member in use; holds no secret. */
  get endpoint(): string {
    const { endpoints } = this.#connection;
    return endpoints[this.#turn % endpoints.length] ?? "";
  }

  /** Counts the connections. */
  get turn(): number {
    return this.#turn;
  }

  get endpointCount(): number {
    return this.#connection.endpoints.length;
  }

  /** Goes on to the next member. Calls under way end on the connection they have. */
  rotate(): void {
    this.#turn++;
    this.#drop();
  }

  /** Forgets the login; the next call logs in again. */
  forgetLogin(): void {
    this.#token = undefined;
  }

  /**
   * @returns the empty string when the server does not tell it to us
   * @throws RegistryError
   */
  async serverVersion(timeoutMs: number, signal: AbortSignal): Promise<string> {
    try {
      const { version } = await this.#maintenance.status(within(timeoutMs, signal));
      return version;
    } catch (error) {
      if (!(error instanceof RegistryError && error.code === "PermissionDenied")) throw error;
      return await versionOverHttp(this.endpoint, this.#connection.tls, timeoutMs, signal);
    }
  }

  /** @throws RegistryError */
  async openWatch(signal: AbortSignal): Promise<Awaited<ReturnType<WatchClient["watch"]>>> {
    const stream = await this.#watch.watch();
    const onAbort = (): void => {
      stream.cancel();
    };
    signal.addEventListener("abort", onAbort, { once: true });
    stream.on("status", () => {
      signal.removeEventListener("abort", onAbort);
    });
    return stream;
  }

  close(): void {
    this.#closed = true;
    this.#drop();
  }

  /**
   * Runs one unary call; etcd3's clients call it.
   * @throws RegistryError, {@link NotSent}, or the signal's reason
   */
  async exec<T>(service: ServiceName, method: string, request: unknown, options?: CallOptions): Promise<T> {
    const call = options as EtcdCall;
    try {
      return await this.#attempt<T>(service, method, request, call);
    } catch (error) {
      // Tokens expire, and every change of users or roles makes them old. etcd had not begun the request.
      const isStaleLogin =
        error instanceof RegistryError &&
        error.code === "Unauthenticated" &&
        this.#connection.credentials !== undefined;
      if (!isStaleLogin || service === "Auth") throw error;
      this.forgetLogin();
      return await this.#attempt<T>(service, method, request, call);
    }
  }

  /** etcd3's clients open streams by it. */
  async withConnection<R>(
    service: ServiceName,
    open: (link: { resource: undefined; client: Client; metadata: Metadata }) => Promise<R> | R,
  ): Promise<R> {
    const metadata = await this.#metadata();
    // Lets a member that lost its quorum end the stream, instead of leaving it open and silent.
    metadata.set("hasleader", "true");
    return await open({ resource: undefined, client: this.#service(service), metadata });
  }

  /** etcd3's clients report broken streams here; ours are watched where they are read. */
  markFailed(): void {
    return;
  }

  async #attempt<T>(service: ServiceName, method: string, request: unknown, call: EtcdCall): Promise<T> {
    call.signal.throwIfAborted();
    const metadata = service === "Auth" ? new Metadata() : await this.#metadata();
    call.signal.throwIfAborted();
    const { clock, breaker, metrics } = this.#context;
    const endpoint = this.endpoint;
    const client = this.#service(service);
    const startedAt = clock.monotonic();
    if (call.beforeSend?.() === false) throw new NotSent();
    try {
      const answer = await this.#send(client, method, request, metadata, call);
      const afterMs = clock.monotonic() - startedAt;
      metrics.call(method, breaker.answered(afterMs), afterMs / 1000);
      return answer as T;
    } catch (error) {
      const seconds = (clock.monotonic() - startedAt) / 1000;
      if (call.signal.aborted) {
        metrics.call(method, "Aborted", seconds);
        call.signal.throwIfAborted();
      }
      const failure = registryErrorOf(error, method, endpoint);
      if (failure.code === "TimedOut") breaker.timedOut();
      metrics.call(method, failure.code, seconds);
      throw failure;
    }
  }

  async #send(client: Client, method: string, request: unknown, metadata: Metadata, call: EtcdCall): Promise<unknown> {
    // grpc-js counts a deadline by the wall clock it reads at this moment.
    const options: CallOptions = { deadline: this.#context.clock.wall().getTime() + call.timeoutMs };
    const run = (client as unknown as Record<string, UnaryMethod>)[method];
    if (run === undefined) throw new TypeError(`etcd has no call ${method}`);
    return await new Promise((resolve, reject) => {
      const running = run.call(client, request, metadata, options, (error, response) => {
        call.signal.removeEventListener("abort", onAbort);
        if (error === null) resolve(response);
        else reject(error);
      });
      const onAbort = (): void => {
        running.cancel();
      };
      call.signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  async #metadata(): Promise<Metadata> {
    const metadata = new Metadata();
    if (this.#connection.credentials === undefined) return metadata;
    this.#token ??= this.#login();
    const login = this.#token;
    try {
      const token = await login;
      if (token !== undefined) metadata.set("token", token);
      return metadata;
    } catch (error) {
      if (this.#token === login) this.#token = undefined;
      throw error;
    }
  }

  /** @returns undefined when the server knows no users: then everybody may do everything */
  async #login(): Promise<string | undefined> {
    const { username = "", password = "" } = this.#connection.credentials ?? {};
    // Shared by all callers that wait for it, so it must not end when one of them does.
    const call = within(LOGIN_TIMEOUT, new AbortController().signal);
    try {
      const { token } = await this.#auth.authenticate({ name: username, password }, call);
      return token;
    } catch (error) {
      if (isAuthDisabled(error)) return undefined;
      throw error;
    }
  }

  #service(name: ServiceName): Client {
    if (this.#closed) throw new RegistryError("Unreachable", "the connection was closed");
    this.#link ??= this.#connect();
    return this.#link.host.getServiceClient(name);
  }

  #connect(): Link {
    const { tls } = this.#connection;
    const address = this.endpoint.replace(/^https?:\/\//, "").replace(/\/$/, "");
    const options: ClientOptions = { ...CHANNEL_OPTIONS };
    if (tls?.serverName !== undefined) {
      options["grpc.ssl_target_name_override"] = tls.serverName;
      options["grpc.default_authority"] = tls.serverName;
    }
    const trust = this.#trust();
    const channel = new Channel(`dns:${address}`, trust, options);
    return { channel, host: new Host(address, trust, { ...options, channelOverride: channel }) };
  }

  /** @throws RegistryError `TLSFailed` when our own certificates can not be used */
  #trust(): ChannelCredentials {
    if (!this.endpoint.startsWith("https://")) return channelCredentials.createInsecure();
    const { ca, key, certificate } = this.#connection.tls ?? {};
    try {
      // OpenSSL skips what it can not read, and would then trust nobody without saying why.
      if (ca !== undefined) new X509Certificate(ca);
      return channelCredentials.createSsl(ca ?? null, key ?? null, certificate ?? null);
    } catch {
      // OpenSSL's message may quote what it could not read.
      throw new RegistryError("TLSFailed", "the CA, client certificate or key in the Secret is not valid PEM");
    }
  }

  #drop(): void {
    this.#link?.channel.close();
    this.#link = undefined;
  }
}

/** Milliseconds; a login hashes the password with bcrypt, which takes a server about a tenth of a second. */
const LOGIN_TIMEOUT = 5_000;

interface Link {
  readonly channel: Channel;
  readonly host: Host;
}
