import type { PodRecord } from "../../src/cluster/types.ts";
import type { LivePods } from "../../src/eviction/live-pods.ts";

/**
 * What the API server would answer, when a test of what comes after the answer says it: the pods that really are, while
 * the view may know others. QuorumPods is held against a real API server in test/integration.
 */
export class ApiPods implements LivePods {
  readonly #pods = new Map<string, PodRecord>();
  /** The reads so far, oldest first. */
  readonly reads: string[] = [];
  /** Waited for by every read; a rejection is what the read raises. */
  answer: (signal: AbortSignal) => Promise<unknown> = () => Promise.resolve();

  set(...pods: readonly PodRecord[]): void {
    for (const pod of pods) this.#pods.set(pod.uid, pod);
  }

  delete(uid: string): void {
    this.#pods.delete(uid);
  }

  atAddress(ip: string, signal: AbortSignal): Promise<readonly PodRecord[]> {
    return this.#read(`at ${ip}`, signal, (pod) => pod.addresses[0] === ip);
  }

  pending(signal: AbortSignal): Promise<readonly PodRecord[]> {
    return this.#read("pending", signal, ({ phase }) => phase === "Pending");
  }

  all(signal: AbortSignal): Promise<readonly PodRecord[]> {
    return this.#read("all", signal, () => true);
  }

  async #read(what: string, signal: AbortSignal, matches: (pod: PodRecord) => boolean): Promise<readonly PodRecord[]> {
    this.reads.push(what);
    await this.answer(signal);
    return [...this.#pods.values()].filter(matches);
  }
}
