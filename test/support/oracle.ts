import { setTimeout as delay } from "node:timers/promises";

import type { EtcdWatch } from "./registrants/watch.ts";
import type { EtcdSession, StoredKey } from "./registrants/session.ts";
import { stateAt, type TruthLog, type Writer } from "./truth.ts";

/** How a key left the registry. */
export type DepartureCause =
  /** Somebody other than its writer deleted it. */
  | "Evicted"
  /** Somebody other than its writer ended its lease. */
  | "Revoked"
  /** Its lease ran out. */
  | "Expired"
  /** Its own writer removed it. */
  | "Deregistered";

/** A key that left. */
export interface Departure {
  readonly key: string;
  /** Revision of the deletion. */
  readonly revision: number;
  /** Monotonic milliseconds (`performance.now()`) when we heard of it. */
  readonly at: number;
  readonly cause: DepartureCause;
  /** Whose key it was, as far as the truth log knows. */
  readonly writer: Writer | undefined;
}

export interface OracleOptions {
  /** Whether the key of a pod that has been asked to end may be taken away before it has ended; default no. */
  readonly draining?: "Allowed" | "Forbidden";
}

/**
 * The independent recorder on the registry's side. It watches all keys of an etcd over a connection of its own, knows
 * from the truth log which pod lives, and remembers as a violation every instance that somebody took away while its pod
 * lived. {@link verify} throws them.
 */
export class Oracle {
  readonly #session: EtcdSession;
  readonly #truth: TruthLog;
  readonly #draining: boolean;
  readonly #held = new Map<string, StoredKey>();
  readonly #protected: string[] = [];
  readonly #departures: Departure[] = [];
  /** So many departures belong to a history that the registry has no more. */
  #oldDepartures = 0;
  readonly #violations: string[] = [];
  readonly #judging = new Set<Promise<void>>();
  readonly #listeners = new Set<() => void>();
  #watch: EtcdWatch | undefined;
  #closed = false;

  private constructor(session: EtcdSession, truth: TruthLog, options: OracleOptions) {
    this.#session = session;
    this.#truth = truth;
    this.#draining = options.draining === "Allowed";
  }

  /** Starts to record. The session stays the caller's to close. */
  static async start(session: EtcdSession, truth: TruthLog, options: OracleOptions = {}): Promise<Oracle> {
    const oracle = new Oracle(session, truth, options);
    oracle.#follow(await session.list(""));
    return oracle;
  }

  /** All keys of registrants that left since the start. */
  get departures(): readonly Departure[] {
    return this.#departures;
  }

  /** Keys with this prefix are nobody's business: none of them may leave or change. */
  protect(prefix: string): void {
    this.#protected.push(prefix);
  }

  /**
   * Waits until a key has left, and says how.
   * @param timeout milliseconds; default 30,000
   * @throws Error when it is still there by then
   */
  async departure(key: string, timeout = 30_000): Promise<Departure> {
    const found = (): Departure | undefined => this.#departures.findLast((departure) => departure.key === key);
    await this.#until(() => found() !== undefined, timeout, `${key} has not left the registry`);
    const departure = found();
    if (departure === undefined) throw new Error(`${key} has not left the registry`);
    return departure;
  }

  /** The test itself takes or took the registry's data away: nothing recorded so far counts any more. */
  registryLost(): void {
    this.#truth.registryLost();
    this.#held.clear();
  }

