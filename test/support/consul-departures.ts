import { setTimeout as delay } from "node:timers/promises";

import { Agent, request } from "undici";

/** How long Consul holds a question to which there is no new answer. */
const WAIT = "60s";
const RETRY_MS = 200;

interface Answer<T> {
  readonly index: string;
  readonly body: T;
}

/** Tells which entries leave a Consul, by blocking queries: one for the list of services, one for each service. */
export class ConsulDepartures {
  readonly #url: string;
  readonly #left: (id: string) => void;
  readonly #followed = new Set<string>();
  readonly #closed = new AbortController();
  readonly #dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });

  /** @param left gets `node/id` */
  constructor(url: string, left: (id: string) => void) {
    this.#url = url;
    this.#left = left;
  }

  /** Resolves when the first list of services was read. */
  async start(): Promise<void> {
    const first = await this.#ask<Readonly<Record<string, unknown>>>("/v1/catalog/services", "0");
    this.#follow(first.body);
    void this.#forEver(async (index) => {
      const answer = await this.#ask<Readonly<Record<string, unknown>>>("/v1/catalog/services", index);
      this.#follow(answer.body);
      return answer.index;
    }, first.index);
  }

  close(): void {
    this.#closed.abort();
    void this.#dispatcher.destroy();
  }

  #follow(services: Readonly<Record<string, unknown>>): void {
    for (const service of Object.keys(services)) {
      if (this.#followed.has(service)) continue;
      this.#followed.add(service);
      let listed = new Set<string>();
      void this.#forEver(async (index) => {
        const path = `/v1/catalog/service/${encodeURIComponent(service)}`;
        const { index: next, body } = await this.#ask<readonly { Node: string; ServiceID: string }[]>(path, index);
        const now = new Set(body.map(({ Node, ServiceID }) => `${Node}/${ServiceID}`));
        for (const id of listed) if (!now.has(id)) this.#left(id);
        listed = now;
        return next;
      }, "0");
    }
  }

  async #forEver(turn: (index: string) => Promise<string>, from: string): Promise<void> {
    let index = from;
    while (!this.#closed.signal.aborted) {
      try {
        index = await turn(index);
      } catch {
        await delay(RETRY_MS);
      }
    }
  }

  async #ask<T>(path: string, index: string): Promise<Answer<T>> {
    const { statusCode, headers, body } = await request(`${this.#url}${path}?index=${index}&wait=${WAIT}`, {
      dispatcher: this.#dispatcher,
      signal: this.#closed.signal,
    });
    const text = await body.text();
    if (statusCode !== 200) throw new Error(`${path}: ${statusCode} ${text}`);
    return { index: String(headers["x-consul-index"]), body: JSON.parse(text) as T };
  }
}
