import type { Clock, Random } from "../../clock/clock.ts";
import { Backoff } from "../../kube/backoff.ts";
import { RegistryError } from "../errors.ts";
import type { RegistryMetrics } from "../metrics.ts";
import type { RegistrySink } from "../port.ts";
import type { Publisher } from "../publisher.ts";
import type { Listing } from "./api.ts";
import type { Fleet } from "./fleet.ts";
import type { NacosInstance } from "./model.ts";
import type { NacosTiming } from "./options.ts";
import { formatId } from "./record-id.ts";
import type { Registrants } from "./registrants.ts";
import type { Reading } from "./server.ts";
import { defectOf } from "./server-version.ts";
import { Splits } from "./splits.ts";
import type { InstanceTable, Listed } from "./table.ts";

/** Listing takes at most one part in so many of the time, so that a large registry costs no more than a small one. */
const LIST_SHARE = 4;
/** But no list waits longer than this, milliseconds: a view must not be older than 15 s. */
const LONGEST_PAUSE = 4_000;
/** A retry this long after the last trouble begins with the shortest wait again, milliseconds. */
const FORGIVE_AFTER = 30_000;
/** Where so few were known, a server that lost most of them proves nothing. */
const FEW = 5;

export interface FollowerOptions {
  readonly namespace: string;
  readonly table: InstanceTable;
  readonly registrants: Registrants;
  readonly publisher: Publisher;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: RegistryMetrics;
  readonly timing: NacosTiming;
}

/** Follows a Nacos cluster for as long as it is asked to: one complete list of every server after another. */
export class Follower {
  readonly #options: FollowerOptions;
  readonly #fleet: () => Fleet;
  readonly #backoff: Backoff;
  readonly #splits = new Splits();
  readonly #filtered = new WeakMap<Listing, readonly NacosInstance[]>();
  #restarted = new AbortController();
  #woken = new AbortController();
  #last: Reading | undefined;
  /** Local monotonic milliseconds; when the last complete list was begun. */
  #listedAt = Number.NEGATIVE_INFINITY;
  #cause = "Start";
  #isAfterTrouble = false;

  /** @param fleet the one in use now */
  constructor(options: FollowerOptions, fleet: () => Fleet) {
    this.#options = options;
    this.#fleet = fleet;
    const { clock, random, timing } = options;
    const { retryMin: firstMs, retryMax: maxMs } = timing;
    this.#backoff = new Backoff({ clock, random, firstMs, maxMs, resetAfterMs: FORGIVE_AFTER });
  }

  /** Ends only when the signal aborts. Never rejects. */
  async run(sink: RegistrySink, signal: AbortSignal): Promise<void> {
    const { publisher } = this.#options;
    publisher.begin(sink);
    while (!signal.aborted) await this.#turn(signal);
    publisher.end();
  }

  /** Begins anew at once: there is another fleet to ask. */
  restart(): void {
    this.#restarted.abort(new RegistryError("Unreachable", "the connection was configured anew"));
    this.#restarted = new AbortController();
  }

  /** Looks again at once: something is known to have changed. */
  hurry(): void {
    this.#woken.abort();
    this.#woken = new AbortController();
  }

