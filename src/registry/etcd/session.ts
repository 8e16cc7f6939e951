import type { IEvent } from "etcd3";

import type { Clock, Random, Timer } from "../../clock/clock.ts";
import { RegistryError } from "../errors.ts";
import type { RegistryMetrics } from "../metrics.ts";
import type { Beat } from "./canary.ts";
import type { EtcdClient } from "./client.ts";
import { Compare } from "./compare.ts";
import type { KeyValue } from "./key-table.ts";
import { rangeEnd } from "./keys.ts";
import { idOf } from "./layouts/layout-set.ts";
import { listAll, type Listing } from "./listing.ts";
import type { EtcdTiming } from "./options.ts";
import { Batch, type EtcdState, type Publisher } from "./publisher.ts";
import { nextEra } from "./version.ts";
import { type WatchListener, type WatchRange, WatchStream } from "./watch-stream.ts";

/** Milliseconds between two progress requests while an answer is due. */
const ASK_AGAIN = 100;
/** How long a compare waits for the watch to pass the list, milliseconds. */
const COMPARE_PATIENCE = 10_000;
/** Where only a list proves something, listing takes at most one part in so many of the time. */
const LIST_SHARE = 5;

export interface SessionOptions {
  readonly state: EtcdState;
  readonly publisher: Publisher;
  readonly prefixes: readonly string[];
  readonly canaryKey: Buffer;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: RegistryMetrics;
  readonly timing: EtcdTiming;
  readonly ordersProgress: (version: string) => boolean;
}

/** Where the watch goes on; carried from one session to the next. */
export interface Position {
  /** For each prefix the revision up to which everything was taken in; undefined when all must be listed. */
  revisions: number[] | undefined;
  /** Why it must be listed, for the metric. */
  cause: string;
  /** Deletions since our last canary but one at the latest: id and revision. */
  readonly removed: Map<string, number>;
}

/**
 * One stretch of following etcd over one connection: canary, list where needed, watch, and then canaries and compares
 * until something breaks.
 */
export class Session implements WatchListener {
  readonly #options: SessionOptions;
  readonly #client: EtcdClient;
  readonly #position: Position;
  readonly #signal: AbortSignal;
  #stream: WatchStream | undefined;
  #compare: Compare | undefined;
  #asking: Timer | undefined;
  #isCanaryWritable = false;
  #provesByList = false;
  /** Deletions taken in over an earlier connection that this one has not told again. */
  #unconfirmed = new Map<string, number>();

  constructor(options: SessionOptions, client: EtcdClient, position: Position, signal: AbortSignal) {
    this.#options = options;
    this.#client = client;
    this.#position = position;
    this.#signal = signal;
  }

  /**
   * @returns when a new session should begin at once, though nothing is wrong
   * @throws RegistryError when something broke, or the signal's reason
   */
  async run(): Promise<void> {
    const { state, publisher, timing } = this.#options;
    const { canary, proof, timeline } = state;
    proof.interrupt();
    const proven = canary.lastRevision;
    if (proven === undefined) canary.doubt();
    if (!canary.isContinuous) {
      proof.reset();
      timeline.clear();
    }
    const beat = await this.#beat();
    if (beat === undefined) {
      // Without a canary nothing shows that the data still is what it was.
      canary.doubt();
      timeline.clear();
    } else if (proven !== undefined) this.#rewind(proven);
    publisher.serverVersion = await this.#client.serverVersion(timing.callTimeout, this.#signal);
    this.#provesByList = !this.#options.ordersProgress(publisher.serverVersion);
    const isKnown = canary.isContinuous && this.#position.revisions !== undefined;
    const positions = isKnown ? this.#position.revisions : await this.#listAfresh();
    await this.#follow(positions ?? [], beat?.revision);
  }

