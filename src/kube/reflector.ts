import type { Clock } from "../clock/clock.ts";
import { Backoff } from "./backoff.ts";
import { BarrierLog } from "./barrier.ts";
import { KubeError } from "./http-errors.ts";
import { readList } from "./list.ts";
import { blockingReasons, FreshnessTracker, type ProblemSource } from "./reflector-freshness.ts";
import type { ReflectorOptions } from "./reflector-options.ts";
import { Trigger } from "./reflector-trigger.ts";
import { ReflectorView } from "./reflector-view.ts";
import { compareRevisions, requireRevision } from "./resource-version.ts";
import { CallScope } from "./transport-scope.ts";
import type { Query } from "./transport.ts";
import type { Change, Freshness, ObjectIdentity } from "./types.ts";
import { metadataOf, readObject, readWatchEvent } from "./watch.ts";

/** Answers that say nothing about the next attempt against the same data: only a fresh list helps. */
const relistCodes: ReadonlySet<string> = new Set(["Expired", "BadResponse", "OpaqueVersion"]);
/** After so many watches in a row that the server refused, the list is asked instead: its answer says more. */
const refusalsBeforeRelist = 5;
/** A watch that lived this long was healthy: the next one follows at once. */
const healthyWatchMs = 5_000;
const openDeadlineMs = 10_000;
const barrierDeadlineMs = 5_000;
/** A server that lets a watch be silent past its end by this much has lost it. */
const silenceMarginMs = 2_000;
/** A server that keeps a watch this much longer than asked does not count its time. */
const overdueMarginMs = 15_000;
/** When a list misses objects we hold, the watch gets this long to tell how they ended. */
const settleMs = 250;
/** A field selector that an object can neither enter nor leave. */
const fixedSelector = /^metadata\.(name|namespace)=[^,!=]+$/;

/**
 * Keeps a view of one kind: lists it, watches it, lists it again from time to time, and proves how current it is.
 *
 * - Lists are quorum lists and count only when every page has arrived. The view serves meanwhile, and the watch goes on
 *   through a list; {@link ReflectorView} keeps the two apart by revision.
 * - Watches follow one another without overlap: each begins at the revision the last one (or a list) reached, and the
 *   server replays what came between. When it no longer can (410), a list fills the gap.
 * - Barriers, lists of one object, tell which revision was current when. A list that follows on a barrier costs nothing.
 * - After any failure it goes on, with growing, jittered waits; what the sink or the projection throw is counted, shows
 *   as a problem and is healed by the next list.
 */
