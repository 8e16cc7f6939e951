import type { Clock } from "../../clock/clock.ts";
import { type EtcdClient, within } from "./client.ts";

export interface OwnLeaseOptions {
  readonly ttlSeconds: number;
  /** Milliseconds after which new keys get a new lease; the old one runs out with the keys it has. */
  readonly renewAfterMs: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/**
 * A lease for keys of ours. It is never kept alive: keys leave by themselves, between `ttl - renewAfter` and `ttl` after
 * they were written, whatever becomes of this process.
 */
export class OwnLease {
  readonly #options: OwnLeaseOptions;
  #grant: { readonly id: Promise<string>; readonly at: number } | undefined;

  constructor(options: OwnLeaseOptions) {
    this.#options = options;
  }

  /**
   * The lease to write with now. Granted by the first caller for all.
   * @throws RegistryError
   */
  async id(client: EtcdClient): Promise<string> {
    const { clock, renewAfterMs, ttlSeconds, timeoutMs } = this.#options;
    const now = clock.monotonic();
    if (this.#grant === undefined || now - this.#grant.at > renewAfterMs) {
      const id = client.lease
        // Shared by all callers, so that none of them may cancel it.
        .leaseGrant({ TTL: ttlSeconds }, within(timeoutMs, new AbortController().signal))
        .then((granted) => granted.ID);
      const grant = { id, at: now };
      this.#grant = grant;
      id.catch(() => {
        if (this.#grant === grant) this.#grant = undefined;
      });
    }
    return await this.#grant.id;
  }

  /** The lease is gone, or belongs to data that is no more. */
  forget(): void {
    this.#grant = undefined;
  }
}
