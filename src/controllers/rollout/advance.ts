import type { Clock } from "../../clock/clock.ts";
import { HygeiaError } from "../../errors.ts";
import { KubeError } from "../../kube/http-errors.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { Evicted, RolloutApi, WorkloadPod } from "../../rollout/api.ts";
import { progressOf } from "../../rollout/progress.ts";
import { fingerprintOf, ROLLOUT_ANNOTATION, type RolloutEntry, type RolloutRules } from "../../rollout/types.ts";
import { isSettled, type Workload } from "../../rollout/workload.ts";
import type { CompiledPolicy } from "../types.ts";
import { driftedOf, type JudgingParts } from "./judging.ts";

/** What became of a workload that was under way. */
export interface Step {
  readonly entry: RolloutEntry;
  /** It was not begun after all: it changed at that moment, and is to be looked at anew. */
  readonly isWithdrawn?: boolean;
  /** For a person, while it goes on. */
  readonly note?: string;
}

export interface AdvanceParts extends JudgingParts {
  readonly api: Pick<RolloutApi, "workload" | "annotate" | "pods" | "evict">;
  /** False from the moment this replica may not act any more. */
  readonly isLeader: () => boolean;
  readonly clock: Clock;
  readonly metrics: Pick<Metrics, "rollouts">;
}

/** What is known of a workload under way in this leadership only. Times are monotonic. */
interface Course {
  /** This replica began it. */
  readonly isOwn: boolean;
  /** When it was last touched, or first seen under way; with Evict, when it was last seen whole. */
  touchedAt: number;
  /** Evict: pods that were there at the beginning, or when this replica took over, and not younger than the roll-out. */
  targets: ReadonlySet<string> | undefined;
  /** Evict: since when PodDisruptionBudgets refuse the next one, and from when it may be asked again. */
  refused: { readonly since: number; readonly until: number } | undefined;
}

/** Brings workloads under way one step further, and finds out when they have ended. */
export class Advance {
  readonly #parts: AdvanceParts;
  readonly #courses = new Map<string, Course>();

  constructor(parts: AdvanceParts) {
    this.#parts = parts;
  }

  /** To be called when this replica becomes the leader. */
  clear(): void {
    this.#courses.clear();
  }

  /** To be called before the first step of a workload that this replica begins. */
  begin(entry: RolloutEntry): void {
    this.#courses.set(keyOf(entry), courseOf(true, this.#parts.clock));
  }

  /**
   * @param mayDisrupt whether anything may be taken away now
   * @throws KubeError
   */
  async step(
    entry: RolloutEntry,
    policy: CompiledPolicy & { readonly rollout: RolloutRules },
    mayDisrupt: boolean,
    signal: AbortSignal,
  ): Promise<Step> {
    const { api, clock } = this.#parts;
    const key = keyOf(entry);
    const course = this.#courses.get(key) ?? courseOf(false, clock);
    this.#courses.set(key, course);
    const workload = await api.workload(entry, signal);
    let step: Step;
    if (workload?.uid !== entry.uid || workload.deleting) step = ended(entry, "Gone");
    else if (entry.strategy === "Template")
      step = await this.#template(entry, workload, course, policy, mayDisrupt, signal);
    else step = await this.#evict(entry, workload, course, policy, mayDisrupt, signal);
    if (step.entry.result !== "Started" || step.isWithdrawn === true) this.#courses.delete(key);
    return step;
  }

