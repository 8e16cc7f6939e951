import type { Clock } from "../../clock/clock.ts";
import type { InstanceRecord } from "../../registry/port.ts";

/** How long a removal is remembered, so that an entry that comes back is known for one, milliseconds. */
const REMEMBER_MS = 3_600_000;
/** An hour of 27 removals a second, and about 15 MB; beyond it the oldest are forgotten. */
const MAX_REMEMBERED = 100_000;

/**
 * So often within that time an entry is put out of rotation after it was found in it again. A registry forgets when its
 * server is started anew; who has an entry put back again and again wants it.
 */
const MAX_LIFTS = 3;

interface Lifts {
  readonly registryUid: string;
  readonly count: number;
  readonly at: number;
}

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
  /** By key of the record, oldest first. */
  readonly #lifts = new Map<string, Lifts>();

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
    cutOff(this.#removals, this.#limit);
  }

  /**
   * The entry was taken out of rotation and is found in it again, not by us. A few times that is only forgetfulness;
   * then it counts as one that came back.
   */
  lifted(key: string, registryUid: string): void {
    const at = this.#clock.monotonic();
    const known = this.#lifts.get(key);
    const goesOn = known?.registryUid === registryUid && at - known.at <= REMEMBER_MS;
    const count = goesOn ? known.count + 1 : 1;
    this.#lifts.delete(key);
    this.#lifts.set(key, { registryUid, count, at: goesOn ? known.at : at });
    cutOff(this.#lifts, this.#limit);
    // No version is empty: whatever is listed came after it.
    if (count >= MAX_LIFTS) this.removed(key, registryUid, "");
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
    this.#lifts.delete(key);
  }

  /** True once for each removal: a comeback is told once, whatever is seen of it later. */
  isNews(key: string): boolean {
    const removal = this.#removals.get(key);
    if (removal === undefined || removal.isTold) return false;
    return (removal.isTold = true);
  }
}

/** Forgets the oldest. */
function cutOff(map: Map<string, unknown>, limit: number): void {
  for (const oldest of map.keys()) {
    if (map.size <= limit) return;
    map.delete(oldest);
  }
}
