import { Deadline } from "../clock/deadline.ts";
import type { Clock, Random } from "../clock/clock.ts";
import type { PodRecord } from "../cluster/types.ts";
import { Backoff } from "../kube/backoff.ts";
import { KubeError } from "../kube/http-errors.ts";
import { readList } from "../kube/list.ts";
import { compareRevisions } from "../kube/resource-version.ts";
import type { KubeTransport, Query } from "../kube/transport.ts";
import type { ObjectIdentity } from "../kube/types.ts";
import { readObject } from "../kube/watch.ts";
import { type AddressCounts, readAddressCounts } from "./address-counts.ts";
import type { LivePods } from "./live-pods.ts";
import { NextBatch } from "./next-batch.ts";
import { Slots } from "../net/slots.ts";

/** Reads under way at once for addresses that the shared read did not settle. */
const MAX_CONCURRENT = 8;
/** More pods than that at one address are not read one by one. */
const MAX_EXPECTED = 3;
/** Reads that scan every pod in the server leave it alone for so many times as long as they took. */
const REST = { address: 1, counts: 3, pending: 7 } as const;
/** How often a list is begun anew because its continue token expired, before it is given up. */
const MAX_RESTARTS = 3;
const PAGE_SIZE = 500;
/** For one page, milliseconds. */
const PAGE_DEADLINE_MS = 5_000;
/** For a whole list: one of 50,000 pods takes about ten seconds. */
const LIST_DEADLINE_MS = 30_000;
/** Between two attempts at one page, milliseconds. */
const PAGE_RETRY = { firstMs: 100, maxMs: 1_000 };

export interface QuorumPodsParts {
  readonly transport: Pick<KubeTransport, "request">;
  /** What the cluster view keeps of a pod. */
  readonly project: (raw: unknown) => PodRecord;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * LivePods over the API server: no resourceVersion is sent, which is what makes the reads quorum reads.
 *
 * No field selector that is of use here is indexed: the server scans every pod for each (2 µs a pod: 40 ms for 20,000). So
 * a death that comes alone is looked up alone, and those that come together share one count of pods by address, which
 * costs the server as much as four or five look-ups.
 */
export class QuorumPods implements LivePods {
  readonly #parts: QuorumPodsParts;
  readonly #slots = new Slots(MAX_CONCURRENT);
  readonly #pending: NextBatch<readonly PodRecord[]>;
  readonly #all = new NextBatch(() => this.#listForMany({}));
  readonly #counts: NextBatch<AddressCounts>;
  /** When the next address may be looked up alone, local monotonic milliseconds; infinity while one is. */
  #aloneFrom = Number.NEGATIVE_INFINITY;
  /** Becomes false where a server, or what stands before it, answers with something else. */
  #hasTable = true;

  constructor(parts: QuorumPodsParts) {
    this.#parts = parts;
    const { clock, transport } = parts;
    const pending = { fieldSelector: "status.phase=Pending" };
    this.#pending = new NextBatch(() => this.#listForMany(pending), { clock, share: REST.pending });
    const counts = async (): Promise<AddressCounts> => {
      using deadline = new Deadline(clock, LIST_DEADLINE_MS, "a count of pods by address");
      return await readAddressCounts(transport, deadline.signal);
    };
    this.#counts = new NextBatch(counts, { clock, share: REST.counts });
  }

