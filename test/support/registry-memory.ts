import { systemClock } from "../../src/clock/system.ts";
import { makeEndpoint } from "../../src/registry/endpoint.ts";
import { MemoryAdapter } from "../../src/registry/memory/adapter.ts";
import { MemoryRegistry } from "../../src/registry/memory/registry.ts";
import type { ContractInstance, RegistryHarness } from "./registry-contract/stage.ts";

/** A registry in memory with the system's clock. */
export function startMemoryHarness(): Promise<RegistryHarness> {
  return Promise.resolve(new MemoryHarness());
}

class MemoryHarness implements RegistryHarness {
  readonly freshWithin = 1_000;
  readonly #registry = new MemoryRegistry(systemClock, { quarantine: true });

  adapter(): MemoryAdapter {
    return new MemoryAdapter({
      name: "memory",
      registry: this.#registry,
      clock: systemClock,
      breaker: { slowAfterMs: 200, timeouts: 3 },
      canaryEvery: 20,
      callTimeout: 200,
    });
  }

  register({ service, instance, host, port, ttl }: ContractInstance): Promise<string> {
    const endpoint = makeEndpoint(host, String(port));
    if (endpoint === undefined) throw new Error(`${host} is no host`);
    const id = `${service}/${instance}`;
    const endpoints = Object.freeze([endpoint]);
    this.#registry.register({ id, service, instance, endpoints, ttlMs: ttl * 1000 });
    return Promise.resolve(id);
  }

  rewrite(id: string): Promise<void> {
    this.#registry.rewrite(id);
    return Promise.resolve();
  }

  keepAlive(id: string): Promise<void> {
    this.#registry.keepAlive(id);
    return Promise.resolve();
  }

  remove(id: string): Promise<void> {
    this.#registry.remove(id);
    return Promise.resolve();
  }

  isListed(id: string): Promise<boolean> {
    return Promise.resolve(this.#registry.get(id) !== undefined);
  }

  undoRecords(): Promise<readonly string[]> {
    return Promise.resolve([...this.#registry.undoRecords.values()]);
  }

  hold(): void {
    this.#registry.hold();
  }

  release(): void {
    this.#registry.release();
  }

  cut(): void {
    this.#registry.down();
    this.#registry.up();
  }

  refuse(): Promise<void> {
    this.#registry.down();
    return Promise.resolve();
  }

  accept(): Promise<void> {
    this.#registry.up();
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
