import type { Clock } from "../../clock/clock.ts";
import type { InstanceRecord } from "../../registry/port.ts";

/** How long a removal is remembered, so that an entry that comes back is known for one, milliseconds. */
const REMEMBER_MS = 3_600_000;
/** An hour of 27 removals a second, and about 15 MB; beyond it the oldest are forgotten. */
const MAX_REMEMBERED = 100_000;

interface Removal {
  readonly registryUid: string;
  readonly version: string;
  /** Local monotonic milliseconds at which the registry had been asked, and had mostly answered. */
  readonly at: number;
  isTold: boolean;
}

/** Remembers which entries were removed here, to know those that come back: somebody wanted them. */
export class Comebacks {
  readonly #clock: Clock;
  readonly #limit: number;
  /** By key of the record, oldest first. */
  readonly #removals = new Map<string, Removal>();

  constructor(clock: Clock, limit = MAX_REMEMBERED) {
    this.#clock = clock;
    this.#limit = limit;
  }

  /**
   * This version of the entry was removed, or may have been.
   * @param isTold it has come back already, and people were told so
   */
  removed(key: string, registryUid: string, version: string, isTold = false): void {
    this.#removals.delete(key);
    this.#removals.set(key, { registryUid, version, at: this.#clock.monotonic(), isTold });
    for (const oldest of this.#removals.keys()) {
      if (this.#removals.size <= this.#limit) return;
      this.#removals.delete(oldest);
    }
  }

  /**
   * Whether the record was registered after its removal. The view may still hold the version that was removed; any other
   * one, or one that was seen only later, is new.
   */
  hasComeBack(key: string, registryUid: string, record: InstanceRecord): boolean {
    const removal = this.#removals.get(key);
    if (removal === undefined) return false;
    if (removal.registryUid !== registryUid || this.#clock.monotonic() - removal.at > REMEMBER_MS) {
      this.#removals.delete(key);
      return false;
    }
    return record.version !== removal.version || record.seenAt > removal.at;
  }

  /** A living owner has the entry now, or it turned out that nobody had removed it. */
  forget(key: string): void {
    this.#removals.delete(key);
  }

  /** True once for each removal: a comeback is told once, whatever is seen of it later. */
  isNews(key: string): boolean {
    const removal = this.#removals.get(key);
    if (removal === undefined || removal.isTold) return false;
    return (removal.isTold = true);
  }
}
