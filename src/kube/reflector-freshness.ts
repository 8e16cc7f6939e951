import type { BarrierLog } from "./barrier.ts";
import { KubeError } from "./http-errors.ts";
import { compareRevisions } from "./resource-version.ts";
import type { Freshness, ViewProblem } from "./types.ts";

/** What can keep a view from advancing; each has at most one problem. */
export type ProblemSource = "List" | "Watch" | "Barrier" | "Projection" | "Sink";

/** Reasons that mean the view may be wrong or lack a part, not only late: nothing advances while one stands. */
export const blockingReasons: ReadonlySet<string> = new Set([
  "WentBack",
  "OpaqueVersion",
  "Forbidden",
  "ProjectionFailed",
  "SinkFailed",
]);

/** Order in which problems are shown: the root first. */
const sources: readonly ProblemSource[] = ["List", "Watch", "Projection", "Sink", "Barrier"];

const notSynced: ViewProblem = { reason: "NotSynced", message: "the first complete list has not arrived" };

/**
 * Tells how far a view can be trusted, from three kinds of facts: which revision the view has reached without a gap,
 * which revisions quorum reads returned, and what is wrong.
 */
export class FreshnessTracker {
  readonly #barriers: BarrierLog;
  readonly #onChange: (freshness: Freshness) => void;
  readonly #problems = new Map<ProblemSource, ViewProblem>();
  /** The view holds everything up to this revision. */
  #reached: string | undefined;
  /** Events beyond {@link reached} can not be had any more. */
  #gap = false;
  #highest = "0";
  #current: Freshness = {
    synced: false,
    caughtUpTo: -Infinity,
    completeLists: 0,
    problem: notSynced,
  };

  constructor(barriers: BarrierLog, onChange: (freshness: Freshness) => void) {
    this.#barriers = barriers;
    this.#onChange = onChange;
  }

  get freshness(): Freshness {
    return this.#current;
  }

  /** Highest revision seen in any answer. A quorum read that begins now returns no lower one. */
  get highest(): string {
    return this.#highest;
  }

  /** The view holds everything up to this revision; undefined while there is a gap. */
  get reached(): string | undefined {
    return this.#gap ? undefined : this.#reached;
  }

  /**
   * A quorum read that began at `startedAt` returned `revision`.
   * @param highestThen {@link highest} when it began
   * @throws KubeError `WentBack` when it returned less than what had been seen before it began
   */
  quorumRead(startedAt: number, revision: string, highestThen: string, what: string): void {
    if (compareRevisions(revision, highestThen) < 0)
      throw new KubeError("WentBack", `${what} returned revision ${revision}, but ${highestThen} was seen before`);
    this.#barriers.record(startedAt, revision);
    this.#saw(revision);
    this.#update();
  }

  /** Every event up to this revision is in the view. */
  watchReached(revision: string): void {
    this.#saw(revision);
    this.#advanceTo(revision);
    this.#update();
  }

  /** A complete list of this revision is in the view, beside the events that came before and meanwhile. */
  listApplied(revision: string): void {
    this.#gap = false;
    this.#advanceTo(revision);
    this.#problems.delete("List");
    this.#problems.delete("Sink");
    this.#current = { ...this.#current, synced: true, completeLists: this.#current.completeLists + 1 };
    this.#update(true);
  }

  /** Events are missing for good: only a list can fill the gap. */
  gap(): void {
    this.#gap = true;
  }

  fail(source: ProblemSource, reason: string, message: string): void {
    const before = this.#problems.get(source);
    if (before?.reason === reason && before.message === message) return;
    this.#problems.set(source, { reason, message });
    this.#update();
  }

  clear(source: ProblemSource): void {
    if (this.#problems.delete(source)) this.#update();
  }

  /** The server accepted a watch: whatever kept it from that is over, but what it sent before may have been wrong. */
  watchOpened(): void {
    const reason = this.#problems.get("Watch")?.reason;
    if (reason !== "WentBack" && reason !== "OpaqueVersion") this.clear("Watch");
  }

  #advanceTo(revision: string): void {
    if (this.#reached === undefined || compareRevisions(revision, this.#reached) > 0) this.#reached = revision;
  }

  #saw(revision: string): void {
    if (compareRevisions(revision, this.#highest) > 0) this.#highest = revision;
  }

  #update(changed = false): void {
    const before = this.#current;
    let caughtUpTo = before.caughtUpTo;
    const blocked = this.#gap || this.#problems.values().some((problem) => blockingReasons.has(problem.reason));
    if (before.synced && this.#reached !== undefined && !blocked)
      caughtUpTo = Math.max(caughtUpTo, this.#barriers.provenAt(this.#reached));
    const problem = this.#problem();
    if (!changed && caughtUpTo === before.caughtUpTo && problem === before.problem) return;
    this.#current = { synced: before.synced, caughtUpTo, completeLists: before.completeLists, problem };
    this.#onChange(this.#current);
  }

  #problem(): ViewProblem | undefined {
    for (const source of sources) {
      const problem = this.#problems.get(source);
      if (problem !== undefined) return problem;
    }
    return this.#current.synced ? undefined : notSynced;
  }
}
