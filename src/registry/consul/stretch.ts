import type { Clock, Random } from "../../clock/clock.ts";
import { RegistryError } from "../errors.ts";
import type { RegistryMetrics } from "../metrics.ts";
import type { Timeline } from "../timeline.ts";
import type { AgentRoutes } from "./agents.ts";
import type { Beat, Canary } from "./canary.ts";
import { awaitChange, catalogIndex, type CatalogListing, listCatalog } from "./catalog.ts";
import { type ConsulClient, within } from "./client.ts";
import { assertSeesAll, clusterIdOf, serverVersionIn } from "./identity.ts";
import { entriesOf } from "./model.ts";
import type { ConsulTiming } from "./options.ts";
import type { Publisher } from "../publisher.ts";
import type { CatalogTable } from "./table.ts";
import { nextEra } from "./version.ts";

/** Listing takes at most one part in so many of the time, so that many changes cost no more than few. */
const LIST_SHARE = 4;
/** But no list waits longer than this, milliseconds: a view must not be older than 15 s. */
const LONGEST_PAUSE = 4_000;

export interface StretchOptions {
  readonly table: CatalogTable;
  readonly timeline: Timeline;
  readonly canary: Canary;
  readonly publisher: Publisher;
  readonly routes: AgentRoutes;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: RegistryMetrics;
  readonly timing: ConsulTiming;
  /** A namespace or partition does not list the servers themselves. */
  readonly listsServers: boolean;
  /** Nothing that we hold in Consul is there any more. */
  readonly onNewData: () => void;
}

/** What was listed last; carried from one stretch to the next. */
export interface Position {
  /** What a blocking query goes on from; 0 when all must be listed. */
  index: number;
  /** Every write up to this index is in the view. */
  complete: number;
  /** Why it must be listed, for the metric. */
  cause: string;
  clusterId: string;
}

/**
 * One stretch of following Consul over one endpoint: canary, list, and then canaries and a query that waits for changes,
 * until something breaks. A list follows every change; between changes a canary and two reads of an index every two seconds
 * prove that there was none.
 */
export class Stretch {
  readonly #options: StretchOptions;
  readonly #client: ConsulClient;
  readonly #position: Position;
  readonly #signal: AbortSignal;
  #wake: (cause: string) => void = () => undefined;
  /** Local monotonic milliseconds. */
  #nextListAt = Number.NEGATIVE_INFINITY;
  #comparedAt = Number.NEGATIVE_INFINITY;

  constructor(options: StretchOptions, client: ConsulClient, position: Position, signal: AbortSignal) {
    this.#options = options;
    this.#client = client;
    this.#position = position;
    this.#signal = signal;
  }

