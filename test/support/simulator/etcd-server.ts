import type { SeededRandom } from "./random.ts";
import type { Story } from "./story.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** Who wrote a key: the only truth that the law is checked against. */
export interface Writer {
  readonly name: string;
  /** The process runs. */
  readonly alive: boolean;
}

export interface StoredKey {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  /** "0" without a lease. */
  readonly lease: string;
  readonly writer: Writer;
}

export interface KeyEvent {
  readonly revision: number;
  readonly type: "PUT" | "DELETE";
  readonly stored: StoredKey;
}

interface Lease {
  readonly grantedMs: number;
  readonly expiresAt: number;
}

interface Content {
  readonly revision: number;
  readonly keys: ReadonlyMap<string, StoredKey>;
  readonly leases: ReadonlyMap<string, Lease>;
}

/** How often etcd looks for expired leases. */
const EXPIRY_TICK_MS = 500;

/** What a registry does not do that etcd does. */
export interface Weaknesses {
  /** As Consul and Nacos: a registration that says the same as the present one moves no version and tells nobody. */
  readonly silentRewrites: boolean;
  /** As Nacos: a delete compares nothing. Whoever sends it has looked before, and takes whatever is there by then. */
  readonly unguardedDeletes: boolean;
}

/** The registry as it really is. */
export class EtcdServer {
  readonly silentRewrites: boolean;
  readonly unguardedDeletes: boolean;
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  readonly #story: Story;
  readonly #listeners: ((event: KeyEvent) => void)[] = [];
  readonly #onRestart: (() => void)[] = [];
  #keys = new Map<string, StoredKey>();
  #leases = new Map<string, Lease>();
  #revision = 1;
  /** Differs for each set of data. */
  clusterId = 1;

  constructor(time: VirtualTime, random: SeededRandom, story: Story, weaknesses: Weaknesses) {
    this.#time = time;
    this.#random = random;
    this.#story = story;
    this.silentRewrites = weaknesses.silentRewrites;
    this.unguardedDeletes = weaknesses.unguardedDeletes;
    const tick = (): void => {
      this.#expire();
      time.after(EXPIRY_TICK_MS, tick);
    };
    time.after(EXPIRY_TICK_MS, tick);
  }

  get revision(): number {
    return this.#revision;
  }

  get(key: string): StoredKey | undefined {
    return this.#keys.get(key);
  }

  list(): StoredKey[] {
    return [...this.#keys.values()];
  }

  subscribe(listener: (event: KeyEvent) => void): void {
    this.#listeners.push(listener);
  }

  /** Called when every connection breaks and the data is another one. */
  subscribeRestart(listener: () => void): void {
    this.#onRestart.push(listener);
  }

  grant(ttlMs: number): string {
    const id = String(this.#random.int(1, 2 ** 50));
    this.#leases.set(id, { grantedMs: ttlMs, expiresAt: this.#time.monotonic() + ttlMs });
    return id;
  }

  /** @returns false when there is no such lease (any more) */
  keepAlive(id: string): boolean {
    const lease = this.#leases.get(id);
    if (lease === undefined) return false;
    this.#leases.set(id, { ...lease, expiresAt: this.#time.monotonic() + lease.grantedMs });
    return true;
  }

  /** As LeaseTimeToLive answers it: whole seconds, rounded down. */
  timeToLive(id: string): { readonly grantedMs: number; readonly remainingMs: number } | undefined {
    const lease = this.#leases.get(id);
    if (lease === undefined) return undefined;
    const seconds = Math.floor((lease.expiresAt - this.#time.monotonic()) / 1000);
    return { grantedMs: lease.grantedMs, remainingMs: seconds * 1000 };
  }

  /** @returns the lease that the key is on now, or undefined when the lease is gone and nothing was written */
  put(key: string, value: string, lease: string, writer: Writer): string | undefined {
    if (lease !== "0" && !this.#leases.has(lease)) return undefined;
    const before = this.#keys.get(key);
    if (this.silentRewrites && before?.value === value) {
      this.#keys.set(key, { ...before, writer });
      if (before.lease !== "0") this.keepAlive(before.lease);
      this.#story.tell([key, writer.name], `registry: ${writer.name} registers ${key} as it stands, nobody is told`);
      return before.lease;
    }
    const modRevision = ++this.#revision;
    const stored = { key, value, lease, writer, modRevision, createRevision: before?.createRevision ?? modRevision };
    this.#keys.set(key, stored);
    this.#story.tell([key, writer.name], `registry: ${writer.name} puts ${key} at ${modRevision} with lease ${lease}`);
    this.#publish({ revision: modRevision, type: "PUT", stored });
    return lease;
  }

  delete(key: string, why: string): void {
    const stored = this.#keys.get(key);
    if (stored === undefined) return;
    this.#keys.delete(key);
    this.#story.tell([key, stored.writer.name], `registry: ${key} of ${stored.writer.name} leaves: ${why}`);
    this.#publish({ revision: ++this.#revision, type: "DELETE", stored });
  }

  /** Every lease starts again, as after an election. */
  electLeader(): void {
    for (const id of this.#leases.keys()) this.keepAlive(id);
    this.#story.tell([], "registry: a new leader gives every lease its full time");
  }

  backup(): Content {
    return { revision: this.#revision, keys: new Map(this.#keys), leases: new Map(this.#leases) };
  }

  /** Starts again with older data, or with none. */
  restore(content: Content | undefined): void {
    this.#keys = new Map(content?.keys);
    this.#leases = new Map(content?.leases);
    this.#revision = content?.revision ?? 1;
    this.clusterId += 1;
    for (const id of this.#leases.keys()) this.keepAlive(id);
    this.#story.tell(
      [],
      `registry: restarted with ${content === undefined ? "nothing" : `the data of ${content.revision}`}`,
    );
    for (const listener of this.#onRestart) listener();
  }

  #expire(): void {
    const now = this.#time.monotonic();
    for (const [id, lease] of this.#leases) {
      if (lease.expiresAt > now) continue;
      this.#leases.delete(id);
      for (const stored of this.list()) if (stored.lease === id) this.delete(stored.key, `lease ${id} expired`);
    }
  }

  #publish(event: KeyEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}
