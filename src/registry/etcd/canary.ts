import type { IKeyValue, IPutResponse, IResponseHeader } from "etcd3";

import type { Clock, Random } from "../../clock/clock.ts";
import { RegistryError } from "../errors.ts";
import { type EtcdClient, within } from "./client.ts";
import { OwnLease } from "./own-lease.ts";

/** The canary leaves this long after its process, seconds. */
const LEASE_TTL = 60;

export interface CanaryOptions {
  readonly key: Buffer;
  readonly holder: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** A canary that etcd has accepted: a linearizable write, and so a barrier. */
export interface Beat {
  /** Local monotonic milliseconds at which the write began. */
  readonly startedAt: number;
  readonly revision: number;
}

/**
 * Writes our key again and again, and makes sure that each answer comes from the history we know: the same cluster,
 * a larger revision, and our own previous canary underneath. A cluster restored from a snapshot has the same id, and in
 * time a larger revision, but not our canary where we wrote it.
 */
export class Canary {
  readonly #options: CanaryOptions;
  readonly #lease: OwnLease;
  #clusterId = "";
  #highest = 0;
  #last: { readonly revision: number; readonly value: Buffer } | undefined;
  #count = 0;
  #isContinuous = false;

  constructor(options: CanaryOptions) {
    this.#options = options;
    const { clock, timeoutMs } = options;
    this.#lease = new OwnLease({ ttlSeconds: LEASE_TTL, renewAfterMs: (LEASE_TTL * 1000) / 2, timeoutMs, clock });
  }

  /** Empty until the first answer. */
  get clusterId(): string {
    return this.#clusterId;
  }

  /** Revision of our last canary; undefined when there is none in the data as it is now. */
  get lastRevision(): number | undefined {
    return this.#last?.revision;
  }

  /** False from the first sign that the data is not what it was, until {@link restart}. */
  get isContinuous(): boolean {
    return this.#isContinuous;
  }

  /** Nothing shows any more that the data is what it was. */
  doubt(): void {
    this.#isContinuous = false;
    this.#last = undefined;
  }

  /** Whatever is read from now on counts as the beginning. */
  restart(): void {
    this.#isContinuous = true;
  }

  /** The highest revision known now: a linearizable request that begins now is answered with no smaller one. */
  get highest(): number {
    return this.#highest;
  }

  /**
   * Checks the header of a linearizable answer.
   * @param floor {@link highest} when the request began; answers and events overtake one another
   * @throws RegistryError `ClusterChanged` or `WentBack`; the data seen then is the new measure
   */
  observe(header: IResponseHeader, floor: number): void {
    const revision = Number(header.revision);
    const clusterId = this.#clusterId;
    this.#clusterId = header.cluster_id;
    if (clusterId !== "" && clusterId !== header.cluster_id) {
      this.#highest = revision;
      throw this.#broken("ClusterChanged", `another cluster answers (${header.cluster_id}, was ${clusterId})`);
    }
    if (revision < floor) {
      this.#highest = revision;
      throw this.#broken(
        "WentBack",
        `the revision went back from ${String(floor)} to ${String(revision)}: wiped, or restored from a backup`,
      );
    }
    this.sawRevision(revision);
  }

  /** An event of this revision was delivered. */
  sawRevision(revision: number): void {
    this.#highest = Math.max(this.#highest, revision);
  }

  /** @throws RegistryError, or the signal's reason */
  async beat(client: EtcdClient, signal: AbortSignal): Promise<Beat> {
    const { clock, holder, random } = this.#options;
    this.#count++;
    const value = Buffer.from(`${holder} ${String(this.#count)} ${random().toString(36).slice(2)}`);
    const floor = this.#highest;
    const startedAt = clock.monotonic();
    const answer = await this.#put(client, value, signal);
    this.observe(answer.header, floor);
    const revision = Number(answer.header.revision);
    const previous = this.#last;
    this.#last = { revision, value };
    if (previous !== undefined && this.#isContinuous && !isKey(answer.prev_kv, previous)) {
      await this.#checkHistory(client, previous, signal);
    }
    return { startedAt, revision };
  }

  async #put(client: EtcdClient, value: Buffer, signal: AbortSignal): Promise<IPutResponse> {
    const { key, timeoutMs } = this.#options;
    const put = async (): Promise<IPutResponse> =>
      client.kv.put({ key, value, lease: await this.#lease.id(client), prev_kv: true }, within(timeoutMs, signal));
    try {
      return await put();
    } catch (error) {
      if (!(error instanceof RegistryError && error.code === "LeaseNotFound")) throw error;
      this.#lease.forget();
      return await put();
    }
  }

  /** What lies under the new canary is not the previous one: it ran out, or a lost answer hid one, or history differs. */
  async #checkHistory(
    client: EtcdClient,
    previous: { readonly revision: number; readonly value: Buffer },
    signal: AbortSignal,
  ): Promise<void> {
    const { key, timeoutMs } = this.#options;
    try {
      const then = await client.kv.range({ key, revision: previous.revision }, within(timeoutMs, signal));
      if (isKey(then.kvs[0], previous)) return;
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      if (error.code === "Compacted") {
        throw this.#broken("Compacted", "the revision of our last canary was compacted: continuity can not be proven");
      }
      // Not checked, hence to be checked by the next beat.
      this.#last = previous;
      throw error;
    }
    throw this.#broken("WentBack", "the history does not hold our last canary: the data was restored from a backup");
  }

  #broken(code: "ClusterChanged" | "WentBack" | "Compacted", message: string): RegistryError {
    this.doubt();
    this.#lease.forget();
    return new RegistryError(code, message);
  }
}

function isKey(
  found: IKeyValue | null | undefined,
  expected: { readonly revision: number; readonly value: Buffer },
): boolean {
  return found?.mod_revision === String(expected.revision) && expected.value.equals(found.value);
}
