import { onTestFinished } from "vitest";

import { systemClock } from "../../src/clock/system.ts";
import { EtcdAdapter } from "../../src/registry/etcd/adapter.ts";
import type { EtcdAdapterOptions } from "../../src/registry/etcd/options.ts";
import { RegistryView } from "../../src/registry/view.ts";
import { TcpProxy } from "../env/proxy/index.ts";
import { type EtcdServer, startEtcd } from "../env/index.ts";
import { EtcdSession, kratos } from "./registrants/index.ts";
import type { ContractInstance, RegistryHarness } from "./registry-contract/stage.ts";

/** Fast enough that a test need not wait; the proportions are those of the defaults. */
export const QUICK = {
  canaryEvery: 150,
  callTimeout: 1_000,
  pageTimeout: 5_000,
  compareEvery: 600_000,
  reconnectMin: 50,
  reconnectMax: 500,
};

/** What an adapter told its metrics. */
export interface Counted {
  /** `<operation> <result>` -> how often. */
  readonly calls: Map<string, number>;
  readonly lists: string[];
  readonly watchEnds: string[];
  repaired: number;
}

let holders = 0;

/** An adapter with quick timing, a holder of its own and metrics that can be looked at. */
export function makeEtcdAdapter(options: Partial<EtcdAdapterOptions> & Pick<EtcdAdapterOptions, "connection">): {
  readonly adapter: EtcdAdapter;
  readonly counted: Counted;
} {
  holders++;
  const counted: Counted = { calls: new Map(), lists: [], watchEnds: [], repaired: 0 };
  const adapter = new EtcdAdapter({
    name: "etcd",
    layouts: [{ layout: "Kratos" }],
    recordPrefix: "/hygeia",
    clusterUid: "c0ffee",
    holder: `holder-${String(holders)}`,
    breaker: { slowAfterMs: 200, timeouts: 3 },
    clock: systemClock,
    random: Math.random,
    metrics: {
      call: (operation, result) => {
        const key = `${operation} ${result}`;
        counted.calls.set(key, (counted.calls.get(key) ?? 0) + 1);
      },
      listed: (cause) => counted.lists.push(cause),
      repaired: (count) => {
        counted.repaired += count;
      },
      watchEnded: (reason) => counted.watchEnds.push(reason),
    },
    timing: QUICK,
    ...options,
  });
  return { adapter, counted };
}

/** Runs the adapter into a view until the end of the test. */
export function runAdapter(adapter: EtcdAdapter): RegistryView {
  const view = new RegistryView(adapter.name);
  const running = new AbortController();
  const ended = adapter.run(view, running.signal);
  onTestFinished(async () => {
    running.abort();
    await ended;
    await adapter.close();
  });
  return view;
}

/** Starts an etcd of its own for the tests of one file. */
export async function startEtcdHarness(): Promise<RegistryHarness> {
  const server = await startEtcd();
  const { hostname, port } = new URL(server.endpoints[0] ?? "");
  const proxy = await TcpProxy.start({ host: hostname, port: Number(port) });
  return new EtcdHarness(server, proxy);
}

class EtcdHarness implements RegistryHarness {
  readonly freshWithin = 5_000;
  readonly #server: EtcdServer;
  readonly #proxy: TcpProxy;
  readonly #session: EtcdSession;
  readonly #written = new Map<string, { readonly value: string; readonly lease: string }>();
  #isRefusing = false;

  constructor(server: EtcdServer, proxy: TcpProxy) {
    this.#server = server;
    this.#proxy = proxy;
    this.#session = new EtcdSession({ endpoints: server.endpoints });
  }

  adapter(): EtcdAdapter {
    return makeEtcdAdapter({ connection: { endpoints: [`http://127.0.0.1:${String(this.#proxy.port)}`] } }).adapter;
  }

  async register({ service, instance, host, port, ttl }: ContractInstance): Promise<string> {
    const lease = ttl === 0 ? "0" : await this.#session.grant(ttl);
    const layout = kratos({ service, host, port, id: instance, endpoints: [`grpc://${host}:${String(port)}`] });
    const [entry] = layout.entries(lease);
    if (entry === undefined) throw new Error("kratos writes a key");
    this.#written.set(entry.key, { value: entry.value, lease });
    await this.#session.put(entry.key, entry.value, lease);
    return entry.key;
  }

  async rewrite(id: string): Promise<void> {
    const { value, lease } = this.#known(id);
    await this.#session.put(id, value, lease);
  }

  async keepAlive(id: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#session
        .renew(this.#known(id).lease, () => {
          resolve();
        })
        .catch(reject);
    });
  }

  async remove(id: string): Promise<void> {
    await this.#session.delete(id);
  }

  async isListed(id: string): Promise<boolean> {
    return (await this.#session.get(id)) !== undefined;
  }

  async undoRecords(): Promise<readonly string[]> {
    const { keys } = await this.#session.list("/hygeia/c0ffee/undo/");
    return keys.map(({ value }) => value);
  }

  hold(): void {
    this.#proxy.setMode({ kind: "Hold" });
  }

  release(): void {
    this.#proxy.setMode({ kind: "Forward" });
  }

  cut(): void {
    this.#proxy.cut();
  }

  async refuse(): Promise<void> {
    this.#isRefusing = true;
    await this.#proxy.refuse();
  }

  async accept(): Promise<void> {
    if (!this.#isRefusing) return;
    this.#isRefusing = false;
    await this.#proxy.listen();
  }

  async close(): Promise<void> {
    await this.#session.close();
    await this.#proxy.stop();
    await this.#server.stop();
  }

  #known(id: string): { readonly value: string; readonly lease: string } {
    const written = this.#written.get(id);
    if (written === undefined) throw new Error(`${id} was never registered`);
    return written;
  }
}
