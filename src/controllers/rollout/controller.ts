import type { Clock } from "../../clock/clock.ts";
import { HygeiaError } from "../../errors.ts";
import { Controller, type ReconcileContext, type Result } from "../../kube/controller.ts";
import type { EventRecorder } from "../../kube/event-recorder.ts";
import { KubeError } from "../../kube/http-errors.ts";
import type { KubeTransport } from "../../kube/transport.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { RolloutApi } from "../../rollout/api.ts";
import { type Look, planRollout, type RolloutPlan, withEntry, withoutStale } from "../../rollout/plan.ts";
import {
  fingerprintOf,
  type Hold,
  keyOfWorkload,
  type RolloutEntry,
  type RolloutRules,
  workloadOfKey,
  type WorkloadReference,
} from "../../rollout/types.ts";
import { obstacleTo, selects, type Workload } from "../../rollout/workload.ts";
import type { Census } from "../policy/census.ts";
import type { DriftedWorkload } from "../policy/compliance-count.ts";
import type { Policies } from "../policy/policy-set.ts";
import type { CompiledPolicy, InstanceSummary } from "../types.ts";
import { Advance } from "./advance.ts";
import { rolloutEvents } from "./events.ts";
import { collectRolloutGauges } from "./gauges.ts";
import { type JudgingParts, templateObstacle } from "./judging.ts";
import { RolloutMemory } from "./memory.ts";
import { type RolloutStanding, standingOf } from "./standing.ts";

export interface RolloutParts extends Omit<JudgingParts, "policies"> {
  readonly policies: Policies;
  readonly census: Pick<Census, "of" | "subscribe">;
  readonly summary: Pick<InstanceSummary, "blocked">;
  /** Why new pods would not be made to obey the policy now; undefined when they would. */
  readonly admissionProblem: (policy: CompiledPolicy) => string | undefined;
  readonly isLeader: () => boolean;
  readonly transport: Pick<KubeTransport, "request">;
  readonly recorder: Pick<EventRecorder, "publish">;
  /** Every policy is treated as one of mode Audit. */
  readonly dryRun: boolean;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

type RollingPolicy = CompiledPolicy & { readonly rollout: RolloutRules };

/** What is known of one policy in this leadership. */
interface Known {
  readonly policy: string;
  readonly uid: string;
  readonly memory: RolloutMemory;
  readonly looks: Map<string, Look & { readonly at: number }>;
}

const NO_REPORT_MS = 1_000;
/** Workloads under way are looked at so often. */
const UNDER_WAY_MS = 1_000;
/** Where something holds it back, or a workload can not be rolled out as it is. */
const WAITING_MS = 5_000;
/** So long what a look found is taken to hold. */
const LOOK_AGE_MS = 30_000;
/** Workloads that are looked at in one go. */
const MOST_LOOKS = 50;
/** What makes the evictor fall behind, or would make it: each roll-out is so many deaths more. */
const behind: ReadonlySet<string> = new Set([
  "SelfPreservation",
  "ClusterViewNotFresh",
  "RegistryViewNotFresh",
  "Budget",
  "UnexplainedBudget",
]);

/** Has pods that differ from their policy replaced, workload by workload, while this replica leads. */
export class RolloutController {
  readonly #parts: RolloutParts;
  readonly #api: RolloutApi;
  readonly #advance: Advance;
  readonly #known = new Map<string, Known>();
  readonly #standings = new Map<string, RolloutStanding>();
  readonly #listeners = new Set<(policy: string) => void>();

  constructor(parts: RolloutParts) {
    this.#parts = parts;
    this.#api = new RolloutApi(parts.transport);
    this.#advance = new Advance({ ...parts, api: this.#api });
  }

  /** Undefined where the policy asks for no roll-outs, and until it is known how they stand. */
  of(policy: string): RolloutStanding | undefined {
    return this.#standings.get(policy);
  }

