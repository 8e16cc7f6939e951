import type { Beat } from "./canary.ts";

/**
 * How current the view is. A canary that began at T and got revision R proves, once everything up to R has been
 * delivered, that the view holds whatever was committed before T.
 */
export class Proof {
  #pending: Beat[] = [];
  #canarySeen = 0;
  #delivered = 0;
  #caughtUpTo = Number.NEGATIVE_INFINITY;

  get caughtUpTo(): number {
    return this.#caughtUpTo;
  }

  /** Everything up to this revision is in the view. */
  get delivered(): number {
    return this.#delivered;
  }

  /** When the oldest canary that is not proven yet began; undefined when all are. */
  get waitingSince(): number | undefined {
    return this.#pending[0]?.startedAt;
  }

  beat(beat: Beat): boolean {
    this.#pending.push(beat);
    return this.#settle();
  }

  /** Our canary came back through the watch. @returns whether the view is proven newer than before */
  sawCanary(revision: number): boolean {
    this.#canarySeen = Math.max(this.#canarySeen, revision);
    return this.#settle();
  }

  /** Everything up to the revision has been delivered. @returns whether the view is proven newer than before */
  deliveredUpTo(revision: number): boolean {
    this.#delivered = Math.max(this.#delivered, revision);
    return this.#settle();
  }

  /** The stream broke: canaries under way prove nothing any more. What is proven stays proven. */
  interrupt(): void {
    this.#pending = [];
    this.#canarySeen = 0;
    this.#delivered = 0;
  }

  /** The data is another one. */
  reset(): void {
    this.interrupt();
    this.#caughtUpTo = Number.NEGATIVE_INFINITY;
  }

  #settle(): boolean {
    const upTo = Math.min(this.#canarySeen, this.#delivered);
    let isNewer = false;
    while (this.#pending[0] !== undefined && this.#pending[0].revision <= upTo) {
      this.#caughtUpTo = Math.max(this.#caughtUpTo, this.#pending[0].startedAt);
      this.#pending.shift();
      isNewer = true;
    }
    return isNewer;
  }
}
