import type { EtcdServer, KeyEvent, Writer } from "./etcd-server.ts";
import type { SeededRandom } from "./random.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** How the processes of one workload register. */
export interface Style {
  readonly services: readonly string[];
  readonly layout: "EtcdNaming" | "Kratos";
  /** The key names the address (a successor writes the same key), the process, or the pod's DNS name. */
  readonly keyedBy: "Address" | "Process" | "HostName";
  /** 0: without a lease. */
  readonly ttlMs: number;
  /** What a framework does about its key besides keeping the lease. */
  readonly upkeep: "None" | "PutsBack" | "PutsAgain";
  /** How often a process that may end in peace takes its registration with it. */
  readonly deregisters: number;
}

interface Registration {
  readonly key: string;
  readonly value: string;
}

/** How often a framework without a lease writes the same again, milliseconds. */
const PUT_AGAIN_MS = 20_000;

const RETRY_MS = 500;

/** One process of a container: from its start until it ends it counts as alive, whatever anybody says. */
export class Process implements Writer {
  readonly name: string;
  /** UID of its pod. */
  readonly podUid: string;
  alive = true;
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  readonly #etcd: EtcdServer;
  readonly #style: Style;
  readonly #registrations: readonly Registration[];
  #lease = "0";
  #registered = false;
  #unreachableUntil = -Infinity;

  constructor(
    world: { readonly time: VirtualTime; readonly random: SeededRandom; readonly etcd: EtcdServer },
    identity: {
      readonly name: string;
      readonly podUid: string;
      readonly host: string;
      readonly address: string;
      readonly port: number;
    },
    style: Style,
  ) {
    this.#time = world.time;
    this.#random = world.random;
    this.#etcd = world.etcd;
    this.name = identity.name;
    this.podUid = identity.podUid;
    this.#style = style;
    this.#registrations = style.services.map((service) => registrationOf(service, identity, style));
    this.#time.after(this.#random.delay(5, 3_000), () => this.#start());
    this.#etcd.subscribe((event) => this.#notice(event));
  }

  get keys(): readonly string[] {
    return this.#registrations.map(({ key }) => key);
  }

  /** How long it can be late with a beat and still be in time, as clients that beat at a third of the TTL are. */
  get spareMs(): number {
    return this.#style.ttlMs / 4;
  }

  /** Its connection to the registry is gone for a while; it goes on serving. */
  loseRegistry(ms: number): void {
    this.#unreachableUntil = this.#time.monotonic() + ms;
  }

  /** Ends in peace: it may deregister first. */
  end(): void {
    if (!this.alive) return;
    if (this.#registered && this.#reachable && this.#random.chance(this.#style.deregisters)) {
      for (const { key } of this.#registrations) {
        if (this.#etcd.get(key)?.writer === this) this.#etcd.delete(key, `${this.name} deregisters`);
      }
    }
    this.alive = false;
  }

  /** Ends at once. */
  kill(): void {
    this.alive = false;
  }

  #start(): void {
    if (!this.alive) return;
    this.#register();
    const { ttlMs, upkeep } = this.#style;
    if (ttlMs > 0) this.#repeat(ttlMs / 3, () => this.#beat());
    if (upkeep === "PutsAgain") this.#repeat(ttlMs > 0 ? ttlMs / 3 : PUT_AGAIN_MS, () => this.#putAll());
  }

  #register(): void {
    this.#registered = true;
    if (this.#style.ttlMs > 0) this.#lease = this.#etcd.grant(this.#style.ttlMs);
    this.#putAll();
  }

  #putAll(): void {
    if (!this.#reachable) return;
    for (const { key, value } of this.#registrations) {
      this.#lease = this.#etcd.put(key, value, this.#lease, this) ?? this.#lease;
    }
  }

  #beat(): void {
    if (!this.alive) return;
    // Clients do not wait for the next beat when one fails.
    if (!this.#reachable) this.#time.after(RETRY_MS, () => this.#beat());
    else if (!this.#etcd.keepAlive(this.#lease)) this.#register();
  }

  #notice({ type, stored }: KeyEvent): void {
    if (type !== "DELETE" || !this.alive || !this.#registered || this.#style.upkeep !== "PutsBack") return;
    if (!this.#registrations.some(({ key }) => key === stored.key)) return;
    this.#time.after(this.#random.delay(1, 800), () => {
      if (this.alive) this.#putAll();
    });
  }

  get #reachable(): boolean {
    return this.#time.monotonic() >= this.#unreachableUntil;
  }

  #repeat(ms: number, run: () => void): void {
    this.#time.after(ms * this.#random.between(0.93, 1.02), () => {
      if (!this.alive) return;
      run();
      this.#repeat(ms, run);
    });
  }
}

function registrationOf(
  service: string,
  { name, host, address, port }: { name: string; host: string; address: string; port: number },
  { layout, keyedBy }: Style,
): Registration {
  const at = keyedBy === "HostName" ? host : address;
  const id = keyedBy === "Process" ? name.replaceAll("/", "-") : `${at}:${port}`;
  if (layout === "EtcdNaming") {
    return { key: `naming/${service}/${id}`, value: JSON.stringify({ Op: 0, Addr: `${at}:${port}`, Metadata: null }) };
  }
  const endpoints = [`http://${at}:${port}`, `grpc://${at}:${port + 1000}`];
  return { key: `/microservices/${service}/${id}`, value: JSON.stringify({ id, name: service, endpoints }) };
}