  /** Called when of() gives another answer. @returns takes the subscription back */
  subscribe(listener: (policy: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Works until the signal aborts; to be called each time this replica becomes the leader. */
  async run(signal: AbortSignal): Promise<void> {
    const { policies, census, clock, log, metrics } = this.#parts;
    this.#known.clear();
    this.#standings.clear();
    this.#advance.clear();
    const controller = new Controller<string>({
      name: "rollout",
      reconcile: (name, context) => this.#reconcile(name, context),
      clock,
      log,
      metrics,
    });
    const all = (): void => {
      for (const { name } of policies.objects()) controller.enqueue(name);
    };
    const unsubscribe = [
      policies.subscribe(all),
      census.subscribe(all),
      collectRolloutGauges(metrics, policies, (policy) => this.of(policy)),
    ];
    all();
    try {
      await controller.run(signal);
    } finally {
      for (const end of unsubscribe) end();
    }
  }

  async #reconcile(name: string, context: ReconcileContext): Promise<Result> {
    const policy = this.#parts.policies.get(name);
    if (policy === undefined || !isRolling(policy)) {
      this.#known.delete(name);
      if (this.#standings.delete(name)) this.#tell(name);
      return undefined;
    }
    const known = await this.#knownOf(policy, context.signal);
    if (known === undefined) return { requeueAfterMs: NO_REPORT_MS };
    const notes = await this.#advanceAll(policy, known, context);
    const drifted = this.#drifted(policy);
    if (drifted === undefined) return { requeueAfterMs: WAITING_MS };
    for (const [key, { at }] of known.looks) {
      if (!drifted.has(key) || this.#parts.clock.monotonic() - at > LOOK_AGE_MS) known.looks.delete(key);
    }
    await this.#begin(policy, known, drifted, context);
    const plan = this.#plan(policy, known, drifted);
    this.#stand(name, standingOf(plan, policy.generation, notes));
    if (plan.current.length > 0) return { requeueAfterMs: UNDER_WAY_MS };
    return plan.pending.length + plan.obstacles.size > 0 ? { requeueAfterMs: WAITING_MS } : undefined;
  }

  async #knownOf(policy: RollingPolicy, signal: AbortSignal): Promise<Known | undefined> {
    const known = this.#known.get(policy.name);
    if (known?.uid === policy.uid) return known;
    const memory = await RolloutMemory.load(this.#parts.transport, policy, signal);
    if (memory === undefined) return undefined;
    const fresh = { policy: policy.name, uid: policy.uid, memory, looks: new Map() };
    this.#known.set(policy.name, fresh);
    return fresh;
  }

  /** Undefined until pods have been judged by the policy as it is. */
  #drifted({ name, generation }: CompiledPolicy): ReadonlyMap<string, DriftedWorkload> | undefined {
    const pods = this.#parts.census.of(name);
    return pods?.generation === generation ? (pods.compliance.workloads ?? new Map()) : undefined;
  }

  #plan(policy: RollingPolicy, { memory, looks }: Known, drifted: ReadonlyMap<string, DriftedWorkload>): RolloutPlan {
    return planRollout({
      rules: policy.rollout,
      fingerprint: fingerprintOf(policy),
      entries: memory.entries,
      drifted: new Map(Iterator.from(drifted).map(([key, { pods }]) => [key, pods])),
      looks,
      outside: this.#outside(policy),
      now: this.#parts.clock.wall(),
    });
  }

  /** What else must hold before anything is taken away. */
  #outside(policy: CompiledPolicy): Hold | undefined {
    const { name, plan } = policy;
    const { dryRun, admissionProblem, summary } = this.#parts;
    if (plan.mode === "Paused") {
      return { reason: "Audit", message: "spec.mode is Paused: no pod is judged, and none is replaced", isBlind: true };
    }
    if (plan.mode !== "Enforce") {
      return { reason: "Audit", message: `spec.mode is ${plan.mode}: what differs is reported only` };
    }
    if (dryRun) return { reason: "Audit", message: "the operator runs with --dry-run: what differs is reported only" };
    const problem = admissionProblem(policy);
    if (problem !== undefined) {
      return { reason: "AdmissionInactive", message: `new pods would not be changed: ${problem}` };
    }
    const blocked = summary.blocked(name);
    if (blocked === undefined || !behind.has(blocked.reason)) return undefined;
    return { reason: "EvictionsBehind", message: `evictions are held back: ${blocked.reason}: ${blocked.message}` };
  }

  /** @returns what is worth knowing of those that go on */
  async #advanceAll(policy: RollingPolicy, known: Known, { signal, log }: ReconcileContext): Promise<string[]> {
    const notes: string[] = [];
    for (const entry of known.memory.entries.filter(({ result }) => result === "Started")) {
      // Asked each time: a failure stops those after it.
      const { mayDisrupt } = this.#plan(policy, known, new Map());
      const step = await this.#advance.step(entry, policy, mayDisrupt, signal);
      if (step.note !== undefined) notes.push(`${entry.name}: ${step.note}`);
      if (step.isWithdrawn === true) await this.#withdraw(known, entry, signal);
      if (step.entry.result === "Started") continue;
      // A failure counts for the policy as it is now, also where it was begun by an earlier state of it.
      const isFailed = step.entry.result === "Failed";
      const after = isFailed ? { ...step.entry, fingerprint: fingerprintOf(policy) } : step.entry;
      const others = known.memory.entries.filter((other) => other !== entry);
      await this.#save(known, withEntry(others, after), signal);
      known.looks.delete(keyOfWorkload(entry));
      this.#told(policy, after);
      log[isFailed ? "warn" : "info"](
        { workload: keyOfWorkload(after), result: after.result, why: after.message },
        "workload rolled out",
      );
    }
    return notes;
  }

