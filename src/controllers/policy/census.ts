import type { Sites } from "../../admission/sites.ts";
import type { Clock } from "../../clock/clock.ts";
import type { ClusterView } from "../../cluster/cluster-view.ts";
import type { PodRecord } from "../../cluster/types.ts";
import { Trigger } from "../../kube/reflector-trigger.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { CompiledPolicy } from "../types.ts";
import { type ComplianceCount, ComplianceTally } from "./compliance-count.ts";
import { PodJudge } from "./pod-judge.ts";
import type { Policies } from "./policy-set.ts";

/** Pods of one policy. */
export interface PodCount {
  /** Pods it is in charge of. */
  readonly matched: number;
  /** Pods it matches while another policy is in charge, by that policy's name. */
  readonly lost: ReadonlyMap<string, number>;
  /** How those it is in charge of stand to what it wants of them. */
  readonly compliance: ComplianceCount;
}

/** What is known of one policy's pods. */
export interface PolicyPods extends PodCount {
  /** Of the policy as it was when they were counted. */
  readonly generation: number | undefined;
}

/** The part of the cluster view that is counted. */
export type CountedCluster = Pick<ClusterView, "freshness" | "pods" | "subscribe">;

export interface CensusParts {
  readonly cluster: CountedCluster;
  readonly policies: Pick<Policies, "matching" | "subscribe" | "values">;
  readonly sites: Pick<Sites, "siteOf" | "subscribe">;
  /** Namespaces whose pods no policy changes. */
  readonly excluded: ReadonlySet<string>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Pods looked at before everything else gets a turn: a millisecond or two, where each is judged for the first time. */
const SLICE = 100;
/** Between two counts; a count of 20,000 pods takes some 16 ms, the first 150. Not shorter than so many times what a count took. */
const LEAST_PAUSE_MS = 2_000;
const PAUSE_PER_WORK = 200;
const LONGEST_PAUSE_MS = 30_000;
const NO_PODS: PodCount = { matched: 0, lost: new Map(), compliance: new ComplianceTally().count };

/**
 * Knows how many pods each policy is in charge of and how they stand to it, by counting all of them again after something
 * has changed.
 */
export class Census {
  readonly #parts: CensusParts;
  readonly #changed: Trigger;
  readonly #judge: PodJudge;
  readonly #listeners = new Set<() => void>();
  #counts: ReadonlyMap<string, PodCount> | undefined;
  #generations: ReadonlyMap<string, number> = new Map();

  constructor(parts: CensusParts) {
    this.#parts = parts;
    this.#changed = new Trigger(parts.clock);
    this.#judge = new PodJudge(parts.sites, parts.excluded);
  }

  /** Undefined until pods were counted for the first time. */
  of(policy: string): PolicyPods | undefined {
    if (this.#counts === undefined) return undefined;
    return { ...(this.#counts.get(policy) ?? NO_PODS), generation: this.#generations.get(policy) };
  }

  /** Called after each count. @returns takes the subscription back */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Counts until the signal aborts, then resolves and knows nothing any more. */
  async run(signal: AbortSignal): Promise<void> {
    const { cluster, policies, sites, clock, log } = this.#parts;
    const changed = (): void => this.#changed.fire();
    const unsubscribe = [cluster.subscribe(changed), policies.subscribe(changed), sites.subscribe(changed)];
    changed();
    for (;;) {
      try {
        await this.#changed.wait(Infinity, signal);
        const startedAt = clock.monotonic();
        if (await this.#count(startedAt, signal)) for (const listener of this.#listeners) listener();
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
    this.#counts = undefined;
  }

  /** @returns false while the cluster is not known: no pods would be no answer */
  async #count(now: number, signal: AbortSignal): Promise<boolean> {
    const { cluster, policies, clock } = this.#parts;
    if (!cluster.freshness(now).fresh) return false;
    const generations = new Map(Iterator.from(policies.values()).map(({ name, generation }) => [name, generation]));
    const pods = Iterator.from(cluster.pods()).map(({ pod }) => pod);
    this.#judge.begin();
    this.#counts = await countPods(pods, (pod) => policies.matching(pod), this.#judge, clock, signal);
    this.#generations = generations;
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
  judge: Pick<PodJudge, "judge">,
  clock: Clock,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, PodCount>> {
  const counts = new Map<string, { matched: number; lost: Map<string, number>; tally: ComplianceTally }>();
  let left = SLICE;
  for (const pod of pods) {
    let winner: string | undefined;
    for (const policy of matching(pod)) {
      const { name } = policy;
      let count = counts.get(name);
      if (count === undefined)
        counts.set(name, (count = { matched: 0, lost: new Map(), tally: new ComplianceTally() }));
      if (winner === undefined) {
        count.matched++;
        count.tally.add(pod, judge.judge(pod, policy));
      } else count.lost.set(winner, (count.lost.get(winner) ?? 0) + 1);
      winner ??= name;
    }
    if (--left > 0) continue;
    left = SLICE;
    await clock.sleep(0, signal);
  }
  return new Map(
    Iterator.from(counts).map(([name, { matched, lost, tally }]) => [name, { matched, lost, compliance: tally.count }]),
  );
}
