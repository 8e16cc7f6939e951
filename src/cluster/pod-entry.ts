import { isConfirmed, type DeathReason, type LivePod, type PodRecord } from "./types.ts";

/** When something was seen, as bounds on the local monotonic clock, milliseconds. */
export interface Moment {
  /** It had been committed by now. */
  readonly now: number;
  /** It was committed after this: the view held everything committed before, and not this. */
  readonly after: number;
}

/**
 * One pod UID and what its successive states prove. The rules of death are here:
 *
 * - Succeeded or Failed with every container terminated is the kubelet's word that the pod is over: `Finished`.
 * - A pod under deletion whose containers were first seen terminated after the deletion was is over as well, for a
 *   kubelet starts nothing in it any more: `ContainersTerminated`.
 * - Every other state is alive. In a crash loop all containers are terminated for a moment, and then run again.
 */
export class PodEntry implements LivePod {
  readonly createdAfter: number;
  readonly seenAt: number;
  #deletingAfter: number | undefined;
  #pod: PodRecord;
  /** Since when the pod has been seen with every container terminated, without a break. */
  #terminatedAt: Moment | undefined;
  /** The present terminated state began after the deletion was seen. */
  #terminatedInDeletion = false;
  /** Containers were seen to run again after all had terminated. */
  #restarted = false;

  /**
   * @param createdAfter lower bound of its creation, local monotonic milliseconds
   * @param seen when this state was first seen
   */
  constructor(pod: PodRecord, createdAfter: number, seen: Moment) {
    this.#pod = pod;
    this.createdAfter = createdAfter;
    this.seenAt = seen.now;
    this.#deletingAfter = pod.deleting ? -Infinity : undefined;
    this.#terminatedAt = pod.terminated ? seen : undefined;
  }

  get pod(): PodRecord {
    return this.#pod;
  }

  get deletingAfter(): number | undefined {
    return this.#deletingAfter;
  }

  /** Takes in a newer state of the same UID. */
  observe(pod: PodRecord, seen: Moment): void {
    const before = this.#pod;
    this.#pod = pod;
    // A deletion is never taken back.
    if (pod.deleting && !before.deleting) this.#deletingAfter = seen.after;
    if (!pod.terminated) {
      this.#restarted ||= before.terminated;
      this.#terminatedAt = undefined;
      this.#terminatedInDeletion = false;
    } else if (!before.terminated) {
      this.#terminatedAt = seen;
      this.#terminatedInDeletion = before.deleting;
    }
  }

  /** Why the pod is over although its object may still exist; undefined while it lives. */
  get ended(): DeathReason | undefined {
    if (!this.#pod.terminated) return undefined;
    if (isTerminal(this.#pod)) return "Finished";
    return this.#terminatedInDeletion ? "ContainersTerminated" : undefined;
  }

  /**
   * What the end of its object tells.
   * @param final the last state is the one that the deletion itself carried; false when the UID was merely missed
   */
  deathOnRemoval(final: boolean): DeathReason {
    if (this.ended !== undefined) return this.ended;
    if (!final) return "NotWitnessed";
    // Of a pod known to restart, "terminated" was perhaps only the moment before the next start.
    return this.#pod.terminated && !this.#restarted ? "ContainersTerminated" : "NotConfirmed";
  }

  /** When a death for this reason came, given that the last event of it is being handled at `seen`. */
  deathMoment(reason: DeathReason, seen: Moment): Moment {
    return isConfirmed(reason) ? (this.#terminatedAt ?? seen) : seen;
  }

  /** Bound, not over, and without an address of its own that we know: it may be running behind one. */
  get unaccounted(): boolean {
    const { node, hostNetwork, addresses } = this.#pod;
    return node !== "" && !hostNetwork && addresses.length === 0 && this.ended === undefined;
  }

  /** Unaccounted, and its kubelet may still start it. */
  get hidden(): boolean {
    return this.unaccounted && !isTerminal(this.#pod);
  }
}

/** The phase says that no container will be started any more. */
function isTerminal(pod: PodRecord): boolean {
  return pod.phase === "Succeeded" || pod.phase === "Failed";
}
