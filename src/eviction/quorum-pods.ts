import { Deadline } from "../clock/deadline.ts";
import type { Clock, Random } from "../clock/clock.ts";
import type { PodRecord } from "../cluster/types.ts";
import { Backoff } from "../kube/backoff.ts";
import { KubeError } from "../kube/http-errors.ts";
import { readList } from "../kube/list.ts";
import type { KubeTransport, Query } from "../kube/transport.ts";
import { readObject } from "../kube/watch.ts";
import type { LivePods } from "./live-pods.ts";
import { NextBatch } from "./next-batch.ts";
import { Slots } from "./slots.ts";

/** Reads by address under way at once. The field selector is not indexed: each read costs a scan in the server. */
const MAX_CONCURRENT = 8;
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

/** LivePods over the API server: no resourceVersion is sent, which is what makes the reads quorum reads. */
export class QuorumPods implements LivePods {
  readonly #parts: QuorumPodsParts;
  readonly #slots = new Slots(MAX_CONCURRENT);
  readonly #pending = new NextBatch(() => this.#listForMany({ fieldSelector: "status.phase=Pending" }));
  readonly #all = new NextBatch(() => this.#listForMany({}));

  constructor(parts: QuorumPodsParts) {
    this.#parts = parts;
  }

  async atAddress(ip: string, signal: AbortSignal): Promise<readonly PodRecord[]> {
    return await this.#slots.run(() => this.#list({ fieldSelector: `status.podIP=${ip}` }, signal), signal);
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
