import type { Clock, Random } from "../../clock/clock.ts";
import type { ClusterView } from "../../cluster/cluster-view.ts";
import { Evictor } from "../../eviction/evictor.ts";
import type { LivePods } from "../../eviction/live-pods.ts";
import { Releaser } from "../../eviction/releaser.ts";
import { Controller, type Trigger } from "../../kube/controller.ts";
import { ExponentialBackoff } from "../../kube/rate-limiter.ts";
import type { Priority } from "../../kube/workqueue.ts";
import { EvictionBudgets } from "../../plan/budget.ts";
import { spread } from "../../plan/spread.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { traceIds } from "../../telemetry/tracing.ts";
import { LearnedServices } from "../../verdict/services.ts";
import type { PolicySet, RegistrySet } from "../types.ts";
import { Audits } from "./audits.ts";
import { Comebacks } from "./comebacks.ts";
import { Crowd } from "./crowd.ts";
import type { InstanceEvents } from "./events.ts";
import { EvictionLog } from "./eviction-log.ts";
import { collectInstanceGauges } from "./gauges.ts";
import { InstanceStates } from "./instance-states.ts";
import { Judge } from "./judge.ts";
import { parseKey } from "./keys.ts";
import { Notebook } from "./notebook.ts";
import { Planner } from "./planner.ts";
import { Predictions } from "./predictions.ts";
import { Quarantines } from "./quarantines.ts";
import { InstanceReconciler } from "./reconciler.ts";
import { Releases } from "./releases.ts";
import { Removals } from "./removals.ts";
import { seedQuarantines, type StoredEvictions } from "./seeding.ts";
import { PolicySummary } from "./summary.ts";
import { Sweeper } from "./sweeper.ts";
import { followChanges, lazyTrigger } from "./triggers.ts";
import { Turns } from "./turns.ts";

export interface InstanceControllerParts {
  readonly cluster: ClusterView;
  readonly policies: PolicySet;
  readonly registries: RegistrySet;
  readonly live: LivePods;
  /** What earlier leaders did. */
  readonly stored: StoredEvictions;
  /** Leadership by the monotonic clock: true only while this replica may write. */
  readonly isLeader: () => boolean;
  readonly requestList: () => void;
  readonly events: InstanceEvents;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: Random;
  /** Time between two sweeps, give or take a tenth, milliseconds. */
  readonly sweepEveryMs: number;
  /** Treat every policy as mode Audit. */
  readonly dryRun: boolean;
  /** A view of a registry older than this decides nothing, milliseconds. */
  readonly freshForMs: number;
}

/** Records worked on at once: an eviction mostly waits for the network. */
const CONCURRENCY = 64;
/** Of them, for each registry, those that wait for a server before it is known whether anything is to be done. */
const SLOW_CONCURRENCY = 16;
/** The last look before a write may wait for two lists of all pods, at half a minute each; see Evictor. */
const RECONCILE_TIMEOUT_MS = 90_000;
/** At the end evictions under way get this long: a kubelet kills the process 30 s after it asked it to stop. */
const SHUTDOWN_GRACE_MS = 10_000;

/**
 * Judges every record of every registry and acts on what it finds, while this replica leads. Two ways lead to one
 * rule: a change of a pod or a record brings the records concerned at once; a sweep brings everything from time to time.
 * Waiting times begin anew with each leadership; what can only keep an entry from being removed is kept.
 */
export class InstanceController {
  readonly #parts: InstanceControllerParts;
  readonly #states = new InstanceStates();
  readonly #evictions = new EvictionLog();
  readonly #knowledge = new LearnedServices();
  readonly #budgets = new EvictionBudgets();
  readonly #auditBudgets = new EvictionBudgets();
  readonly #comebacks: Comebacks;
  readonly #quarantines: Quarantines;
  readonly #planner: Planner;
  #knownPolicies: ReadonlySet<string> = new Set();
  /** For status and report. */
  readonly summary: PolicySummary;

