import type { PodRecord } from "../cluster/types.ts";
import type { ObjectIdentity } from "../kube/types.ts";

/**
 * Quorum reads of pods, straight from the API server and past every cache. Each returns what was committed when the
 * call began, or later, all of one revision; an answer that is not complete is an error, never a shorter list.
 * Each raises KubeError, HygeiaError `DeadlineExceeded`, or the signal's reason.
 */
export interface LivePods {
  /**
   * Pods whose primary address is `ip`.
   * @param expected pods that are known to have had it, which may save a dearer read; the answer does not rest on them
   */
  atAddress(ip: string, signal: AbortSignal, expected?: readonly ObjectIdentity[]): Promise<readonly PodRecord[]>;
  /** Pods that have not been reported as started yet: among them may be one whose address is not known. */
  pending(signal: AbortSignal): Promise<readonly PodRecord[]>;
  /** Every pod; the dearest read, for addresses that no field selector can look up. */
  all(signal: AbortSignal): Promise<readonly PodRecord[]>;
}
