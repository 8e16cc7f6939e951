import type { Clock } from "../../clock/clock.ts";
import type { ClusterReader, LivePod, PodRecord } from "../../cluster/types.ts";
import { Trigger } from "../../kube/reflector-trigger.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { CompiledPolicy } from "../types.ts";
import type { Policies } from "./policy-set.ts";

/** Pods of one policy. */
export interface PodCount {
  /** Pods it is in charge of. */
  readonly matched: number;
  /** Pods it matches while another policy is in charge, by that policy's name. */
  readonly lost: ReadonlyMap<string, number>;
}

export interface CensusParts {
  readonly cluster: Pick<ClusterReader, "freshness"> & { pods(): Iterable<LivePod> };
  readonly policies: Pick<Policies, "matching">;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Pods looked at before everything else gets a turn: well under a millisecond. */
const SLICE = 500;
/** Between two counts: some 10 ms of work at 20,000 pods. */
const COUNT_EVERY_MS = 10_000;
/** After a change of the policies, and while the cluster is not known yet. */
const COUNT_SOON_MS = 1_000;
const NO_PODS: PodCount = { matched: 0, lost: new Map() };

/** Knows how many pods each policy is in charge of, by counting all of them from time to time. */
export class Census {
  readonly #parts: CensusParts;
  readonly #wanted: Trigger;
  #counts: ReadonlyMap<string, PodCount> | undefined;

  constructor(parts: CensusParts) {
    this.#parts = parts;
    this.#wanted = new Trigger(parts.clock);
  }

  /** Undefined until pods were counted for the first time. */
  of(policy: string): PodCount | undefined {
    return this.#counts && (this.#counts.get(policy) ?? NO_PODS);
  }

  /** To be called when policies have changed. */
  countSoon(): void {
    this.#wanted.fire();
  }

  /** Counts until the signal aborts, then resolves. @param counted called after each count */
  async run(counted: () => void, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    for (;;) {
      try {
        if (await this.#count(signal)) counted();
        await this.#wanted.wait(this.#counts === undefined ? COUNT_SOON_MS : COUNT_EVERY_MS, signal);
        await clock.sleep(COUNT_SOON_MS, signal);
      } catch (error) {
        if (signal.aborted) return;
        log.error({ err: error }, "counting pods failed; it is tried again");
        await clock.sleep(COUNT_EVERY_MS, signal).catch(() => undefined);
      }
    }
  }

  /** @returns false while the cluster is not known: no pods would be no answer */
  async #count(signal: AbortSignal): Promise<boolean> {
    const { cluster, policies, clock } = this.#parts;
    if (!cluster.freshness(clock.monotonic()).fresh) return false;
    const pods = Iterator.from(cluster.pods()).map(({ pod }) => pod);
    this.#counts = await countPods(pods, (pod) => policies.matching(pod), clock, signal);
    return true;
  }
}

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
