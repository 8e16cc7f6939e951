import type { PodRecord } from "../cluster/types.ts";
import type { InstanceRecord } from "../registry/port.ts";
import type { ConfirmParts } from "./confirm.ts";
import { isHolder, lookUp, readHolders } from "./holders.ts";

/**
 * The confirm read of a release. A verdict Live rests on our view; this asks the API server itself, by quorum read,
 * whether a pod that the view knows at the record's address still lives. A pod that the view does not know yet counts
 * for nothing: the judgement knows nothing of it either.
 * @returns undefined when there is none
 * @throws what LivePods raises; then nothing may be written
 */
export async function confirmOwner(
  { endpoints }: InstanceRecord,
  { cluster, live }: ConfirmParts,
  signal: AbortSignal,
): Promise<PodRecord | undefined> {
  const reads = new Map<string, Promise<readonly PodRecord[]>>();
  for (const endpoint of endpoints) {
    if (!reads.has(endpoint.host)) reads.set(endpoint.host, readHolders(endpoint, cluster, live, signal));
  }
  const answers = new Map(await Promise.all(Array.from(reads, async ([host, read]) => [host, await read] as const)));
  for (const endpoint of endpoints) {
    // Looked up after the read: a pod that ended meanwhile in the view is no owner any more.
    const known = new Set(lookUp(endpoint, cluster)?.live.map(({ pod }) => pod.uid));
    const owner = answers
      .get(endpoint.host)
      ?.find((pod) => lives(pod) && known.has(pod.uid) && isHolder(pod, endpoint, cluster));
    if (owner !== undefined) return owner;
  }
  return undefined;
}

/** One that terminates still serves, but nobody should be sent to it any more. */
function lives({ phase, deleting, terminated }: PodRecord): boolean {
  return (phase === "Running" || phase === "Pending") && !deleting && !terminated;
}
