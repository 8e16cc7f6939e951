import { RegistryError } from "../errors.ts";
import type { Listing, Membership, NacosApi } from "./api.ts";
import { type ClientContext, type NacosCall, NacosClient } from "./client.ts";
import type { NacosConnection, NacosTiming } from "./options.ts";
import { detectApi } from "./server-version.ts";

/** What one server says of everything at one time. */
export interface Reading {
  readonly server: NacosServer;
  readonly api: NacosApi;
  readonly listing: Listing;
  /** Ids of all clients; undefined when the server can not tell. */
  readonly clients: ReadonlySet<string> | undefined;
}

export interface ServerOptions {
  readonly connection: NacosConnection;
  readonly namespace: string;
  readonly context: ClientContext;
  readonly timing: NacosTiming;
}

/** One server of the cluster: its client, its API once that is known, and what it listed last. */
export class NacosServer {
  readonly endpoint: string;
  readonly #options: ServerOptions;
  readonly #client: NacosClient;
  #api: NacosApi | undefined;
  #listing: Listing | undefined;
  #membership: { readonly of: NacosApi; readonly readAt: number; readonly is: Membership | undefined } | undefined;

  constructor(endpoint: string, options: ServerOptions) {
    this.endpoint = endpoint;
    this.#options = options;
    this.#client = new NacosClient(endpoint, options.connection, options.context);
  }

  /** Found out once, and again after trouble: the server may have been upgraded meanwhile. @throws RegistryError */
  async api(signal: AbortSignal): Promise<NacosApi> {
    this.#api ??= await detectApi(this.#client, this.#options.namespace, this.call(signal));
    return this.#api;
  }

  /** A call with the usual deadline. */
  call(signal: AbortSignal): NacosCall {
    return { signal, timeoutMs: this.#options.timing.callTimeout };
  }

  /**
   * The cluster as this server knows it, at most `recheckEvery` old, and read anew after trouble; undefined when it can
   * not tell.
   * @throws RegistryError, or the signal's reason
   */
  async membership(signal: AbortSignal): Promise<Membership | undefined> {
    const { context, timing } = this.#options;
    const api = await this.api(signal);
    const now = context.clock.monotonic();
    if (this.#membership?.of !== api || now - this.#membership.readAt > timing.recheckEvery)
      this.#membership = { of: api, readAt: now, is: await api.membership(this.call(signal)) };
    return this.#membership.is;
  }

  /**
   * Reads all there is. The short call beside the long one notices a server that is silent.
   * @throws RegistryError, or the signal's reason
   */
  async read(outer: AbortSignal): Promise<Reading> {
    const over = new AbortController();
    const signal = AbortSignal.any([outer, over.signal]);
    try {
      const api = await this.api(signal);
      const { listTimeout } = this.#options.timing;
      const [listing, clients] = await Promise.all([
        api.list(this.#listing, { signal, timeoutMs: listTimeout }),
        api.clients(this.call(signal)),
      ]);
      this.#listing = listing;
      return { server: this, api, listing, clients };
    } catch (error) {
      if (error instanceof RegistryError) this.#api = undefined;
      throw error;
    } finally {
      over.abort(new RegistryError("Unreachable", "the other reading beside it failed"));
    }
  }

  close(): void {
    this.#client.close();
  }
}
