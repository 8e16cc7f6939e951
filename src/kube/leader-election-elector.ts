import type { Clock, Random } from "../clock/clock.ts";
import { microTime } from "../clock/format.ts";
import { HygeiaError } from "../errors.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { KubeError } from "./http-errors.ts";
import { LeaseClient, sameRecord } from "./leader-election-lease.ts";
import type { LeaseRecord, StoredLease } from "./leader-election-lease.ts";
import type { Election, ElectionCallbacks } from "./leader-election.ts";
import type { KubeTransport } from "./transport.ts";

interface LeaseElectionOptions {
  readonly transport: Pick<KubeTransport, "request">;
  /** Namespace and name of the Lease, and the label of the metrics. */
  readonly namespace: string;
  readonly name: string;
  /** Must differ between all processes that ever take part: see electionIdentity(). */
  readonly identity: string;
  readonly callbacks: ElectionCallbacks;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "leader">;
  /** How long others wait after the last renewal they saw; whole seconds. Default 15 s. */
  readonly leaseDurationMs?: number;
  /** How long the leader goes on after the last renewal that succeeded. Default 10 s. */
  readonly renewDeadlineMs?: number;
  /** Time between attempts. Default 2 s. */
  readonly retryPeriodMs?: number;
}

/** client-go's: candidates wait one retry period and up to 1.2 more of it. */
const jitterFactor = 1.2;

type Attempt = "Held" | "HeldByOther" | "Failed";

/**
 * Elects a leader by a Lease, by client-go's rules: who holds it is judged by when this process saw the record change,
 * on its own monotonic clock; writes carry the resourceVersion, so of two candidates one gets a conflict. Stricter than
 * client-go in three points, all in favour of having no leader for a while: the leader counts the renew deadline from
 * the start of its last renewal, gives up at once when the record is not its own any more, and a Lease that is deleted
 * under a holder does not end the holder's time.
 */
export class LeaseElection implements Election {
  readonly #options: LeaseElectionOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #lease: LeaseClient;
  readonly #identity: string;
  readonly #durationMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryPeriodMs: number;
  #stored: StoredLease | undefined;
  /** Monotonic time at which the record was seen to change. */
  #changedAt = -Infinity;
  #leading = false;
  /** Start of the last renewal plus the renew deadline, monotonic milliseconds. */
  #renewBy = -Infinity;
  /** A write of ours was refused, and no later one has succeeded yet. */
  #doubted = false;
  /** Wall time at the start of the last renewal, milliseconds. */
  #renewedAtWall = 0;
  #reportedLeader = "";
  #lastProblem = "";

  /** @throws HygeiaError `BadElectionTimes` */
  constructor(options: LeaseElectionOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#identity = options.identity;
    this.#log = options.log.child({ election: options.name, identity: options.identity });
    this.#lease = new LeaseClient(options.transport, options.namespace, options.name);
    this.#durationMs = options.leaseDurationMs ?? 15_000;
    this.#renewDeadlineMs = options.renewDeadlineMs ?? 10_000;
    this.#retryPeriodMs = options.retryPeriodMs ?? 2_000;
    if (
      !(this.#durationMs > this.#renewDeadlineMs) ||
      !(this.#renewDeadlineMs > this.#retryPeriodMs * jitterFactor) ||
      !(this.#retryPeriodMs > 0) ||
      this.#durationMs % 1000 !== 0
    )
      throw new HygeiaError(
        "BadElectionTimes",
        "lease duration (whole seconds) must be above the renew deadline, and that above 1.2 x the retry period",
      );
    options.metrics.leader.status.set({ name: options.name }, 0);
    options.metrics.leader.slowpath.inc({ name: options.name }, 0);
  }

  isLeader(): boolean {
    return this.#leading;
  }

  validUntil(): number {
    return this.#leading && !this.#doubted ? this.#renewBy : -Infinity;
  }

  isValid(): boolean {
    // The monotonic clock stands still while a machine sleeps and its wall clock is set right when it wakes. A wall
    // clock that was moved forward costs us the time to the next renewal, nothing more.
    const sinceRenewal = this.#clock.wall().getTime() - this.#renewedAtWall;
    return this.#clock.monotonic() < this.validUntil() && sinceRenewal < this.#renewDeadlineMs;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (await this.#campaign(signal)) await this.#term(signal);
  }

  /** Tries until it holds the lease (true) or the signal aborts (false). */
  async #campaign(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      if ((await this.#attempt(signal)) === "Held") return this.#beginUnlessAborted(signal);
      try {
        await this.#clock.sleep(this.#retryPeriodMs * (1 + this.#options.random() * jitterFactor), signal);
      } catch {
        return false;
      }
    }
    return false;
  }

  /** The stop may have come while the write that got us the lease was under way. */
  async #beginUnlessAborted(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) await this.#release();
    return !signal.aborted;
  }