  /**
   * The test itself has put the registry back to a snapshot: what was written after this revision is gone, and what was
   * there then is there again. To be called before anybody else acts on it.
   */
  async registryRestored(revision: number): Promise<void> {
    this.#watch?.close();
    await Promise.all(this.#judging);
    this.#oldDepartures = this.#departures.length;
    const listing = await this.#session.list("");
    this.#truth.registryRestored(revision, new Set(listing.keys.map(({ key }) => key)));
    this.#follow(listing);
  }

  /**
   * Catches up with the registry, and checks that every key that a living process holds is still there.
   * @throws Error that names every instance that left while its pod lived
   */
  async verify(): Promise<void> {
    await this.#catchUp();
    await this.#checkStanding();
    if (this.#violations.length === 0) return;
    throw new Error(`the oracle saw ${this.#violations.length} violations:\n${this.#violations.join("\n")}`);
  }

  /** Stops recording. */
  close(): void {
    this.#closed = true;
    this.#watch?.close();
  }

  #follow({ revision, keys }: { readonly revision: number; readonly keys: readonly StoredKey[] }): void {
    this.#held.clear();
    for (const stored of keys) this.#held.set(stored.key, stored);
    this.#watch = this.#session.watch("", revision + 1, {
      put: (stored) => this.#put(stored),
      deleted: (key, at) => this.#deleted(key, at),
      // What was missed is found by the comparison in verify().
      gap: () => undefined,
    });
  }

  #put(stored: StoredKey): void {
    const before = this.#held.get(stored.key);
    this.#held.set(stored.key, stored);
    if (before !== undefined && this.#isProtected(stored.key)) {
      this.#violations.push(`${stored.key} was changed at revision ${stored.modRevision}, and is not ours to touch`);
    }
    this.#announce();
  }

  #deleted(key: string, revision: number): void {
    const stored = this.#held.get(key);
    this.#held.delete(key);
    if (stored === undefined || (!this.#truth.knows(key) && !this.#isProtected(key))) return;
    const judged = this.#judge(stored, revision, performance.now());
    this.#judging.add(judged);
    const done = (): void => {
      this.#judging.delete(judged);
    };
    // It fails only after close(), when nobody asks any more.
    judged.then(done, done);
  }

  async #judge(stored: StoredKey, revision: number, at: number): Promise<void> {
    const { key } = stored;
    // Read now: later the writer may have written it again.
    const deregistered = this.#truth.isRemoved(key);
    const writer = await this.#truth.writerOf(key, stored.modRevision);
    const cause = deregistered ? "Deregistered" : await this.#causeOf(stored, writer, at);
    this.#departures.push({ key, revision, at, cause, writer });
    const problem = this.#problemOf(key, writer, cause, at);
    if (problem !== undefined) this.#violations.push(`${key} was taken away at revision ${revision}, ${problem}`);
    this.#announce();
  }

  async #causeOf(stored: StoredKey, writer: Writer | undefined, at: number): Promise<DepartureCause> {
    if (stored.lease === "0" || (await this.#remaining(stored.lease)) > 0) return "Evicted";
    // The lease is gone, and took its key along.
    if (writer === undefined) return "Expired";
    if (writer.heldUntil() > performance.now()) return "Revoked";
    return writer.heldUntil() > at ? "Evicted" : "Expired";
  }

  /** What is left of a lease; asks again while the etcd is down. */
  async #remaining(lease: string): Promise<number> {
    for (;;) {
      try {
        return await this.#session.remaining(lease);
      } catch (error) {
        if (this.#closed) throw error;
        await delay(100, undefined, { ref: false });
      }
    }
  }

  #problemOf(key: string, writer: Writer | undefined, cause: DepartureCause, at: number): string | undefined {
    if (cause === "Expired" || cause === "Deregistered") return undefined;
    if (this.#isProtected(key)) return "and is not ours to touch";
    const wrong = this.#whyWrong(writer, at);
    return cause === "Revoked" ? `by revoking its lease, ${wrong ?? "which nobody may"}` : wrong;
  }

  #isProtected(key: string): boolean {
    return this.#protected.some((prefix) => key.startsWith(prefix));
  }

  /** Waits until a key written now has come through the watch, and all deletions before it are judged. */
  async #catchUp(): Promise<void> {
    const marker = `test-oracle/${crypto.randomUUID()}`;
    await this.#session.put(marker, "");
    await this.#until(() => this.#held.has(marker), 30_000, "the oracle's watch does not catch up");
    await Promise.all(this.#judging);
    this.#held.delete(marker);
    await this.#session.delete(marker);
  }

  async #checkStanding(): Promise<void> {
    const standing = this.#truth.standing();
    const { keys } = await this.#session.list("");
    const present = new Set(keys.map(({ key }) => key));
    const now = performance.now();
    for (const [key, { writer, revision }] of standing) {
      if (present.has(key) || writer.heldUntil() < now) continue;
      const problem = this.#whyWrong(writer, now);
      if (problem === undefined) continue;
      // Deletions that the watch has seen are in the list already.
      const departures = this.#departures.slice(this.#oldDepartures);
      if (departures.some((departure) => departure.key === key && departure.revision > revision)) continue;
      this.#violations.push(`${key} is missing, ${problem}`);
    }
  }

  async #until(isDone: () => boolean, timeout: number, message: string): Promise<void> {
    if (isDone()) return;
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const listener = (): void => {
      if (isDone()) resolve(undefined);
    };
    const timer = setTimeout(() => reject(new Error(`${message} after ${timeout / 1000} s`)), timeout);
    this.#listeners.add(listener);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#listeners.delete(listener);
    }
  }

  #announce(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Why this writer's key should still be there; undefined when it may go, or nobody knows whose it is. */
  #whyWrong(writer: Writer | undefined, at: number): string | undefined {
    if (writer === undefined) return undefined;
    const held = Math.max(0, writer.heldUntil() - at);
    const lease = held === Infinity ? "it has no lease" : `its lease had ${(held / 1000).toFixed(1)} s left`;
    if (writer.podUid === undefined) return `while its ${writer.framework} process outside the cluster lived; ${lease}`;
    const pod = this.#truth.pod(writer.podUid);
    const state = pod === undefined ? "Dead" : stateAt(pod, at);
    if (pod === undefined || state === "Dead" || (state === "Terminating" && this.#draining)) return undefined;
    const verb = state === "Terminating" ? "had not ended yet" : "lived";
    const { namespace, name, uid, addresses } = pod;
    return `while its pod ${namespace}/${name} (${uid}, ${addresses.join(" ")}, ${writer.framework}) ${verb}; ${lease}`;
  }
}
