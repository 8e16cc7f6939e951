import type { PodRecord } from "../cluster/types.ts";
import { KubeError } from "../kube/http-errors.ts";
import type { CallResponse, Query } from "../kube/transport.ts";
import type { LivePods } from "./live-pods.ts";

/** The one method of KubeTransport that is needed here. */
interface Caller {
  request(call: {
    method: "GET";
    path: string;
    query: Query;
    deadlineMs: number;
    signal: AbortSignal;
  }): Promise<CallResponse>;
}

/** Reads under way at once. The field selector on addresses is not indexed: each read costs a scan in the server. */
const MAX_CONCURRENT = 8;
/** Rounds of pages that end in an expired continue token before the read is given up. */
const MAX_RESTARTS = 3;
const PAGE_SIZE = 500;
const DEADLINE_MS = 5_000;
/** A whole list of 50,000 pods takes about ten seconds. */
const LIST_DEADLINE_MS = 30_000;

/** LivePods over the API server: no resourceVersion is sent, which is what makes the reads quorum reads. */
export class QuorumPods implements LivePods {
  readonly #caller: Caller;
  readonly #project: (raw: unknown) => PodRecord | undefined;
  readonly #pending = new NextBatch((signal) => this.#list({ fieldSelector: "status.phase=Pending" }, signal));
  readonly #all = new NextBatch((signal) => this.#list({}, signal));
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(caller: Caller, project: (raw: unknown) => PodRecord | undefined) {
    this.#caller = caller;
    this.#project = project;
  }

  async atAddress(ip: string, signal: AbortSignal): Promise<readonly PodRecord[]> {
    return await this.#bounded(() => this.#list({ fieldSelector: `status.podIP=${ip}` }, signal));
  }

  async onNode(node: string, signal: AbortSignal): Promise<readonly PodRecord[]> {
    return await this.#bounded(() => this.#list({ fieldSelector: `spec.nodeName=${node}` }, signal));
  }

  async pending(signal: AbortSignal): Promise<readonly PodRecord[]> {
    return await this.#pending.join(signal);
  }

  async all(signal: AbortSignal): Promise<readonly PodRecord[]> {
    return await this.#all.join(signal);
  }

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
    const pods: PodRecord[] = [];
    let token: string | undefined;
    do {
      const { body } = await this.#caller.request({
        method: "GET",
        path: "/api/v1/pods",
        query: { ...query, limit: PAGE_SIZE, continue: token },
        deadlineMs: DEADLINE_MS,
        signal,
      });
      const page = parsePage(body);
      for (const raw of page.items) {
        const pod = this.#project(raw);
        if (pod === undefined) throw new KubeError("BadResponse", "a list of pods held something that is not a pod");
        pods.push(pod);
      }
      token = page.next;
    } while (token !== undefined);
    return pods;
  }

  async #bounded<T>(read: () => Promise<T>): Promise<T> {
    while (this.#running >= MAX_CONCURRENT) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running += 1;
    try {
      return await read();
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }
}

/**
 * Lets many callers share one dear read. A caller never gets a read that began before it asked: those who ask while
 * one is under way share the next one.
 */
class NextBatch<T> {
  readonly #read: (signal: AbortSignal) => Promise<T>;
  #current: Promise<unknown> = Promise.resolve();
  #next: Promise<T> | undefined;

  constructor(read: (signal: AbortSignal) => Promise<T>) {
    this.#read = read;
  }

  /** @throws the signal's reason when it aborts first; the shared read goes on for the others */
  async join(signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    this.#next ??= this.#start();
    const shared = this.#next;
    return await new Promise<T>((resolve, reject) => {
      const onAbort = (): void => {
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      shared.then(resolve, reject).finally(() => {
        signal.removeEventListener("abort", onAbort);
      });
    });
  }

  async #start(): Promise<T> {
    await this.#current.catch(() => undefined);
    const running = this.#read(AbortSignal.timeout(LIST_DEADLINE_MS));
    this.#current = running;
    this.#next = undefined;
    return await running;
  }
}

function parsePage(body: unknown): { readonly items: readonly unknown[]; readonly next: string | undefined } {
  const list = body as { items?: unknown; metadata?: { continue?: unknown } } | null;
  if (!Array.isArray(list?.items)) throw new KubeError("BadResponse", "the answer to a list of pods is not a list");
  const token = list.metadata?.continue;
  return { items: list.items as unknown[], next: typeof token === "string" && token !== "" ? token : undefined };
}
