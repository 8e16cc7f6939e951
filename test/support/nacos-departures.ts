import { setTimeout as delay } from "node:timers/promises";

import type { NacosApi } from "./nacos-api.ts";

/** Shortest wait between two lists, milliseconds. */
const PAUSE_MS = 50;
/** What listing takes, the server has twice for others, up to so many milliseconds: it may have been stopped meanwhile. */
const REST = 2;
const LONGEST_PAUSE_MS = 1_000;

/** Tells which instances leave a Nacos, or its rotation, by listing all of it again and again: Nacos pushes no such thing. */
export class NacosDepartures {
  readonly #api: NacosApi;
  readonly #left: (id: string) => void;
  readonly #closed = new AbortController();

  /** @param left gets the id `namespace/group/service/cluster/ip/port` */
  constructor(api: NacosApi, left: (id: string) => void) {
    this.#api = api;
    this.#left = left;
  }

  /** Resolves when the first list was read. */
  async start(): Promise<void> {
    void this.#follow(await this.#inRotation());
  }

  close(): void {
    this.#closed.abort();
  }

  async #follow(first: ReadonlySet<string>): Promise<void> {
    let listed = first;
    let took = 0;
    while (!this.#closed.signal.aborted) {
      const pause = Math.min(Math.max(PAUSE_MS, took * REST), LONGEST_PAUSE_MS);
      await delay(pause, undefined, { ref: false });
      const startedAt = performance.now();
      // A server that does not answer says nothing about what it holds.
      const now = await this.#inRotation().catch(() => listed);
      took = performance.now() - startedAt;
      for (const id of listed) if (!now.has(id)) this.#left(id);
      listed = now;
    }
  }

  async #inRotation(): Promise<ReadonlySet<string>> {
    const all = await this.#api.all();
    return new Set([...all].filter(([, { enabled }]) => enabled).map(([id]) => id));
  }
}