export class Reflector<T extends ObjectIdentity> {
  readonly #options: ReflectorOptions<T>;
  readonly #clock: Clock;
  readonly #view: ReflectorView<T>;
  readonly #tracker: FreshnessTracker;
  readonly #query: Query;
  /** Then a barrier needs it too: a role may allow no other list. */
  readonly #hasFixedSelector: boolean;
  readonly #listWanted: Trigger;
  readonly #listDone: Trigger;
  readonly #listBackoff: Backoff;
  readonly #watchBackoff: Backoff;
  #relistRequested = false;
  #listStartedAt = -Infinity;
  #nextPeriodicAt = -Infinity;
  #watchIsOpen = false;
  #lastEventAt = -Infinity;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#clock = options.clock;
    const { fieldSelector, labelSelector } = options;
    this.#query = { fieldSelector, labelSelector };
    this.#hasFixedSelector = labelSelector === undefined && fixedSelector.test(fieldSelector ?? "");
    const selective = !this.#hasFixedSelector && (labelSelector !== undefined || fieldSelector !== undefined);
    const barriers = new BarrierLog();
    this.#tracker = new FreshnessTracker(barriers, (freshness) => {
      this.#tell(freshness);
    });
    const { project, projectionVersion } = options;
    this.#view = new ReflectorView({ project, projectionVersion, barriers, selective });
    this.#listWanted = new Trigger(options.clock);
    this.#listDone = new Trigger(options.clock);
    this.#listBackoff = new Backoff(options);
    this.#watchBackoff = new Backoff(options);
  }

  freshness(): Freshness {
    return this.#tracker.freshness;
  }

  /** Objects in the view. */
  get size(): number {
    return this.#view.size;
  }

  /** Local monotonic milliseconds of the last event or bookmark; `-Infinity` before the first. */
  get lastEventAt(): number {
    return this.#lastEventAt;
  }

  /** Asks for a complete list that begins after this call, soon but not more often than `relistMinGapMs`. */
  requestRelist(): void {
    this.#relistRequested = true;
    this.#listWanted.fire();
  }

  /**
   * Works until the signal aborts, then resolves; no failure of server, sink or projection ends it before. To be called
   * once.
   * @throws what a fault in our own code or in the metrics threw: better a dead process than a view that stands still
   */
  async run(signal: AbortSignal): Promise<void> {
    const broken = new AbortController();
    const stop = AbortSignal.any([signal, broken.signal]);
    const loops = [this.#lists(stop), this.#watches(stop), this.#barriers(stop)];
    for (const loop of loops) loop.catch((error: unknown) => broken.abort(error));
    await Promise.allSettled(loops);
    if (!signal.aborted) throw broken.signal.reason;
  }

  async #lists(signal: AbortSignal): Promise<void> {
    for (;;) {
      const waitMs = this.#listDueAt() - this.#clock.monotonic();
      if (waitMs > 0) {
        await this.#listWanted.wait(waitMs, signal);
        continue;
      }
      try {
        await this.#list(signal);
        this.#listDone.fire();
      } catch (error) {
        signal.throwIfAborted();
        this.#listFailed(error);
        this.#nextPeriodicAt = -Infinity;
        await this.#clock.sleep(this.#listBackoff.next(retryAfterOf(error)), signal);
      }
    }
  }

  #listDueAt(): number {
    if (this.#tracker.reached === undefined) return -Infinity;
    const requestedAt = this.#listStartedAt + (this.#options.relistMinGapMs ?? 10_000);
    return this.#relistRequested ? Math.min(requestedAt, this.#nextPeriodicAt) : this.#nextPeriodicAt;
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { transport, path, metrics, relistEveryMs = 300_000 } = this.#options;
    const what = `the list of ${path}`;
    this.#listStartedAt = this.#clock.monotonic();
    this.#nextPeriodicAt = this.#listStartedAt + relistEveryMs * (0.9 + 0.2 * this.#options.random());
    this.#relistRequested = false;
    const list = this.#view.beginList();
    try {
      const highestThen = this.#tracker.highest;
      const revision = await readList({
        transport,
        clock: this.#clock,
        path,
        query: this.#query,
        pageSize: this.#options.pageSize ?? 500,
        deadlineMs: this.#options.listDeadlineMs ?? 60_000,
        backoff: this.#listBackoff,
        signal,
        onRevision: (startedAt, first) => this.#tracker.quorumRead(startedAt, first, highestThen, what),
        onPage: (items) =>
          this.#view.addPage(
            list,
            items.map((item) => readObject(item, what)),
          ),
      });
      if (this.#watchIsOpen && this.#view.hasMissing(list, revision)) await this.#clock.sleep(settleMs, signal);
      const before = this.#view.size;
      const changes = this.#view.finishList(list, revision);
      if (!this.#apply(changes, "List"))
        throw new KubeError("SinkFailed", `the differences found by ${what} were refused`);
      this.#view.listAccepted(list, revision);
      this.#tellProjection();
      this.#tracker.listApplied(revision);
      metrics?.listed({
        seconds: (this.#clock.monotonic() - this.#listStartedAt) / 1000,
        objects: list.received,
        before,
        added: changes.filter((change) => change.type === "Added").length,
        deleted: changes.filter((change) => change.type === "Deleted").length,
      });
    } finally {
      this.#view.abandonList();
    }
  }

  #listFailed(error: unknown): void {
    const reason = reasonOf(error);
    this.#options.metrics?.listFailed(reason);
    // A view that its watch keeps current does not suffer when a later list is late.
    if (this.#tracker.reached === undefined || blockingReasons.has(reason)) this.#fail("List", error);
  }

  async #watches(signal: AbortSignal): Promise<void> {
    let refusals = 0;
    for (;;) {
      const from = this.#tracker.reached;
      if (from === undefined) {
        await this.#listDone.wait(Infinity, signal);
        continue;
      }
      const startedAt = this.#clock.monotonic();
      let failure: unknown;
      try {
        await this.#watch(from, signal);
      } catch (error) {
        signal.throwIfAborted();
        failure = error;
      }
      this.#watchIsOpen = false;
      this.#options.metrics?.watchEnded(failure === undefined ? "End" : reasonOf(failure));
      const wasHealthy = this.#clock.monotonic() - startedAt >= Math.min(healthyWatchMs, this.#watchSeconds * 500);
      refusals = isRefusal(failure) && !wasHealthy ? refusals + 1 : 0;
      if (relistCodes.has(reasonOf(failure)) || refusals >= refusalsBeforeRelist) {
        refusals = 0;
        this.#tracker.gap();
        this.#listWanted.fire();
      }
      if (failure !== undefined) this.#fail("Watch", failure);
      else if (!wasHealthy)
        this.#tracker.fail("Watch", "EndedEarly", `the watch of ${this.#options.path} was ended at once`);
      const retryAfterMs = retryAfterOf(failure);
      if (wasHealthy && retryAfterMs === 0) continue;
      await this.#clock.sleep(this.#watchBackoff.next(retryAfterMs), signal);
    }
  }

  get #watchSeconds(): number {
    return this.#options.watchSeconds ?? 8;
  }

  async #watch(from: string, signal: AbortSignal): Promise<void> {
    const { transport, path, random } = this.#options;
    const what = `the watch of ${path}`;
    const timeoutSeconds = Math.max(1, Math.round(this.#watchSeconds * (0.875 + 0.25 * random())));
    using scope = new CallScope(this.#clock, what, signal);
    scope.deadline(timeoutSeconds * 1000 + overdueMarginMs, "Silent", `${what} did not end when it should`);
    const stream = transport.stream({
      path,
      query: { ...this.#query, watch: true, allowWatchBookmarks: true, resourceVersion: from, timeoutSeconds },
      openDeadlineMs,
      inactivityMs: timeoutSeconds * 1000 + silenceMarginMs,
      signal: scope.signal,
      onOpen: () => {
        this.#watchIsOpen = true;
        this.#tracker.watchOpened();
      },
    });
    let position = from;
    for await (const lines of stream) position = this.#take(lines, position, what);
  }

  /** Takes the lines of one chunk in and returns the revision of the last. */
  #take(lines: readonly unknown[], from: string, what: string): string {
    this.#lastEventAt = this.#clock.monotonic();
    const changes: Change<T>[] = [];
    let position = from;
    let events = 0;
    let failure: unknown;
    try {
      for (const line of lines) {
        const event = readWatchEvent(line, what);
        const revision = event.type === "BOOKMARK" ? event.resourceVersion : event.object.resourceVersion;
        if (compareRevisions(revision, position) < 0)
          throw new KubeError("WentBack", `${what} went from revision ${position} back to ${revision}`);
        if (event.type !== "BOOKMARK") {
          this.#view.event(event.type, event.object, changes);
          events += 1;
        }
        position = revision;
      }
    } catch (error) {
      failure = error;
    }
    if (events > 0) this.#options.metrics?.events(events);
    if (changes.length > 0 && !this.#apply(changes, "Watch")) {
      this.#tracker.fail("Sink", "SinkFailed", `changes brought by ${what} were refused`);
      this.requestRelist();
    }
    this.#tellProjection();
    if (position !== from) {
      this.#tracker.clear("Watch");
      this.#tracker.watchReached(position);
    }
    // eslint-disable-next-line @typescript-eslint/only-throw-error -- passed on as it was caught
    if (failure !== undefined) throw failure;
    return position;
  }

  async #barriers(signal: AbortSignal): Promise<void> {
    const { barrierEveryMs = 2_000, random, path, transport } = this.#options;
    if (barrierEveryMs === Infinity) return;
    const what = `the barrier read of ${path}`;
    let retryAfterMs = 0;
    for (;;) {
      await this.#clock.sleep(Math.max(barrierEveryMs * (0.9 + 0.2 * random()), retryAfterMs), signal);
      retryAfterMs = 0;
      if (!this.#tracker.freshness.synced) continue;
      const startedAt = this.#clock.monotonic();
      const highestThen = this.#tracker.highest;
      try {
        const { body } = await transport.request({
          method: "GET",
          path,
          query: { ...(this.#hasFixedSelector ? this.#query : {}), limit: 1 },
          deadlineMs: barrierDeadlineMs,
          signal,
        });
        const revision = requireRevision(metadataOf(body)["resourceVersion"], what);
        this.#tracker.quorumRead(startedAt, revision, highestThen, what);
        this.#tracker.clear("Barrier");
      } catch (error) {
        signal.throwIfAborted();
        this.#fail("Barrier", error);
        retryAfterMs = retryAfterOf(error);
      }
    }
  }

  /** Hands changes to the sink; false when it threw, and then they count as not having happened. */
  #apply(changes: readonly Change<T>[], cause: "List" | "Watch"): boolean {
    try {
      this.#options.sink.apply(changes, cause);
      this.#view.commit();
      return true;
    } catch {
      this.#view.rollback();
      this.#options.metrics?.handlerFailed("Sink");
      return false;
    }
  }

  #tellProjection(): void {
    const count = this.#view.takeFailedProjections();
    for (let i = 0; i < count; i++) this.#options.metrics?.handlerFailed("Projection");
    if (this.#view.unprojected === 0) this.#tracker.clear("Projection");
    else {
      const message = `${this.#view.unprojected} objects of ${this.#options.path} could not be read`;
      this.#tracker.fail("Projection", "ProjectionFailed", message);
    }
  }

  #fail(source: ProblemSource, error: unknown): void {
    const message = error instanceof Error ? error.message : "unknown error";
    this.#tracker.fail(source, reasonOf(error), message);
  }

  #tell(freshness: Freshness): void {
    try {
      this.#options.onFreshness?.(freshness);
    } catch {
      this.#options.metrics?.handlerFailed("Freshness");
    }
  }
}

function reasonOf(error: unknown): string {
  return error instanceof KubeError ? (error.isExpired ? "Expired" : error.code) : "Unexpected";
}

function isRefusal(error: unknown): boolean {
  return error instanceof KubeError && error.status > 0 && !error.isTooManyRequests;
}

function retryAfterOf(error: unknown): number {
  return error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0;
}
