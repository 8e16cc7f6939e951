import { bulkhead, isBulkheadRejectedError } from "cockatiel";

import type { Clock } from "../../clock/clock.ts";
import { RegistryError } from "../errors.ts";
import type { InstanceRecord, LifeReading } from "../port.ts";
import { type EtcdClient, within } from "./client.ts";
import { parseVersion } from "./version.ts";

/** Questions about leases are answered by the leader alone: so many at a time, so many a second, so many waiting. */
const CONCURRENCY = 8;
const PER_SECOND = 500;
const QUEUE = 10_000;

export interface LeasesOptions {
  readonly clock: Clock;
  readonly callTimeout: number;
  /** A lease's length, once etcd has told it. */
  readonly onLearned: (record: InstanceRecord, lease: string, grantedMs: number) => void;
}

/** Reads other people's leases: how long they were granted for, and how much of it is left. */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #limit = bulkhead(CONCURRENCY, QUEUE);
  #nextAt = Number.NEGATIVE_INFINITY;

  constructor(options: LeasesOptions) {
    this.#options = options;
  }

  /**
   * A lease whose remaining time went up since an earlier reading was refreshed by somebody, or its cluster has a new
   * leader, which gives every lease its full time again: either way not a sign of death.
   */
  async read(client: EtcdClient, record: InstanceRecord, signal: AbortSignal): Promise<LifeReading> {
    const { lease } = parseVersion(record.version);
    if (lease === "0") return { kind: "None" };
    try {
      return await this.#limit.execute(async () => {
        await this.#pace(signal);
        return await this.#ask(client, record, lease, signal);
      });
    } catch (error) {
      if (!isBulkheadRejectedError(error)) throw error;
      throw new RegistryError("TimedOut", `${String(QUEUE)} lease readings wait already`);
    }
  }

  /** What the lease was granted for, milliseconds; 0 without a lease. Waits behind no reading. */
  async grantedMs(client: EtcdClient, record: InstanceRecord, signal: AbortSignal): Promise<number> {
    const { lease } = parseVersion(record.version);
    return lease === "0" ? 0 : (await this.#ask(client, record, lease, signal)).grantedMs;
  }

  async #ask(
    client: EtcdClient,
    record: InstanceRecord,
    lease: string,
    signal: AbortSignal,
  ): Promise<Extract<LifeReading, { kind: "Lease" }>> {
    const { clock, callTimeout, onLearned } = this.#options;
    const startedAt = clock.monotonic();
    const { TTL, grantedTTL } = await client.lease.leaseTimeToLive({ ID: lease }, within(callTimeout, signal));
    const endedAt = clock.monotonic();
    // A lease that has run out answers -1 and 0; its keys are about to leave.
    const isAlive = Number(grantedTTL) > 0;
    const grantedMs = isAlive ? Number(grantedTTL) * 1000 : record.ttlMs;
    if (isAlive) onLearned(record, lease, grantedMs);
    return { kind: "Lease", lease, grantedMs, remainingMs: Math.max(0, Number(TTL)) * 1000, startedAt, endedAt };
  }

  async #pace(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const now = clock.monotonic();
    const at = Math.max(now, this.#nextAt);
    this.#nextAt = at + 1000 / PER_SECOND;
    // A timer takes a millisecond at least: waiting for less would slow readings down below their rate.
    if (at - now > 1) await clock.sleep(at - now, signal);
  }
}
