import type { Clock } from "../../clock/clock.ts";
import type { ClusterView } from "../../cluster/cluster-view.ts";
import type { PodRecord } from "../../cluster/types.ts";
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

/** The part of the cluster view that is counted. */
export type CountedCluster = Pick<ClusterView, "freshness" | "pods" | "subscribe">;

export interface CensusParts {
  readonly cluster: CountedCluster;
  readonly policies: Pick<Policies, "matching" | "subscribe">;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Pods looked at before everything else gets a turn: well under a millisecond. */
const SLICE = 500;
/** Between two counts; a count of 20,000 pods takes some 10 ms. Not shorter than so many times what a count took. */
const LEAST_PAUSE_MS = 2_000;
const PAUSE_PER_WORK = 200;
const LONGEST_PAUSE_MS = 30_000;
const NO_PODS: PodCount = { matched: 0, lost: new Map() };

/** Knows how many pods each policy is in charge of, by counting all of them again after something has changed. */
export class Census {
  readonly #parts: CensusParts;
  readonly #changed: Trigger;
  #counts: ReadonlyMap<string, PodCount> | undefined;

  constructor(parts: CensusParts) {
    this.#parts = parts;
    this.#changed = new Trigger(parts.clock);
  }

  /** Undefined until pods were counted for the first time. */
  of(policy: string): PodCount | undefined {
    return this.#counts && (this.#counts.get(policy) ?? NO_PODS);
  }

  /** Counts until the signal aborts, then resolves. @param counted called after each count */
  async run(counted: () => void, signal: AbortSignal): Promise<void> {
    const { cluster, policies, clock, log } = this.#parts;
    const changed = (): void => this.#changed.fire();
    const unsubscribe = [cluster.subscribe(changed), policies.subscribe(changed)];
    changed();
    for (;;) {
      try {
        await this.#changed.wait(Infinity, signal);
        const startedAt = clock.monotonic();
        if (await this.#count(startedAt, signal)) counted();
        else changed();
        const workMs = clock.monotonic() - startedAt;
        await clock.sleep(Math.min(LONGEST_PAUSE_MS, Math.max(LEAST_PAUSE_MS, workMs * PAUSE_PER_WORK)), signal);
      } catch (error) {
        if (signal.aborted) break;
        log.error({ err: error }, "counting pods failed; it is tried again");
        await clock.sleep(LONGEST_PAUSE_MS, signal).catch(() => undefined);
        changed();
      }
    }
    for (const end of unsubscribe) end();
  }

  /** @returns false while the cluster is not known: no pods would be no answer */
  async #count(now: number, signal: AbortSignal): Promise<boolean> {
    const { cluster, policies, clock } = this.#parts;
    if (!cluster.freshness(now).fresh) return false;
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