  onEvents(range: number, events: readonly IEvent[], revision: number): void {
    const { state, clock, publisher, prefixes } = this.#options;
    state.canary.sawRevision(revision);
    const positions = this.#position.revisions;
    if (range === prefixes.length) {
      this.#proven(state.proof.sawCanary(revision));
      this.#ask();
      return;
    }
    const done = positions?.[range];
    if (positions === undefined || done === undefined) return;
    const batch = new Batch(state.table, clock.monotonic());
    for (const { type, kv } of events) {
      const at = Number(kv.mod_revision);
      // A compare may be ahead of the watch.
      if (at <= done) continue;
      const id = idOf(kv.key);
      if (type === "Put") batch.put(kv);
      else {
        batch.remove(id);
        this.#position.removed.set(id, at);
        if (this.#unconfirmed.get(id) === at) this.#unconfirmed.delete(id);
      }
      this.#compare?.touch(id, at);
    }
    positions[range] = Math.max(done, revision);
    publisher.change(batch.changed);
  }

  onProgress(revision: number): void {
    if (this.#provesByList) return;
    this.#options.state.canary.sawRevision(revision);
    this.#deliveredUpTo(revision);
  }

  async #follow(positions: readonly number[], canaryFrom: number | undefined): Promise<void> {
    const { prefixes, canaryKey } = this.#options;
    const ranges: WatchRange[] = prefixes.map((prefix, i) => {
      const start = Buffer.from(prefix);
      return { start, end: rangeEnd(start), fromRevision: (positions[i] ?? 0) + 1 };
    });
    const watchesCanary = canaryFrom !== undefined;
    if (watchesCanary) ranges.push({ start: canaryKey, end: undefined, fromRevision: canaryFrom });
    const over = new AbortController();
    const signal = AbortSignal.any([this.#signal, over.signal]);
    const stream = await WatchStream.open(this.#client, ranges, this, signal);
    this.#stream = stream;
    this.#ask();
    const ended = stream.ended.then((error) => {
      this.#watchEnded(error);
    });
    const tasks = [ended, this.#keepBeating(watchesCanary, signal), this.#keepComparing(signal)];
    try {
      await Promise.race(tasks);
    } finally {
      over.abort(new RegistryError("Unreachable", "the session has ended"));
      this.#asking?.cancel();
      this.#stream = undefined;
      await Promise.allSettled(tasks);
    }
  }

  /** @throws the cause, or the signal's reason */
  #watchEnded(error: unknown): void {
    this.#signal.throwIfAborted();
    const reason = error instanceof RegistryError ? error.code : "InternalError";
    this.#options.metrics.watchEnded(reason);
    // What can not be had from history, or was taken in by half, must be listed.
    if (reason === "Compacted" || reason === "TooLarge" || reason === "InternalError") this.#listNext(reason);
    throw error;
  }

  /** Ends well when the canary has become writable, for then it must be watched too. */
  async #keepBeating(watchesCanary: boolean, signal: AbortSignal): Promise<void> {
    const { clock, random, timing, publisher, state } = this.#options;
    const patience = 3 * timing.canaryEvery + timing.callTimeout;
    let timeouts = 0;
    for (;;) {
      await clock.sleep(timing.canaryEvery * (0.8 + 0.4 * random()), signal);
      try {
        const beat = await this.#beat();
        this.#forgetRemoved(beat?.revision ?? 0);
        timeouts = 0;
      } catch (error) {
        timeouts++;
        // One slow answer is no reason to leave a server, unless there is another one.
        const isLate = error instanceof RegistryError && error.code === "TimedOut";
        if (!isLate || timeouts > 1 || this.#client.endpointCount > 1) throw error;
        publisher.failed(error);
        continue;
      }
      if (this.#isCanaryWritable && !watchesCanary) {
        // Nothing has vouched for the data so far.
        state.canary.doubt();
        this.#listNext("CanaryWritable");
        return;
      }
      if (this.#provesByList) await this.#proveByList(signal);
      this.#ask();
      const since = state.proof.waitingSince;
      if (since !== undefined && clock.monotonic() - since > patience)
        throw new RegistryError("TimedOut", `watch at ${this.#client.endpoint}: it does not follow the cluster`);
    }
  }

  /** @returns undefined when etcd answers, but does not let us write */
  async #beat(): Promise<Beat | undefined> {
    const { state, publisher } = this.#options;
    try {
      const beat = await state.canary.beat(this.#client, this.#signal);
      this.#isCanaryWritable = true;
      state.timeline.add(beat.startedAt, beat.revision);
      this.#proven(state.proof.beat(beat));
      publisher.freshness();
      return beat;
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      if (error.code !== "PermissionDenied" && error.code !== "NoSpace") throw error;
      this.#isCanaryWritable = false;
      const code = error.code === "NoSpace" ? "NoSpace" : "CanaryNotWritable";
      const key = this.#options.canaryKey.toString();
      const message = `the view can not be proven current, for its canary ${key} can not be written: ${error.message}`;
      publisher.failed({ code, message });
      return undefined;
    }
  }

  /** Lists everything in place of what is known. @returns the positions to watch from */
  async #listAfresh(): Promise<number[]> {
    const { state, clock, publisher, prefixes } = this.#options;
    const { canary, table } = state;
    if (!canary.isContinuous) table.beginEra(nextEra());
    const listed = new Set<string>();
    const listing = await this.#list(this.#position.cause, this.#signal, (entries) => {
      const batch = new Batch(table, clock.monotonic());
      for (const entry of entries) {
        listed.add(idOf(entry.key));
        batch.put(entry);
      }
    });
    for (const id of [...table.ids()]) {
      if (!listed.has(id)) table.removeId(id);
    }
    canary.restart();
    const positions = prefixes.map(() => listing.revision);
    this.#position.revisions = positions;
    this.#position.removed.clear();
    this.#position.cause = "Start";
    publisher.snapshot();
    this.#deliveredUpTo(listing.revision);
    return positions;
  }

  /**
   * The beat has shown that the history goes on from our canary before it. What came after that one may be lost, and its
   * revisions used again: a server that lost power lacks its last writes. So it is taken in again.
   */
  #rewind(revision: number): void {
    const { revisions } = this.#position;
    if (revisions === undefined) return;
    this.#options.state.table.doubtAfter(revision, nextEra());
    this.#forgetRemoved(revision);
    this.#unconfirmed = new Map(this.#position.removed);
    this.#position.revisions = revisions.map((done) => Math.min(done, revision));
  }

  #hasDoubts(): boolean {
    return this.#unconfirmed.size > 0 || this.#options.state.table.isInDoubt;
  }

