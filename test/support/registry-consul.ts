import { onTestFinished } from "vitest";

import { systemClock } from "../../src/clock/system.ts";
import { ConsulAdapter } from "../../src/registry/consul/adapter.ts";
import type { ConsulAdapterOptions } from "../../src/registry/consul/options.ts";
import type { RegistryAdapter } from "../../src/registry/port.ts";
import { RegistryView } from "../../src/registry/view.ts";
import { type ConsulServer, startConsul } from "../env/index.ts";
import { TcpProxy } from "../env/proxy/index.ts";
import { type CatalogRegistration, catalogRegistration, ConsulApi, EXTERNAL_NODE } from "./consul-api.ts";
import type { ContractInstance, RegistryHarness } from "./registry-contract/stage.ts";
import type { Counted } from "./registry-etcd.ts";

/** Fast enough that a test need not wait; the proportions are those of the defaults. */
export const QUICK = {
  canaryEvery: 150,
  callTimeout: 1_000,
  listTimeout: 5_000,
  waitFor: 5_000,
  compareEvery: 600_000,
  reconnectMin: 50,
  reconnectMax: 500,
};

let holders = 0;

/** An adapter with quick timing, a holder of its own and metrics that can be looked at. */
export function makeConsulAdapter(options: Partial<ConsulAdapterOptions> & Pick<ConsulAdapterOptions, "connection">): {
  readonly adapter: ConsulAdapter;
  readonly counted: Counted;
} {
  holders++;
  const counted: Counted = { calls: new Map(), lists: [], watchEnds: [], repaired: 0 };
  const adapter = new ConsulAdapter({
    name: "consul",
    scope: {},
    servicePrefixes: [],
    recordPrefix: "hygeia",
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
export function runConsulAdapter(adapter: RegistryAdapter): RegistryView {
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

/** Starts a Consul of its own for the tests of one file. */
export async function startConsulHarness(): Promise<RegistryHarness> {
  const server = await startConsul();
  const { hostname, port } = new URL(server.url);
  const proxy = await TcpProxy.start({ host: hostname, port: Number(port) });
  return new ConsulHarness(server, proxy);
}

/** Entries of an external node: nobody keeps them. */
class ConsulHarness implements RegistryHarness {
  readonly freshWithin = 5_000;
  readonly life = "None";
  readonly #server: ConsulServer;
  readonly #proxy: TcpProxy;
  readonly #api: ConsulApi;
  readonly #written = new Map<string, CatalogRegistration>();
  #isRefusing = false;
  #processes = 0;
  #beats = 0;

  constructor(server: ConsulServer, proxy: TcpProxy) {
    this.#server = server;
    this.#proxy = proxy;
    this.#api = new ConsulApi(server.url);
  }

  adapter(): ConsulAdapter {
    return makeConsulAdapter({ connection: { endpoints: [`http://127.0.0.1:${String(this.#proxy.port)}`] } }).adapter;
  }

  async register({ service, instance, host, port, ttl }: ContractInstance): Promise<string> {
    this.#processes++;
    // Processes that write the very same are told apart by nobody: see registry-consul-writes.test.ts.
    const meta = { process: String(this.#processes) };
    const registration: CatalogRegistration = {
      id: instance,
      service,
      host,
      port,
      meta,
      ...(ttl === 0 ? {} : { status: "passing" }),
    };
    await this.#api.put("/v1/catalog/register", catalogRegistration(registration));
    const id = `${EXTERNAL_NODE}/${instance}`;
    this.#written.set(id, registration);
    return id;
  }

  async rewrite(id: string): Promise<void> {
    await this.#api.put("/v1/catalog/register", catalogRegistration(this.#known(id)));
  }

  async keepAlive(id: string): Promise<void> {
    this.#beats++;
    const registration = { ...this.#known(id), output: `beat ${String(this.#beats)}` };
    await this.#api.put("/v1/catalog/register", catalogRegistration(registration));
  }

  async remove(id: string): Promise<void> {
    const { id: ServiceID } = this.#known(id);
    await this.#api.put("/v1/catalog/deregister", { Node: EXTERNAL_NODE, ServiceID });
  }

  async isListed(id: string): Promise<boolean> {
    return (await this.#api.services(EXTERNAL_NODE))?.includes(this.#known(id).id) ?? false;
  }

  async undoRecords(): Promise<readonly string[]> {
    return await this.#api.values("hygeia/c0ffee/undo/");
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
    await this.#proxy.stop();
    await this.#server.stop();
  }

  #known(id: string): CatalogRegistration {
    const written = this.#written.get(id);
    if (written === undefined) throw new Error(`${id} was never registered`);
    return written;
  }
}