  async #turn(outer: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const signal = AbortSignal.any([outer, this.#restarted.signal]);
    const startedAt = clock.monotonic();
    let pause: number;
    try {
      await this.#round(startedAt, signal);
      pause = this.#pauseAfter(clock.monotonic() - startedAt);
    } catch (error) {
      if (signal.aborted) return;
      this.#failed(error);
      pause = this.#backoff.next();
    }
    // However many the writes that hurry it, at most half the time goes into lists.
    const rest = Math.min(pause, clock.monotonic() - startedAt);
    await clock.sleep(rest, signal).catch(() => undefined);
    await clock.sleep(pause - rest, AbortSignal.any([signal, this.#woken.signal])).catch(() => undefined);
  }

  async #round(startedAt: number, signal: AbortSignal): Promise<void> {
    const { clock, registrants, table, publisher, metrics } = this.#options;
    const readings = await this.#fleet().read(signal);
    const [first] = readings;
    const instances = this.#ofInterest(first.listing);
    this.#checkContinues(instances);
    const { api, clients } = first;
    const call = first.server.call(signal);
    const now = (): number => clock.monotonic();
    const isChanged = await registrants.refresh({ api, instances, clients, call, now });
    const isSame = !isChanged && this.#last?.listing === first.listing;
    if (!isSame || this.#isAfterTrouble) {
      metrics.listed(this.#cause);
      const times = { startedAt, now: now(), listedBefore: this.#listedAt - this.#lag };
      publisher.listed(table.replace(this.#registered(instances), times));
    }
    this.#last = first;
    this.#listedAt = startedAt;
    this.#cause = "Change";
    this.#isAfterTrouble = false;
    publisher.serverVersion = api.version;
    publisher.clusterId = UNNAMED;
    publisher.defect = readings.map((reading) => defectOf(reading.api.version)).find((defect) => defect !== undefined);
    publisher.absence = this.#fleet().absence;
    this.#judge(readings, startedAt);
  }

  /** The same array for the same list. */
  #ofInterest(listing: Listing): readonly NacosInstance[] {
    const known = this.#filtered.get(listing);
    if (known !== undefined) return known;
    const instances = listing.instances.filter((instance) => this.#options.table.isOfInterest(instance));
    this.#filtered.set(listing, instances);
    return instances;
  }

  #registered(instances: readonly NacosInstance[]): readonly Listed[] {
    const listed: Listed[] = [];
    for (const instance of instances) {
      const known = this.#options.registrants.of(instance);
      if (known !== undefined) listed.push({ instance, writers: known.writers, writersKnownAt: known.knownAt });
    }
    return listed;
  }

  /** Says up to when the view is proven: by the lists themselves, and by all servers saying the same. */
  #judge(readings: readonly [Reading, ...Reading[]], startedAt: number): void {
    const { clock, publisher, timing, namespace } = this.#options;
    const [first, ...others] = readings.map(({ server, listing }) => {
      return { endpoint: server.endpoint, instances: this.#ofInterest(listing) };
    });
    if (first !== undefined) this.#splits.compare([first, ...others], clock.monotonic());
    const { oldest } = this.#splits;
    if (oldest !== undefined && clock.monotonic() - oldest.since > timing.splitAfter) {
      const id = formatId({ namespace, ...oldest.instance });
      const message =
        `the servers have disagreed for more than ${String(timing.splitAfter / 1000)} s about ` +
        `${String(this.#splits.size)} instances, among them ${id}: ${oldest.message}`;
      publisher.failed({ code: "SplitView", message });
    } else publisher.proven(Math.min(startedAt, oldest?.since ?? startedAt) - this.#lag);
  }

  /**
   * Servers keep what is ephemeral in memory: one that was started anew lists little of it at first. What it lacks is not
   * gone, and what comes back is not what was there.
   */
  #checkContinues(instances: readonly NacosInstance[]): void {
    const { table, publisher, registrants } = this.#options;
    if (!this.#isAfterTrouble || table.size < FEW) return;
    const kept = table.countKnown(instances);
    if (kept * 2 >= table.size) return;
    const message = `after a break ${String(kept)} of ${String(table.size)} instances are listed: a server that lost its memory`;
    table.beginEra();
    registrants.clear();
    this.#listedAt = Number.NEGATIVE_INFINITY;
    publisher.reset();
    throw new RegistryError("WentBack", message);
  }

  #failed(error: unknown): void {
    const { publisher, metrics } = this.#options;
    this.#isAfterTrouble = true;
    this.#cause = error instanceof RegistryError ? error.code : "InternalError";
    metrics.watchEnded(this.#cause);
    publisher.failed(
      error instanceof RegistryError ? error : { code: "InternalError", message: `a fault of ours: ${String(error)}` },
    );
  }

  /** Milliseconds by which a list may lag behind what was written. */
  get #lag(): number {
    const { listLag, syncLag } = this.#options.timing;
    return listLag + (this.#fleet().servers.length > 1 ? syncLag : 0);
  }

  #pauseAfter(took: number): number {
    const { random, timing } = this.#options;
    return Math.max(timing.pollEvery * (0.8 + 0.4 * random()), Math.min(LONGEST_PAUSE, took * (LIST_SHARE - 1)));
  }
}

/** Nacos names its data nowhere: only what is in it tells one store from another. */
const UNNAMED = "unnamed";