  async atAddress(
    ip: string,
    signal: AbortSignal,
    expected: readonly ObjectIdentity[] = [],
  ): Promise<readonly PodRecord[]> {
    if (this.#parts.clock.monotonic() >= this.#aloneFrom) return await this.#lookUpAlone(ip, signal);
    const counts = this.#hasTable ? await this.#count(signal) : undefined;
    const found = counts && (await this.#find(ip, counts, expected, signal));
    return found ?? (await this.#slots.run(() => this.#lookUp(ip, signal), signal));
  }

  async #lookUpAlone(ip: string, signal: AbortSignal): Promise<readonly PodRecord[]> {
    const { clock } = this.#parts;
    const startedAt = clock.monotonic();
    this.#aloneFrom = Number.POSITIVE_INFINITY;
    try {
      return await this.#lookUp(ip, signal);
    } finally {
      const now = clock.monotonic();
      this.#aloneFrom = now + (now - startedAt) * REST.address;
    }
  }

  async #lookUp(ip: string, signal: AbortSignal): Promise<readonly PodRecord[]> {
    return await this.#list({ fieldSelector: `status.podIP=${ip}` }, signal);
  }

  /** @returns undefined where the server has no such table */
  async #count(signal: AbortSignal): Promise<AddressCounts | undefined> {
    try {
      return await this.#counts.join(signal);
    } catch (error) {
      const isOther = error instanceof KubeError && (error.code === "BadResponse" || error.status === 406);
      if (!isOther) throw error;
      this.#hasTable = false;
      return undefined;
    }
  }

  /**
   * The pods at the address when they were counted. One that was not written since was there then as it is now; when as
   * many are found as were counted, there was no other.
   * @returns undefined when that does not tell
   */
  async #find(
    ip: string,
    counts: AddressCounts,
    expected: readonly ObjectIdentity[],
    signal: AbortSignal,
  ): Promise<readonly PodRecord[] | undefined> {
    const count = counts.pods.get(ip) ?? 0;
    if (count === 0) return [];
    if (count > MAX_EXPECTED || expected.length > MAX_EXPECTED) return undefined;
    const reads = expected.map((pod) => this.#slots.run(() => this.#read(pod, signal), signal));
    const found = new Map<string, PodRecord>();
    for (const pod of await Promise.all(reads)) {
      const isOfThen = pod !== undefined && compareRevisions(pod.resourceVersion, counts.revision) <= 0;
      if (isOfThen && pod.addresses[0] === ip) found.set(pod.uid, pod);
    }
    return found.size === count ? [...found.values()] : undefined;
  }

  /** @returns what has its name now, if anything has */
  async #read({ namespace, name }: ObjectIdentity, signal: AbortSignal): Promise<PodRecord | undefined> {
    const { transport, project } = this.#parts;
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
    try {
      const { body } = await transport.request({ method: "GET", path, deadlineMs: PAGE_DEADLINE_MS, signal });
      return project(readObject(body, "a live read of a pod").raw);
    } catch (error) {
      if (error instanceof KubeError && error.isNotFound) return undefined;
      throw error;
    }
  }

  async pending(signal: AbortSignal): Promise<readonly PodRecord[]> {
    return await this.#pending.join(signal);
  }

  async all(signal: AbortSignal): Promise<readonly PodRecord[]> {
    return await this.#all.join(signal);
  }

  /** Belongs to nobody alone, so that nobody's signal ends it. */
  async #listForMany(query: Query): Promise<readonly PodRecord[]> {
    using deadline = new Deadline(this.#parts.clock, LIST_DEADLINE_MS, "a live list of pods");
    return await this.#list(query, deadline.signal);
  }

  /** A list that is begun anew began after it was asked for all the same. */
  async #list(query: Query, signal: AbortSignal): Promise<readonly PodRecord[]> {
    for (let restarts = 0; ; restarts++) {
      try {
        return await this.#pages(query, signal);
      } catch (error) {
        if (!(error instanceof KubeError && error.isExpired) || restarts >= MAX_RESTARTS) throw error;
      }
    }
  }

  async #pages(query: Query, signal: AbortSignal): Promise<readonly PodRecord[]> {
    const { transport, project, clock, random } = this.#parts;
    const pods: PodRecord[] = [];
    await readList({
      transport,
      clock,
      path: "/api/v1/pods",
      query,
      pageSize: PAGE_SIZE,
      deadlineMs: PAGE_DEADLINE_MS,
      backoff: new Backoff({ clock, random, ...PAGE_RETRY }),
      signal,
      onRevision: () => undefined,
      onPage: (items) => {
        for (const item of items) pods.push(project(readObject(item, "a live list of pods").raw));
      },
    });
    return pods;
  }
}
