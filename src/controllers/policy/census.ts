import type { Clock } from "../../clock/clock.ts";
import type { PodRecord } from "../../cluster/types.ts";
import type { CompiledPolicy } from "../types.ts";

/** Pods of one policy. */
export interface PodCount {
  /** Pods it is in charge of. */
  readonly matched: number;
  /** Pods it matches while another policy is in charge, by that policy's name. */
  readonly lost: ReadonlyMap<string, number>;
}

/** Pods looked at before everything else gets a turn: well under a millisecond. */
const SLICE = 500;

/**
 * Counts the pods of every policy in one pass over all pods, in slices, so that a pod's death is never kept waiting.
 * The pass is not a snapshot: pods that come or go meanwhile may be counted or not.
 * @throws the signal's reason when it aborts
 */
export async function countPods(
  pods: Iterable<PodRecord>,
  matching: (pod: PodRecord) => Iterable<CompiledPolicy>,
  clock: Clock,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, PodCount>> {
  const counts = new Map<string, { matched: number; lost: Map<string, number> }>();
  let left = SLICE;
  for (const pod of pods) {
    let winner: string | undefined;
    for (const { name } of matching(pod)) {
      let count = counts.get(name);
      if (count === undefined) counts.set(name, (count = { matched: 0, lost: new Map() }));
      if (winner === undefined) count.matched++;
      else count.lost.set(winner, (count.lost.get(winner) ?? 0) + 1);
      winner ??= name;
    }
    if (--left > 0) continue;
    left = SLICE;
    await clock.sleep(0, signal);
  }
  return counts;
}