  /** @throws RegistryError when something broke, or the signal's reason */
  async run(): Promise<never> {
    const { routes, timing } = this.#options;
    await assertSeesAll(this.#client, timing.callTimeout, this.#signal);
    await this.#identify();
    const beat = await this.#beat();
    const { canary, table, timeline, onNewData } = this.#options;
    if (!canary.isContinuous) {
      timeline.clear();
      timeline.add(beat.startedAt, beat.index);
      table.beginEra(nextEra());
      onNewData();
      this.#position.index = 0;
      this.#position.complete = 0;
    }
    await routes.learnEndpoints(this.#client, this.#signal);
    await this.#list(this.#position.cause, this.#signal);
    canary.restart();
    const over = new AbortController();
    const signal = AbortSignal.any([this.#signal, over.signal]);
    const tasks = [this.#keepBeating(signal), this.#keepListing(signal)];
    try {
      return await Promise.race(tasks);
    } finally {
      over.abort(new RegistryError("Unreachable", "the stretch has ended"));
      await Promise.allSettled(tasks);
    }
  }

  async #identify(): Promise<void> {
    const { publisher, canary, timing } = this.#options;
    const clusterId = await clusterIdOf(this.#client, timing.callTimeout, this.#signal);
    const before = this.#position.clusterId;
    this.#position.clusterId = clusterId;
    publisher.clusterId = clusterId;
    if (before === "" || before === clusterId) return;
    canary.doubt();
    throw new RegistryError("ClusterChanged", `another cluster answers (${clusterId}, was ${before})`);
  }

  async #beat(): Promise<Beat> {
    const { canary, timeline } = this.#options;
    try {
      const beat = await canary.beat(this.#client, this.#signal);
      timeline.add(beat.startedAt, beat.index);
      return beat;
    } catch (error) {
      if (!(error instanceof RegistryError) || error.code !== "PermissionDenied") throw error;
      throw new RegistryError(
        "PermissionDenied",
        `the view can not be proven current, for its canary can not be written: ${error.message}`,
      );
    }
  }

  async #keepBeating(signal: AbortSignal): Promise<never> {
    const { clock, random, timing, publisher } = this.#options;
    let timeouts = 0;
    for (;;) {
      await clock.sleep(timing.canaryEvery * (0.8 + 0.4 * random()), signal);
      try {
        await this.#prove(signal);
        timeouts = 0;
      } catch (error) {
        signal.throwIfAborted();
        timeouts++;
        // One slow answer is no reason to leave a server, unless there is another one.
        const isLate = error instanceof RegistryError && error.code === "TimedOut";
        if (!isLate || timeouts > 1 || this.#client.endpoints.length > 1) throw error;
        publisher.failed(error);
      }
      if (clock.monotonic() - this.#comparedAt > timing.compareEvery) this.#wake("Compare");
    }
  }

  /** Nothing was written to the catalog since the last list, up to the moment at which the canary was begun. */
  async #prove(signal: AbortSignal): Promise<void> {
    const { publisher, timing } = this.#options;
    const { startedAt } = await this.#beat();
    const index = await catalogIndex(this.#client, within(timing.callTimeout, signal));
    this.#checkIndex(index);
    if (index <= this.#position.complete) publisher.proven(startedAt);
    else this.#wake("Behind");
  }

  async #keepListing(signal: AbortSignal): Promise<never> {
    const { clock } = this.#options;
    for (;;) {
      const cause = await this.#awaitReason(signal);
      if (cause === undefined) continue;
      const pause = this.#nextListAt - clock.monotonic();
      if (pause > 0) await clock.sleep(pause, signal);
      await this.#list(cause, signal);
    }
  }

  /** @returns why to list now; undefined when nothing happened for a while */
  async #awaitReason(signal: AbortSignal): Promise<string | undefined> {
    const { timing, metrics } = this.#options;
    const woken = new AbortController();
    let cause: string | undefined;
    this.#wake = (why) => {
      cause = why;
      woken.abort();
    };
    try {
      const { index } = this.#position;
      const either = AbortSignal.any([signal, woken.signal]);
      const now = await awaitChange(this.#client, index, timing.waitFor, timing.callTimeout, either);
      // Where there is no leader this answer is a stale one: only a consistent read can say that an index went back.
      if (now < index) return "Behind";
      return now > index ? "Change" : cause;
    } catch (error) {
      signal.throwIfAborted();
      if (cause !== undefined) return cause;
      metrics.watchEnded(error instanceof RegistryError ? error.code : "InternalError");
      throw error;
    } finally {
      this.#wake = () => undefined;
    }
  }

  async #list(cause: string, signal: AbortSignal): Promise<void> {
    const { clock, timing, metrics, table, routes, publisher, listsServers } = this.#options;
    const now = (): number => clock.monotonic();
    const limits = { now, callTimeout: timing.callTimeout, listTimeout: timing.listTimeout };
    const listing = await listCatalog(this.#client, limits, signal);
    this.#checkIndex(listing.before);
    metrics.listed(cause);
    const { nodes } = listing;
    const version = serverVersionIn(nodes);
    if (version === "" && listsServers)
      throw new RegistryError("FilteredByACLs", "the list lacks the servers themselves: it is not the whole catalog");
    publisher.serverVersion = version === "" ? "unknown" : version;
    routes.learnAddresses(nodes);
    // Others have had to wait while a long answer was parsed.
    await clock.sleep(0, signal);
    const isSame = listing.index === this.#position.index;
    const changed = table.replace(entriesOf(nodes), listing.complete, now());
    if (cause === "Compare" && isSame) metrics.repaired(changed.size);
    this.#tookIn(listing, changed);
    const took = now() - listing.startedAt;
    this.#comparedAt = now();
    this.#nextListAt = now() + Math.min(LONGEST_PAUSE, took * (LIST_SHARE - 1));
  }

  #tookIn(listing: CatalogListing, changed: Parameters<Publisher["listed"]>[0]): void {
    const { publisher } = this.#options;
    this.#position.index = listing.index;
    this.#position.complete = Math.max(this.#position.complete, listing.complete);
    publisher.listed(changed);
    publisher.proven(listing.startedAt);
  }

  /** @throws RegistryError `WentBack` */
  #checkIndex(index: number): void {
    const { complete } = this.#position;
    if (index >= complete || complete === 0) return;
    this.#options.canary.doubt();
    throw new RegistryError(
      "WentBack",
      `the catalog's index went back from ${String(complete)} to ${String(index)}: wiped, or restored from a backup`,
    );
  }
}
