import type { NodeRecord } from "./project-node.ts";
import type { NodeState, NodeSystem } from "./types.ts";

/**
 * A kubelet that is in touch reports a pod's address within this time, milliseconds. A node stays Ready for up to
 * 55 s after its kubelet fell silent (grace 50 s, looked at every 5 s), which leaves 5 s for the report itself.
 */
export const reportMs = 60_000;

/** One node and what its readiness has proven. All times are local monotonic milliseconds. */
export class NodeEntry implements NodeState {
  #record: NodeRecord;
  #since: number;
  #unreachableUntil: number;
  #returnedAt: number | undefined;
  /** It ran pods before, or may have: the next time it becomes Ready is a return. */
  #hasPast: boolean;
  /** While the node is not settled: every address it gave before this moment is in the view. */
  #reportedUntil: number;

  /**
   * @param now when it was seen first
   * @param reportedUntil every address it gave before this moment is in the view
   * @param past it was there before under this name (`Returned`), is proven to be new, or neither
   */
  constructor(record: NodeRecord, now: number, reportedUntil: number, past: "Returned" | "New" | "Unknown") {
    this.#record = record;
    this.#since = now;
    this.#returnedAt = past === "Returned" ? now : undefined;
    this.#hasPast = past !== "New" || record.ready;
    this.#reportedUntil = reportedUntil;
    this.#unreachableUntil = isInTouch(record) ? now : Infinity;
  }

  get record(): NodeRecord {
    return this.#record;
  }
  get name(): string {
    return this.#record.name;
  }
  get ready(): boolean {
    return this.#record.ready;
  }
  get since(): number {
    return this.#since;
  }
  get returnedAt(): number | undefined {
    return this.#returnedAt;
  }
  get addresses(): readonly string[] {
    return this.#record.addresses;
  }
  get podCIDRs(): readonly string[] {
    return this.#record.podCIDRs;
  }
  get outOfService(): boolean {
    return this.#record.outOfService;
  }
  get labels(): Readonly<Record<string, string>> {
    return this.#record.labels;
  }
  get system(): NodeSystem {
    return this.#record.system;
  }

  /** The last moment at which it was out of touch and nobody vouched for it; `Infinity` while that is so. */
  get unreachableUntil(): number {
    return this.#unreachableUntil;
  }

  /** @param horizon the view held everything committed before this moment when the new state came */
  update(record: NodeRecord, now: number, horizon: number): void {
    const before = this.#record;
    if (before.ready !== record.ready) {
      this.#reportedUntil = this.reportedUntil(horizon);
      this.#since = now;
      if (record.ready && this.#hasPast) this.#returnedAt = now;
      this.#hasPast = true;
    }
    if (isInTouch(before) !== isInTouch(record)) this.#unreachableUntil = isInTouch(record) ? now : Infinity;
    this.#record = record;
  }

  /** Its object was removed: what was in touch until now is not heard of again. */
  leave(now: number): void {
    if (this.#unreachableUntil !== Infinity) this.#unreachableUntil = now;
  }

  /** Ready for so long that what it did not report while it was out of touch is reported by now. */
  isSettled(horizon: number): boolean {
    return this.ready && horizon - this.#since >= reportMs;
  }

  /** Every address it gave before the returned moment is in a view that holds everything up to `horizon`. */
  reportedUntil(horizon: number): number {
    return this.isSettled(horizon) ? horizon - reportMs : this.#reportedUntil;
  }
}

/** A kubelet that is in touch ends what the API no longer has; an administrator can vouch for one that is not. */
function isInTouch(record: NodeRecord): boolean {
  return record.ready || record.outOfService;
}
