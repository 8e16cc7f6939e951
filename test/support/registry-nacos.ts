import { onTestFinished } from "vitest";

import { systemClock } from "../../src/clock/system.ts";
import { NacosAdapter } from "../../src/registry/nacos/adapter.ts";
import type { NacosAdapterOptions } from "../../src/registry/nacos/options.ts";
import { RegistryView } from "../../src/registry/view.ts";
import { type NacosServer, startNacos } from "../env/index.ts";
import { TcpProxy } from "../env/proxy/index.ts";
import { NacosApi, type NacosRegistration } from "./nacos-api.ts";
import type { ContractInstance, RegistryHarness } from "./registry-contract/stage.ts";
import type { Counted } from "./registry-etcd.ts";

/** Fast enough that a test need not wait; what the server does by itself takes its own time. */
const QUICK = {
  pollEvery: 150,
  callTimeout: 1_000,
  listTimeout: 5_000,
  splitAfter: 2_000,
  syncLag: 500,
  retryMin: 50,
  retryMax: 500,
};

/** An adapter with quick timing and metrics that can be looked at. */
export function makeNacosAdapter(options: Partial<NacosAdapterOptions> & Pick<NacosAdapterOptions, "connection">): {
  readonly adapter: NacosAdapter;
  readonly counted: Counted;
} {
  const counted: Counted = { calls: new Map(), lists: [], watchEnds: [], repaired: 0 };
  const adapter = new NacosAdapter({
    name: "nacos",
    scope: { namespace: "public", groups: [], servicePrefixes: [] },
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
export function runNacosAdapter(adapter: NacosAdapter): RegistryView {
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

/** Id of the record of a registration. */
export function nacosId({ namespace, group, service, cluster, ip, port }: NacosRegistration): string {
  return [namespace ?? "public", group ?? "DEFAULT_GROUP", service, cluster ?? "DEFAULT", ip, String(port)].join("/");
}

/** Starts a Nacos of its own for the tests of one file. */
export async function startNacosHarness(): Promise<RegistryHarness> {
  const server = await startNacos();
  const { hostname, port } = new URL(server.url);
  const proxy = await TcpProxy.start({ host: hostname, port: Number(port) });
  return new NacosHarness(server, proxy);
}

/** Processes that register over HTTP; those without a ttl are persistent. */
class NacosHarness implements RegistryHarness {
  readonly freshWithin = 5_000;
  readonly life = "Heartbeat";
  readonly #server: NacosServer;
  readonly #proxy: TcpProxy;
  readonly #api: NacosApi;
  readonly #written = new Map<string, NacosRegistration>();
  /** By service and instance. */
  readonly #ports = new Map<string, number>();
  #isRefusing = false;
  #processes = 0;

  constructor(server: NacosServer, proxy: TcpProxy) {
    this.#server = server;
    this.#proxy = proxy;
    this.#api = new NacosApi(server.url);
  }

  adapter(): NacosAdapter {
    return makeNacosAdapter({ connection: { endpoints: [`http://127.0.0.1:${String(this.#proxy.port)}`] } }).adapter;
  }

  async register({ service, instance, host: ip, port, ttl }: ContractInstance): Promise<string> {
    this.#processes++;
    const ms = ttl * 1000;
    const life = {
      "preserved.heart.beat.interval": String(ms / 4),
      "preserved.heart.beat.timeout": String(ms),
      "preserved.ip.delete.timeout": String(ms),
    };
    // Processes that write the very same are told apart by nobody: see registry-nacos-writes.test.ts.
    const metadata = { process: String(this.#processes), ...(ttl === 0 ? {} : life) };
    const name = `${service} ${instance}`;
    // An address has one instance in a service: others of the same process' host are at other ports.
    const taken = [...this.#ports.entries()].filter(([other]) => other.startsWith(`${service} `)).map(([, at]) => at);
    const own = this.#ports.get(name) ?? Math.max(port, ...taken.map((at) => at + 1));
    this.#ports.set(name, own);
    const registration = { service, cluster: instance, ip, port: own, metadata, ephemeral: ttl !== 0 };
    await this.#api.register(registration);
    const id = nacosId(registration);
    this.#written.set(id, registration);
    return id;
  }

  async rewrite(id: string): Promise<void> {
    await this.#api.register(this.#known(id));
  }

  async keepAlive(id: string): Promise<void> {
    await this.#api.beat(this.#known(id));
  }

  async remove(id: string): Promise<void> {
    await this.#api.remove(this.#known(id));
  }

  async isListed(id: string): Promise<boolean> {
    // Lists lag behind; who registered does not.
    const { service, ip, port } = this.#known(id);
    const publishers = await this.#api.publishers(service);
    return publishers.some((clientId) => clientId.startsWith(`${ip}:${String(port)}#`));
  }

  undoRecords(): Promise<readonly string[]> {
    return Promise.resolve([]);
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

  #known(id: string): NacosRegistration {
    const written = this.#written.get(id);
    if (written === undefined) throw new Error(`${id} was never registered`);
    return written;
  }
}