  async #template(
    entry: RolloutEntry,
    workload: Workload,
    course: Course,
    policy: CompiledPolicy & { readonly rollout: RolloutRules },
    mayDisrupt: boolean,
    signal: AbortSignal,
  ): Promise<Step> {
    const { api, clock } = this.#parts;
    const annotation = workload.podTemplate.metadata.annotations?.[ROLLOUT_ANNOTATION];
    // The same generation: the annotation was never set. Another one without it: somebody took it out, and once is enough.
    if (annotation !== entry.fingerprint && workload.generation === entry.workloadGeneration) {
      course.touchedAt = clock.monotonic();
      if (!mayDisrupt) return { entry, note: "it waits" };
      return await this.#annotate(entry, workload, signal);
    }
    const limitMs = policy.rollout.availableWithinMs;
    const waitedMs = clock.monotonic() - course.touchedAt;
    const progress = progressOf(workload, waitedMs, limitMs);
    if (progress.kind === "Failed") return ended(entry, "Failed", progress.message);
    const { status, replicas } = workload;
    if (progress.kind === "Progressing") return { entry, note: `${status.updated}/${replicas} updated` };
    // A later state of the policy judges its pods anew.
    if (entry.fingerprint !== fingerprintOf(policy)) return ended(entry, "Done");
    const pods = (await api.pods(workload, signal)).filter(({ deleting }) => !deleting);
    const [drifted] = driftedOf(pods, policy, this.#parts);
    if (drifted === undefined) return ended(entry, "Done");
    if (annotation !== entry.fingerprint) return ended(entry, "Failed", takenOut(drifted));
    if (waitedMs < limitMs) return { entry, note: `pod ${drifted.name} still differs` };
    return ended(entry, "Failed", stillDiffers(drifted));
  }

  async #annotate(entry: RolloutEntry, workload: Workload, signal: AbortSignal): Promise<Step> {
    this.#requireLeadership();
    try {
      await this.#parts.api.annotate(workload, entry.fingerprint, signal);
      return { entry };
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      if (error.isConflict || error.isNotFound) return { entry, isWithdrawn: true };
      if (!isRefusal(error)) throw error;
      return ended(entry, "Failed", `the API server refuses its annotation: ${error.message}`);
    }
  }

  async #evict(
    entry: RolloutEntry,
    workload: Workload,
    course: Course,
    policy: CompiledPolicy & { readonly rollout: RolloutRules },
    mayDisrupt: boolean,
    signal: AbortSignal,
  ): Promise<Step> {
    const { api, clock } = this.#parts;
    const limitMs = policy.rollout.availableWithinMs;
    const pods = await api.pods(workload, signal);
    const drifted = driftedOf(pods, policy, this.#parts);
    course.targets ??= new Set(
      pods.flatMap(({ uid, createdAt }) => (course.isOwn || createdAt <= entry.startedAt ? [uid] : [])),
    );
    const { targets } = course;
    // What came after the beginning and differs all the same would differ for ever.
    const isCurrent = entry.fingerprint === fingerprintOf(policy);
    const anew = isCurrent ? drifted.find(({ uid }) => !targets.has(uid)) : undefined;
    if (anew !== undefined) return ended(entry, "Failed", stillDiffers(anew));
    const waitedMs = clock.monotonic() - course.touchedAt;
    // The status can be of the moment before the last eviction: the pods themselves decide.
    const progress = progressOf(workload, waitedMs, limitMs, isWhole(workload, pods));
    if (progress.kind === "Failed") return ended(entry, "Failed", progress.message);
    if (progress.kind === "Progressing") return { entry, note: `${drifted.length} pods still differ` };
    // What is missing from now on is missing since now.
    course.touchedAt = clock.monotonic();
    const [next] = drifted;
    if (next === undefined || !isCurrent) return ended(entry, "Done");
    const now = clock.monotonic();
    if (!mayDisrupt || now < (course.refused?.until ?? 0)) {
      return { entry, note: mayDisrupt ? `a PodDisruptionBudget holds back ${next.name}` : "it waits" };
    }
    return await this.#evictPod(entry, next, course, limitMs, signal);
  }

  async #evictPod(
    entry: RolloutEntry,
    pod: WorkloadPod,
    course: Course,
    limitMs: number,
    signal: AbortSignal,
  ): Promise<Step> {
    const { api, clock, metrics } = this.#parts;
    this.#requireLeadership();
    let evicted: Evicted;
    try {
      evicted = await api.evict(pod, signal);
    } catch (error) {
      if (!(error instanceof KubeError && isRefusal(error))) throw error;
      return ended(entry, "Failed", `the API server refuses the eviction of pod ${pod.name}: ${error.message}`);
    }
    metrics.rollouts.podEvictions.inc({ result: evicted.kind });
    const now = clock.monotonic();
    if (evicted.kind !== "Refused") {
      course.refused = undefined;
      course.touchedAt = now;
      return { entry, note: `pod ${pod.name} evicted` };
    }
    const since = course.refused?.since ?? now;
    course.refused = { since, until: now + evicted.retryAfterMs };
    if (now - since >= limitMs)
      return ended(entry, "Blocked", `pod ${pod.name} can not be evicted: ${evicted.message}`);
    return { entry, note: `a PodDisruptionBudget holds back ${pod.name}` };
  }

  #requireLeadership(): void {
    if (!this.#parts.isLeader()) throw new HygeiaError("NotLeading", "this replica leads no more");
  }
}

function keyOf({ uid, fingerprint }: RolloutEntry): string {
  return `${uid}/${fingerprint}`;
}

function courseOf(isOwn: boolean, clock: Clock): Course {
  return { isOwn, touchedAt: clock.monotonic(), targets: undefined, refused: undefined };
}

/** As many pods are ready as it wants, and none is on its way out: one at a time. */
function isWhole(workload: Workload, pods: readonly WorkloadPod[]): boolean {
  const isLeaving = pods.some(({ deleting }) => deleting);
  const ready = pods.filter((pod) => pod.ready && !pod.deleting).length;
  return isSettled(workload) && !isLeaving && ready >= workload.replicas;
}

/** Asking again would bring the same answer. */
function isRefusal({ status, isUnauthorized, isTooManyRequests }: KubeError): boolean {
  return status >= 400 && status < 500 && !isUnauthorized && !isTooManyRequests;
}

function stillDiffers({ name }: WorkloadPod): string {
  return `its new pod ${name} differs from the policy too: admission did not change it`;
}

function takenOut({ name }: WorkloadPod): string {
  return (
    `the annotation ${ROLLOUT_ANNOTATION} was taken out of its pod template before pod ${name} was replaced: ` +
    "let the tool that did it ignore the annotation"
  );
}

function ended(entry: RolloutEntry, result: RolloutEntry["result"], message?: string): Step {
  return { entry: { ...entry, result, message } };
}