  constructor(parts: InstanceControllerParts) {
    this.#parts = parts;
    const states = this.#states;
    this.#comebacks = new Comebacks(parts.clock);
    const evictions = this.#evictions;
    const changed = (policy: string): void => this.summary.changed(policy);
    this.#quarantines = new Quarantines({ ...parts, evictions, comebacks: this.#comebacks, changed });
    const shared = { ...parts, states, evictions, quarantines: this.#quarantines };
    this.#planner = new Planner({ ...shared, budgets: this.#budgets, auditBudgets: this.#auditBudgets });
    this.summary = new PolicySummary({ ...shared, planner: this.#planner });
  }

  /** Works until the signal aborts; to be called each time this replica becomes the leader. */
  async run(signal: AbortSignal): Promise<void> {
    const { cluster, policies, registries, metrics, log, clock, random } = this.#parts;
    const states = this.#states;
    const budgets = this.#budgets;
    const planner = this.#planner;
    const quarantines = this.#quarantines;
    states.clear();
    quarantines.beginTerm();
    const newTraceId = traceIds();
    const predictions = new Predictions(cluster, policies);
    const shared = {
      ...this.#parts,
      states,
      planner,
      comebacks: this.#comebacks,
      quarantines,
      evictions: this.#evictions,
      knowledge: this.#knowledge,
      predictions,
      changed: (policy: string) => this.summary.changed(policy),
    };
    const judge = new Judge(shared);
    const again = (key: string, trace: Trigger, priority: Priority = "Low"): void =>
      controller.enqueue(key, { priority, trace });
    const turns = new Turns({ clock, random, spread, enqueue: again });
    const notebook = new Notebook(shared);
    const clusterUid = (): string => cluster.clusterUid ?? "";
    const removals = new Removals({ ...shared, judge, evictor: new Evictor(shared), notebook, clusterUid });
    const releases = new Releases({ ...shared, judge, releaser: new Releaser(shared), clusterUid });
    const crowd = new Crowd(SLOW_CONCURRENCY, again);
    const audits = new Audits();
    const own = { judge, notebook, removals, audits, releases, turns, crowd };
    const reconciler = new InstanceReconciler({ ...shared, ...own });
    const controller = new Controller<string>({
      name: "instance",
      concurrency: CONCURRENCY,
      reconcile: (key, context) => reconciler.reconcile(key, context),
      rateLimiter: new ExponentialBackoff<string>(100, 60_000),
      reconcileTimeoutMs: RECONCILE_TIMEOUT_MS,
      shutdownGraceMs: SHUTDOWN_GRACE_MS,
      newTraceId,
      clock,
      log,
      metrics,
    });
    const sweeper = new Sweeper({
      ...shared,
      judge,
      hand: (key, priority) => again(key, lazyTrigger(newTraceId, clock.monotonic()), priority),
      isOurs: (registry, record) => releases.isOurs(registry, record),
      keep: (key, judged) => void notebook.keep(key, judged),
      swept: () => {
        this.#forgetGonePolicies();
        quarantines.lookAtAll(registries);
        this.summary.swept();
      },
    });
    const sweepSoon = (): void => sweeper.sweepSoon();
    const isOurs = (key: string): boolean => {
      const { registry: name, id } = parseKey(key);
      const registry = registries.get(name);
      const record = registry?.view.get(id);
      return registry !== undefined && record !== undefined && releases.isOurs(registry, record);
    };
    const ends = [
      followChanges({ ...shared, controller, newTraceId, isOurs, sweepSoon }),
      policies.subscribe(sweepSoon),
      collectInstanceGauges({ ...shared, budgets }),
    ];
    try {
      const seeding = seedQuarantines({ ...shared, sweepSoon }, signal);
      await Promise.all([controller.run(signal), sweeper.run(signal), seeding]);
    } finally {
      for (const end of ends) end();
      turns.clear();
      predictions.close();
      states.clear();
    }
  }

  /** After a sweep, by which their records have become another policy's or nobody's. */
  #forgetGonePolicies(): void {
    const { policies, metrics } = this.#parts;
    const present = new Set(Iterator.from(policies.values()).map(({ name }) => name));
    for (const name of this.#knownPolicies.difference(present)) {
      this.#budgets.forgetPolicy(name);
      this.#auditBudgets.forgetPolicy(name);
      this.#evictions.forget(name);
      void metrics.forget("policy", name);
    }
    this.#knownPolicies = present;
    this.#quarantines.keepOnly(new Set(Iterator.from(policies.values()).map(({ uid }) => uid)));
  }
}