  async #begin(
    policy: RollingPolicy,
    known: Known,
    drifted: ReadonlyMap<string, DriftedWorkload>,
    { signal, log }: ReconcileContext,
  ): Promise<void> {
    const { pending, slots } = this.#plan(policy, known, drifted);
    let left = slots;
    for (const key of pending.slice(0, MOST_LOOKS)) {
      if (left === 0) return;
      const reference = workloadOfKey(key);
      const example = drifted.get(key)?.example;
      if (reference === undefined || example === undefined) continue;
      const look = await this.#look(reference, example.labels, policy, signal);
      known.looks.set(key, { ...look, at: this.#parts.clock.monotonic() });
      const { workload } = look;
      const isBegun = known.memory.entries.some(
        ({ uid, fingerprint }) => uid === look.uid && fingerprint === fingerprintOf(policy),
      );
      if (workload === undefined || look.obstacle !== undefined || isBegun) continue;
      await this.#start(policy, known, workload, signal);
      log.info({ workload: key, strategy: policy.rollout.strategy, pods: drifted.get(key)?.pods }, "workload begun");
      left--;
    }
  }

  async #look(
    reference: WorkloadReference,
    labels: Readonly<Record<string, string>>,
    policy: RollingPolicy,
    signal: AbortSignal,
  ): Promise<Look & { readonly workload: Workload | undefined }> {
    let workload: Workload | undefined;
    try {
      workload = await this.#api.workload(reference, signal);
    } catch (error) {
      if (!(error instanceof KubeError && error.isForbidden)) throw error;
      const message = "the operator may not read it: see docs/permissions.md";
      return { uid: "", workload, obstacle: { reason: "NotPermitted", message } };
    }
    if (workload === undefined) {
      return { uid: "", workload, obstacle: { reason: "NotFound", message: "there is no such workload" } };
    }
    const { uid } = workload;
    if (!selects(workload, labels)) {
      return { uid, workload, obstacle: { reason: "NotItsPods", message: "its selector does not select these pods" } };
    }
    const obstacle = obstacleTo(workload, policy.rollout.strategy) ?? templateObstacle(workload, policy, this.#parts);
    return { uid, workload, obstacle };
  }

  /** Remembers it first, then sets to work: a crash in between is told from a revert by the workload's generation. */
  async #start(policy: RollingPolicy, known: Known, workload: Workload, signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const { namespace, kind, name, uid, generation } = workload;
    const fingerprint = fingerprintOf(policy);
    const entry: RolloutEntry = {
      namespace,
      kind,
      name,
      uid,
      fingerprint,
      strategy: policy.rollout.strategy,
      workloadGeneration: generation,
      startedAt: clock.wall(),
      result: "Started",
      message: undefined,
    };
    const entries = withoutStale(known.memory.entries, fingerprint, clock.wall());
    await this.#save(known, withEntry(entries, entry), signal);
    this.#told(policy, entry);
    this.#advance.begin(entry);
    // Anything else is found out by the next look.
    const { isWithdrawn } = await this.#advance.step(entry, policy, true, signal);
    if (isWithdrawn === true) await this.#withdraw(known, entry, signal);
  }

  /** As if it had never been begun. */
  async #withdraw(known: Known, entry: RolloutEntry, signal: AbortSignal): Promise<void> {
    known.looks.delete(keyOfWorkload(entry));
    const others = known.memory.entries.filter((other) => other !== entry);
    await this.#save(known, others, signal);
  }

  /** @throws HygeiaError, KubeError */
  async #save({ policy, memory }: Known, entries: readonly RolloutEntry[], signal: AbortSignal): Promise<void> {
    if (!this.#parts.isLeader()) throw new HygeiaError("NotLeading", "this replica leads no more");
    try {
      await memory.save(entries, signal);
    } catch (error) {
      // What is remembered is not known any more: it is read anew.
      this.#known.delete(policy);
      throw error;
    }
  }

  #told(policy: CompiledPolicy, entry: RolloutEntry): void {
    const { recorder, metrics } = this.#parts;
    metrics.rollouts.total.inc({ policy: policy.name, strategy: entry.strategy, result: entry.result });
    for (const event of rolloutEvents(policy, entry)) recorder.publish(event);
  }

  #stand(policy: string, standing: RolloutStanding): void {
    this.#standings.set(policy, standing);
    this.#tell(policy);
  }

  #tell(policy: string): void {
    for (const listener of this.#listeners) listener(policy);
  }
}

function isRolling(policy: CompiledPolicy): policy is RollingPolicy {
  return policy.rollout !== undefined && policy.podPolicy !== undefined;
}
