import { setTimeout as delay } from "node:timers/promises";

import type { FixturePod } from "../cluster-fixture.ts";
import type { TruthLog, Writer } from "../truth.ts";
import type { Entry, Layout } from "./layouts.ts";
import type { EtcdSession } from "./session.ts";

export interface RegistrantOptions {
  /** The pod whose process it is; without one it is a process outside the cluster. */
  readonly pod?: FixturePod;
  readonly truth?: TruthLog;
  /** Lease in seconds instead of the framework's default. */
  readonly ttl?: number;
  /** How often a framework that polls looks for its key, in milliseconds; default 30,000. */
  readonly pollInterval?: number;
}

/** A service process that has registered itself as its framework does, and keeps its lease as Go's etcd client does. */
export class Registrant {
  readonly #session: EtcdSession;
  readonly #layout: Layout;
  readonly #options: RegistrantOptions;
  readonly #ttl: number | undefined;
  #lease = "0";
  #entries: readonly Entry[] = [];
  #heldUntil = Infinity;
  #timers: NodeJS.Timeout[] = [];
  /** Ends what a past process life still has under way. */
  #life = new AbortController();

  private constructor(session: EtcdSession, layout: Layout, options: RegistrantOptions) {
    this.#session = session;
    this.#layout = layout;
    this.#options = options;
    this.#ttl = layout.ttl === undefined ? undefined : (options.ttl ?? layout.ttl);
  }

  /** Starts a process that registers itself. */
  static async register(session: EtcdSession, layout: Layout, options: RegistrantOptions = {}): Promise<Registrant> {
    const registrant = new Registrant(session, layout, options);
    for (const directory of layout.directories) await session.put(directory, "");
    await registrant.#register();
    registrant.#live();
    return registrant;
  }

  /** The instance's key; the first of them where a framework writes several. */
  get key(): string {
    return this.#entries[0]?.key ?? "";
  }

  get keys(): readonly string[] {
    return this.#entries.map(({ key }) => key);
  }

  /** `0` without a lease. */
  get lease(): string {
    return this.#lease;
  }

  /** The process is killed: its lease runs out, its key stays until then (or for good, without a lease). */
  crash(): void {
    this.#stopLiving();
  }

  /** The process stands still (SIGSTOP, a long garbage collection) until {@link thaw}. */
  freeze(): void {
    this.#stopLiving();
  }

  /** A frozen process goes on: it renews its lease, or finds it lost and acts as its framework does. */
  async thaw(): Promise<void> {
    this.#live();
    await this.#renew();
  }

  /** The living process takes a new lease and writes its key again. */
  async reregister(): Promise<void> {
    await this.#register();
  }

  /** The living process writes its key again under the lease it has. */
  async rewrite(): Promise<void> {
    await this.#write();
  }

  /** The process ends in order; what becomes of its key depends on the framework. */
  async deregister(): Promise<void> {
    this.#stopLiving();
    if (this.#layout.whenStopped === "Nothing") return;
    for (const key of this.keys) this.#options.truth?.removing(key);
    if (this.#layout.whenStopped === "RevokeLease") await this.#session.revoke(this.#lease);
    else for (const key of this.keys) await this.#session.delete(key);
  }

  #live(): void {
    this.#stopLiving();
    this.#life = new AbortController();
    const every = (interval: number, act: () => Promise<void>): void => {
      this.#timers.push(setInterval(() => void act().catch(() => undefined), interval).unref());
    };
    // Go's client renews when a third of the lease has passed.
    if (this.#ttl !== undefined) every((this.#ttl * 1000) / 3, () => this.#renew());
    if (this.#layout.whenDeleted === "PollAndRegister") {
      every(this.#options.pollInterval ?? 30_000, () => this.#registerIfMissing());
    }
    if (this.#layout.whenDeleted === "PutAgain") void this.#watchOwnKeys();
  }

  #stopLiving(): void {
    this.#life.abort();
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    for (const key of this.keys) this.#session.ignoreDeletion(key);
  }

  async #register(): Promise<void> {
    if (this.#ttl !== undefined) {
      const askedAt = performance.now();
      this.#lease = await this.#session.grant(this.#ttl);
      this.#heldUntil = askedAt + this.#ttl * 1000;
    }
    this.#entries = this.#layout.entries(this.#lease);
    await this.#write();
  }

  async #write(): Promise<void> {
    for (const { key, value } of this.#entries) {
      const pending = this.#options.truth?.writing(key, this.#writer());
      try {
        const revision = await this.#session.put(key, value, this.#lease);
        pending?.committed(revision);
      } catch (error) {
        pending?.unknown();
        throw error;
      }
    }
  }

  #writer(): Writer {
    const lease = this.#lease;
    return {
      podUid: this.#options.pod?.uid,
      framework: this.#layout.framework,
      // A lease that was given up for another one is owed nothing.
      heldUntil: () => (lease === this.#lease ? this.#heldUntil : -Infinity),
    };
  }

  async #renew(): Promise<void> {
    if (this.#ttl === undefined) return;
    const { signal } = this.#life;
    await this.#session.renew(this.#lease, (ttl, askedAt) => {
      if (signal.aborted) return;
      if (ttl > 0) this.#heldUntil = askedAt + ttl * 1000;
      else if (this.#layout.whenLeaseLost === "Register") void this.#register().catch(() => undefined);
    });
  }

  async #registerIfMissing(): Promise<void> {
    const { signal } = this.#life;
    const found = await this.#session.get(this.key);
    if (found === undefined && !signal.aborted) await this.#register();
  }

  async #watchOwnKeys(): Promise<void> {
    const { signal } = this.#life;
    const putAgain = (): void => {
      if (!signal.aborted) void this.#write().catch(() => undefined);
    };
    for (const key of this.keys) {
      while (!signal.aborted) {
        const watched = this.#session.onDeletion(key, putAgain);
        const failed = await watched.then(
          () => false,
          () => true,
        );
        if (!failed) break;
        // The etcd is down, as in many tests; a real process tries again too.
        await delay(100, undefined, { ref: false });
      }
    }
  }
}