  async #term(signal: AbortSignal): Promise<void> {
    const status = this.#options.metrics.leader.status.labels({ name: this.#options.name });
    const term = new AbortController();
    const renewals = new AbortController();
    let renewing: Promise<"Lost" | "Stopped"> | undefined;
    this.#leading = true;
    status.set(1);
    this.#log.info("this replica leads");
    try {
      this.#options.callbacks.onStarted(term.signal);
      renewing = this.#renewUntilLost(renewals.signal);
      await Promise.race([renewing, abortOf(signal, renewals.signal)]);
      term.abort(new HygeiaError("LeadershipEnded", "this replica does not lead any more, or is about to stop"));
      // Renewals go on while work under way comes to its end, so that nobody else begins meanwhile.
      await this.#options.callbacks.onStopped();
    } finally {
      term.abort();
      renewals.abort();
      const lost = (await renewing) === "Lost";
      this.#resign();
      status.set(0);
      if (!lost) await this.#release();
    }
  }

  async #renewUntilLost(stop: AbortSignal): Promise<"Lost" | "Stopped"> {
    while (!stop.aborted) {
      try {
        await this.#clock.sleep(Math.min(this.#retryPeriodMs, this.#renewBy - this.#clock.monotonic()), stop);
      } catch {
        break;
      }
      // Comes first after a pause of the process: what ran out meanwhile is lost, even if nobody took it.
      if (this.#clock.monotonic() >= this.#renewBy) return this.#lose("it could not be renewed in time");
      if ((await this.#attempt()) === "HeldByOther") return this.#lose("the lease is not ours any more");
    }
    return "Stopped";
  }

  #lose(why: string): "Lost" {
    this.#resign();
    this.#log.error(`leadership is lost: ${why}`);
    return "Lost";
  }

  #resign(): void {
    this.#leading = false;
    this.#renewBy = -Infinity;
  }

  /** client-go's tryAcquireOrRenew. Only reads are cut short by the signal: a write may have happened all the same. */
  async #attempt(signal?: AbortSignal): Promise<Attempt> {
    let outcome: Attempt;
    try {
      outcome = (await this.#renewOptimistically()) ? "Held" : await this.#acquireOrRenew(signal);
      this.#lastProblem = "";
    } catch (error) {
      if (signal?.aborted !== true) this.#complain(error);
      outcome = "Failed";
    }
    this.#reportLeader();
    return outcome;
  }

  /** The usual renewal: one write, on the assumption that the Lease is as we wrote it last. */
  async #renewOptimistically(): Promise<boolean> {
    if (!this.#leading || this.#stored?.record.holder !== this.#identity) return false;
    try {
      await this.#write(this.#stored, this.#stored.record);
      return true;
    } catch (error) {
      if (error instanceof KubeError && (error.isConflict || error.isNotFound)) this.#doubted = true;
      this.#complain(error);
      this.#options.metrics.leader.slowpath.inc({ name: this.#options.name });
      return false;
    }
  }

  async #acquireOrRenew(signal: AbortSignal | undefined): Promise<Attempt> {
    const found = await this.#lease.get(this.#callDeadline(), signal);
    if (found !== undefined) this.#observe(found);
    const record = found?.record ?? this.#stored?.record;
    const ours = record?.holder === this.#identity;
    if (this.#leading && (!ours || found === undefined)) return "HeldByOther";
    if (!ours && record !== undefined && this.#isLive(record)) return "HeldByOther";
    await this.#write(found, ours ? record : undefined);
    return "Held";
  }

  /** By our own observation: the record has a holder, and was seen to change within its duration. */
  #isLive(record: LeaseRecord): boolean {
    const durationMs = record.durationMs > 0 ? record.durationMs : this.#durationMs;
    return record.holder !== "" && this.#clock.monotonic() < this.#changedAt + durationMs;
  }

  /**
   * Writes our record, as a renewal when `previous` is ours. On success the validity counts from before the call, since
   * others can not have seen this renewal earlier.
   */
  async #write(stored: StoredLease | undefined, previous: LeaseRecord | undefined): Promise<void> {
    const startedAt = this.#clock.monotonic();
    const wall = this.#clock.wall();
    const now = microTime(wall);
    const record: LeaseRecord = {
      holder: this.#identity,
      durationMs: this.#durationMs,
      acquireTime: previous?.acquireTime ?? now,
      renewTime: now,
      transitions: previous?.transitions ?? (stored === undefined ? 0 : stored.record.transitions + 1),
    };
    const limit = this.#callDeadline();
    const written =
      stored === undefined ? await this.#lease.create(record, limit) : await this.#lease.update(stored, record, limit);
    this.#observe(written);
    this.#renewBy = startedAt + this.#renewDeadlineMs;
    this.#doubted = false;
    this.#renewedAtWall = wall.getTime();
  }

  #observe(found: StoredLease): void {
    if (this.#stored === undefined || !sameRecord(this.#stored.record, found.record))
      this.#changedAt = this.#clock.monotonic();
    this.#stored = found;
  }

  /** No call outlives half the renew deadline, so that a second one fits in, nor the term. */
  #callDeadline(): number {
    const left = this.#leading ? Math.max(this.#renewBy - this.#clock.monotonic(), 1) : Infinity;
    return Math.min(this.#renewDeadlineMs / 2, left);
  }

  #reportLeader(): void {
    const holder = this.#stored?.record.holder ?? "";
    if (holder === this.#reportedLeader) return;
    this.#reportedLeader = holder;
    if (holder !== "") this.#options.callbacks.onNewLeader?.(holder);
  }

  /** Tells of a problem once, not at every attempt. */
  #complain(error: unknown): void {
    const problem = error instanceof HygeiaError ? error.code : String(error);
    const level = problem === this.#lastProblem ? "debug" : "warn";
    this.#lastProblem = problem;
    this.#log[level]({ err: error }, "an attempt to acquire or renew the lease failed");
  }

  /** Lets another candidate begin at once. When it fails the lease runs out by itself. */
  async #release(): Promise<void> {
    try {
      for (let stored = this.#stored; stored?.record.holder === this.#identity;) {
        const now = microTime(this.#clock.wall());
        const free = { ...stored.record, holder: "", durationMs: 1000, acquireTime: now, renewTime: now };
        try {
          this.#observe(await this.#lease.update(stored, free, this.#callDeadline()));
          this.#log.info("the lease is released");
          return;
        } catch (error) {
          if (!(error instanceof KubeError && error.isConflict)) throw error;
          stored = await this.#lease.get(this.#callDeadline());
        }
      }
    } catch (error) {
      this.#log.warn({ err: error }, "the lease could not be released and will run out");
    }
  }
}

/** Resolves when the signal aborts, and never after `cleanup` has aborted. */
async function abortOf(signal: AbortSignal, cleanup: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true, signal: cleanup }),
  );
}
