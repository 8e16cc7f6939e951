import type { Clock } from "../../src/clock/clock.ts";
import { makeEndpoint } from "../../src/registry/endpoint.ts";
import { MemoryAdapter } from "../../src/registry/memory/adapter.ts";
import { MemoryRegistry, type MemoryRegistryOptions } from "../../src/registry/memory/registry.ts";
import type { RegistryAdapter } from "../../src/registry/port.ts";
import { RegistryView } from "../../src/registry/view.ts";

const REFRESH_MS = 1_000;

/** Replaces methods of an adapter: what a real one would do when its server does not. */
export type Disturb = (plain: RegistryAdapter) => Partial<RegistryAdapter>;

/** An adapter for a registry inside the process. */
export function memoryAdapter(
  name: string,
  registry: MemoryRegistry,
  clock: Clock,
  disturb?: Disturb,
): RegistryAdapter {
  const memory = new MemoryAdapter({
    name,
    registry,
    clock,
    breaker: { slowAfterMs: 200, timeouts: 3 },
    canaryEvery: REFRESH_MS,
    callTimeout: 3_000,
  });
  const plain: RegistryAdapter = {
    name: memory.name,
    type: memory.type,
    capabilities: memory.capabilities,
    run: (sink, signal) => memory.run(sink, signal),
    read: (id, signal) => memory.read(id, signal),
    readLife: (record, signal) => memory.readLife(record, signal),
    deregister: (record, fence, signal) => memory.deregister(record, fence, signal),
    ...(memory.capabilities.quarantine && {
      quarantine: (record, fence, signal) => memory.quarantine(record, fence, signal),
      release: (record, fence, signal) => memory.release(record, fence, signal),
    }),
    put: (payload, signal) => memory.put(payload, signal),
    close: () => memory.close(),
  };
  return { ...plain, ...disturb?.(plain) };
}

/** What a process says of itself. */
export interface Registration {
  readonly service?: string;
  readonly port?: number;
  readonly ttlMs?: number;
  /** `No`: it hangs on a connection, and a delete does nothing. */
  readonly removable?: "Yes" | "No";
}

/** A process registers itself, in place of whoever had the id. */
export function register(
  server: MemoryRegistry,
  id: string,
  ip: string,
  { service = "shop", port = 80, ttlMs = 0, removable = "Yes" }: Registration = {},
): void {
  const endpoint = makeEndpoint(ip, String(port));
  if (endpoint === undefined) throw new Error(`${ip} is no host`);
  server.register({ id, service, instance: id, endpoints: [endpoint], ttlMs, removable });
}

/** A registry inside the process with an adapter that watches it: what a registry is to the code above the port. */
export class WatchedRegistry {
  readonly server: MemoryRegistry;
  readonly adapter: RegistryAdapter;
  readonly view: RegistryView;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(name: string, clock: Clock, disturb?: Disturb, options?: MemoryRegistryOptions) {
    this.server = new MemoryRegistry(clock, options);
    this.view = new RegistryView(name);
    this.adapter = memoryAdapter(name, this.server, clock, disturb);
    this.#running = this.adapter.run(this.view, this.#stop.signal);
  }

  register(id: string, ip: string, registration?: Registration): void {
    register(this.server, id, ip, registration);
  }

  isListed(id: string): boolean {
    return this.server.get(id) !== undefined;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}
