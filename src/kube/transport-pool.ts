import type { KubeConfig } from "@kubernetes/client-node";
import { Agent, type Dispatcher, ProxyAgent } from "undici";

import type { Clock } from "../clock/clock.ts";
import { KubeError } from "./http-errors.ts";
import { type Credentials, readCredentials, type TlsSettings } from "./transport-credentials.ts";

/** Credentials are read again when they are this old: soon enough for any rotation, seldom enough to cost nothing. */
const credentialsLifeMs = 5_000;
/** A credential plugin that says nothing for this long is given up, so that the next call can start it anew. */
const credentialsDeadlineMs = 20_000;
/** Calls under way at once; more wait in line, so that a burst does not become hundreds of TLS handshakes. */
const callConnections = 32;
/** Below the 90 s after which an API server closes an idle connection. */
const idleConnectionMs = 60_000;
/** client-go's interval: shorter than the idle timeouts of load balancers. */
const tcpKeepAliveMs = 30_000;

/** Connections that share one set of TLS settings. */
interface Generation {
  readonly fingerprint: string;
  /** Short calls. */
  readonly calls: Dispatcher;
  /** Watches: one connection each, so that they never keep a call waiting. */
  readonly streams: Dispatcher;
}

/** The connections and credentials for one call. */
export interface Lease {
  readonly dispatcher: Dispatcher;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Keeps pooled connections that fit the credentials of the moment. When CA or client certificate change, new connections
 * are made and the old ones are drained: what runs on them ends undisturbed.
 */
export class ConnectionPools {
  readonly #config: KubeConfig;
  readonly #clock: Clock;
  readonly #proxyUrl: string | undefined;
  #credentials: Credentials | undefined;
  #readAt = -Infinity;
  #reading: Promise<Credentials> | undefined;
  #generation: Generation | undefined;
  readonly #draining = new Set<Generation>();
  #closed = false;

  constructor(config: KubeConfig, clock: Clock) {
    this.#config = config;
    this.#clock = clock;
    const proxyUrl = config.getCurrentCluster()?.proxyUrl;
    this.#proxyUrl = proxyUrl === "" ? undefined : proxyUrl;
    if (this.#proxyUrl !== undefined && !/^https?:/.test(this.#proxyUrl))
      throw new KubeError("BadCredentials", "the kubeconfig's proxy-url must be http:// or https://");
  }

  /** @throws KubeError `BadCredentials` or `Closed` */
  async lease(kind: "call" | "stream"): Promise<Lease> {
    const credentials = await this.#current();
    if (this.#closed) throw new KubeError("Closed", "the connection to the API server was closed by this process");
    if (this.#generation?.fingerprint !== credentials.tlsFingerprint) this.#replace(credentials);
    const generation = this.#generation as unknown as Generation;
    return { dispatcher: kind === "call" ? generation.calls : generation.streams, headers: credentials.headers };
  }

  /** Makes the next {@link lease} read the credentials anew: the server refused them. */
  expire(): void {
    this.#readAt = -Infinity;
  }

  /** Breaks every connection at once. */
  async destroy(): Promise<void> {
    this.#closed = true;
    const all = [...this.#draining, ...(this.#generation === undefined ? [] : [this.#generation])];
    this.#generation = undefined;
    await Promise.allSettled(all.flatMap((g) => [g.calls.destroy(), g.streams.destroy()]));
  }

  async #current(): Promise<Credentials> {
    if (this.#credentials !== undefined && this.#clock.monotonic() - this.#readAt < credentialsLifeMs)
      return this.#credentials;
    this.#reading ??= this.#read();
    return await this.#reading;
  }

  async #read(): Promise<Credentials> {
    const timeout = Promise.withResolvers<never>();
    const timer = this.#clock.setTimer(() => {
      timeout.reject(new KubeError("BadCredentials", "the credential plugin of the kubeconfig did not answer in time"));
    }, credentialsDeadlineMs);
    try {
      const read = await Promise.race([readCredentials(this.#config), timeout.promise]);
      this.#credentials = read;
      return read;
    } catch (error) {
      // A file that is being replaced may be missing for a moment: what we had is still the best guess.
      if (this.#credentials === undefined) throw error;
      return this.#credentials;
    } finally {
      timer.cancel();
      this.#readAt = this.#clock.monotonic();
      this.#reading = undefined;
    }
  }

  #replace(credentials: Credentials): void {
    const old = this.#generation;
    this.#generation = {
      fingerprint: credentials.tlsFingerprint,
      calls: this.#dispatcher(credentials.tls, callConnections),
      streams: this.#dispatcher(credentials.tls, null),
    };
    if (old === undefined) return;
    this.#draining.add(old);
    void Promise.allSettled([old.calls.close(), old.streams.close()]).then(() => this.#draining.delete(old));
  }

  #dispatcher(tls: TlsSettings, connections: number | null): Dispatcher {
    const connect = { ...tls, keepAlive: true, keepAliveInitialDelay: tcpKeepAliveMs };
    const options: Agent.Options = {
      connections,
      pipelining: 1,
      // One TCP stream a call: over HTTP/2 a stalled watch could hold up the reads that confirm an eviction.
      allowH2: false,
      keepAliveTimeout: idleConnectionMs,
      keepAliveMaxTimeout: idleConnectionMs,
      // The transport's own deadlines, on the injected clock, are the only ones.
      headersTimeout: 0,
      bodyTimeout: 0,
      connectTimeout: 10_000,
    };
    if (this.#proxyUrl !== undefined) return new ProxyAgent({ ...options, uri: this.#proxyUrl, requestTls: connect });
    return new Agent({ ...options, connect });
  }
}