  #forgetRemoved(upTo: number): void {
    const { removed } = this.#position;
    for (const [id, at] of removed) if (at <= upTo) removed.delete(id);
  }

  async #keepComparing(signal: AbortSignal): Promise<void> {
    const { clock, random, timing, state } = this.#options;
    if (this.#hasDoubts() && !this.#provesByList) {
      await this.#hasDelivered(state.canary.lastRevision ?? 0, signal);
      // By now the watch has told again whatever is still in the history.
      if (this.#hasDoubts()) await this.#compareOnce("Lost", signal);
    }
    for (;;) {
      await clock.sleep(timing.compareEvery * (0.8 + 0.4 * random()), signal);
      await this.#compareOnce("Compare", signal);
    }
  }

  /** For servers whose progress answers prove nothing. */
  async #proveByList(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const startedAt = clock.monotonic();
    await this.#compareOnce("Proof", signal);
    await clock.sleep((clock.monotonic() - startedAt) * (LIST_SHARE - 1), signal);
  }

  async #compareOnce(cause: string, signal: AbortSignal): Promise<void> {
    const { state, publisher, clock, metrics } = this.#options;
    if (this.#compare !== undefined) return;
    const compare = new Compare(state.table);
    this.#compare = compare;
    try {
      const listing = await this.#list(cause, signal, (entries) => {
        compare.page(entries);
      });
      // What the watch still brings is no loss.
      if (!this.#provesByList && !(await this.#hasDelivered(listing.revision, signal))) return;
      const batch = new Batch(state.table, clock.monotonic());
      compare.apply(listing.revision, batch);
      publisher.change(batch.changed);
      this.#deliveredUpTo(listing.revision);
      if (!this.#provesByList) metrics.repaired(batch.changed.size);
    } finally {
      this.#compare = undefined;
    }
  }

  async #hasDelivered(revision: number, signal: AbortSignal): Promise<boolean> {
    const { clock, state } = this.#options;
    const until = clock.monotonic() + COMPARE_PATIENCE;
    while (state.proof.delivered < revision) {
      if (clock.monotonic() > until) return false;
      this.#stream?.requestProgress();
      await clock.sleep(ASK_AGAIN, signal);
    }
    return true;
  }

  async #list(cause: string, signal: AbortSignal, onPage: (entries: readonly KeyValue[]) => void): Promise<Listing> {
    const { state, clock, metrics, prefixes, timing } = this.#options;
    metrics.listed(cause);
    const { pageTimeout } = timing;
    const now = (): number => clock.monotonic();
    const floor = state.canary.highest;
    const listing = await listAll(this.#client, { prefixes, pageTimeout, now, signal, onPage });
    state.canary.observe(listing.header, floor);
    state.timeline.add(listing.startedAt, listing.revision);
    return listing;
  }

  #listNext(cause: string): void {
    this.#position.revisions = undefined;
    this.#position.cause = cause;
  }

  #deliveredUpTo(revision: number): void {
    const positions = this.#position.revisions;
    for (const [i, done] of positions?.entries() ?? [])
      if (positions !== undefined) positions[i] = Math.max(done, revision);
    this.#proven(this.#options.state.proof.deliveredUpTo(revision));
  }

  #proven(isNewer: boolean): void {
    if (isNewer && this.#isCanaryWritable) this.#options.publisher.solved();
  }

  /** Asks the server how far the watch is, until no canary waits for the answer. */
  #ask(): void {
    this.#asking?.cancel();
    if (this.#provesByList || this.#options.state.proof.waitingSince === undefined) return;
    this.#stream?.requestProgress();
    this.#asking = this.#options.clock.setTimer(() => {
      this.#ask();
    }, ASK_AGAIN);
  }
}
