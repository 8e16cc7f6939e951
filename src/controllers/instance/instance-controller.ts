import type { Clock, Random } from "../../clock/clock.ts";
import type { ClusterView } from "../../cluster/cluster-view.ts";
import { Evictor } from "../../eviction/evictor.ts";
import type { LivePods } from "../../eviction/live-pods.ts";
import { Controller } from "../../kube/controller.ts";
import { ExponentialBackoff } from "../../kube/rate-limiter.ts";
import { EvictionBudgets } from "../../plan/budget.ts";
import { spread } from "../../plan/spread.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { traceIds } from "../../telemetry/tracing.ts";
import { LearnedServices } from "../../verdict/services.ts";
import type { PolicySet, RegistrySet } from "../types.ts";
import type { InstanceEvents } from "./events.ts";
import { EvictionLog } from "./eviction-log.ts";
import { keysAt, keysBeside } from "./fast-path.ts";
import { collectInstanceGauges } from "./gauges.ts";
import { InstanceStates } from "./instance-states.ts";
import { Judge } from "./judge.ts";
import { keyOf } from "./keys.ts";
import { Planner } from "./planner.ts";
import { Predictions } from "./predictions.ts";
import { InstanceReconciler } from "./reconciler.ts";
import { PolicySummary } from "./summary.ts";
import { sweep } from "./sweep.ts";
import { Turns } from "./turns.ts";

export interface InstanceControllerParts {
  readonly cluster: ClusterView;
  readonly policies: PolicySet;
  readonly registries: RegistrySet;
  readonly live: LivePods;
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

/** Evictions under way at once: an eviction mostly waits for the network. */
const CONCURRENCY = 64;
/** A sweep that was asked for begins after this, so that many reasons to sweep make one sweep. */
const SWEEP_SOON_MS = 100;

/**
 * Judges every record of every registry and acts on what it finds, while this replica leads. Two ways lead to one
 * rule: a change of a pod or a record brings the records concerned at once; a sweep brings everything from time to time.
 * All that is remembered begins anew with each leadership: the waiting times of the careful classes start again.
 */
export class InstanceController {
  readonly #parts: InstanceControllerParts;
  readonly #states = new InstanceStates();
  readonly #evictions = new EvictionLog();
  readonly #knowledge = new LearnedServices();
  readonly #budgets = new EvictionBudgets();
  readonly #planner: Planner;
  /** For status and report. */
  readonly summary: PolicySummary;

  constructor(parts: InstanceControllerParts) {
    this.#parts = parts;
    const states = this.#states;
    this.#planner = new Planner({ ...parts, states, budgets: this.#budgets });
    this.summary = new PolicySummary({ ...parts, states, evictions: this.#evictions, planner: this.#planner });
  }

  /** Works until the signal aborts; to be called each time this replica becomes the leader. */
  async run(signal: AbortSignal): Promise<void> {
    const { cluster, policies, registries, metrics, log, clock, random } = this.#parts;
    this.#states.clear();
    const states = this.#states;
    const predictions = new Predictions(cluster, policies);
    const judge = new Judge({ ...this.#parts, states, knowledge: this.#knowledge, predictions });
    const turns = new Turns({
      clock,
      random,
      spread: (records, randomness) => spread(records, (record) => `${record.registry}\n${record.service}`, randomness),
      enqueue: (record) => controller.enqueue(keyOf(record.registry, record.id), { priority: "Low" }),
    });
    const reconciler = new InstanceReconciler({
      ...this.#parts,
      judge,
      planner: this.#planner,
      evictor: new Evictor({ cluster, live: this.#parts.live, clock }),
      states,
      evictions: this.#evictions,
      clusterUid: () => cluster.clusterUid ?? "",
      mayGo: (key, record) => turns.mayGo(key, record),
      changed: (policy) => this.summary.changed(policy),
    });
    const controller = new Controller<string>({
      name: "instance",
      concurrency: CONCURRENCY,
      reconcile: (key, context) => reconciler.reconcile(key, context),
      rateLimiter: new ExponentialBackoff<string>(100, 60_000),
      clock,
      log,
      metrics,
    });

    const newTraceId = traceIds();
    const sweepSoon = new Flag();
    const unsubscribe = cluster.subscribe((events) => {
      for (const event of events) {
        let trace: { traceId: string; seenAt: number } | undefined;
        for (const key of keysAt(
          event,
          Iterator.from(registries.values()).map(({ view }) => view),
        )) {
          trace ??= { traceId: newTraceId(), seenAt: event.seenAt };
          controller.enqueue(key, { priority: "High", trace });
        }
      }
    });
    const unsubscribeRegistries = registries.subscribe(({ registry, upserted, removed, whole }) => {
      if (whole) sweepSoon.fire();
      else for (const key of keysBeside(registry, upserted, registries)) controller.enqueue(key, { priority: "High" });
      for (const id of removed) controller.enqueue(keyOf(registry, id), { priority: "Low" });
    });
    const uncollect = collectInstanceGauges({ ...this.#parts, states, budgets: this.#budgets, planner: this.#planner });
    const unsubscribePolicies = policies.subscribe(() => sweepSoon.fire());

    const sweeps = this.#sweepForEver(judge, controller, sweepSoon, signal);
    try {
      await Promise.all([controller.run(signal), sweeps]);
    } finally {
      unsubscribe();
      unsubscribeRegistries();
      unsubscribePolicies();
      uncollect();
      turns.clear();
      predictions.close();
    }
  }

  async #sweepForEver(judge: Judge, controller: Controller<string>, soon: Flag, signal: AbortSignal): Promise<void> {
    const { clock, random, registries, sweepEveryMs, log } = this.#parts;
    const states = this.#states;
    let wasFresh = false;
    while (!signal.aborted) {
      try {
        const fresh = this.#isFresh();
        wasFresh = fresh;
        await sweep(
          { judge, states, registries, clock },
          (key) => controller.enqueue(key, { priority: "Low" }),
          (key, judged) => {
            const { policy, judgement, memory } = judged;
            if (states.set(key, policy.name, judgement, memory, undefined, clock.wall())) {
              this.summary.changed(policy.name);
            }
          },
          signal,
        );
        this.summary.swept();
        await this.#untilNextSweep(soon, sweepEveryMs * (0.9 + 0.2 * random()), wasFresh, signal);
      } catch (error) {
        if (signal.aborted) return;
        log.error({ err: error }, "a sweep failed; the next one follows");
        await clock.sleep(SWEEP_SOON_MS * 10, signal).catch(() => undefined);
      }
    }
  }

  /** Ends at the period's end, soon after somebody asked, or when the views have become fresh. */
  async #untilNextSweep(soon: Flag, periodMs: number, wasFresh: boolean, signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const until = clock.monotonic() + periodMs;
    while (clock.monotonic() < until) {
      await clock.sleep(SWEEP_SOON_MS, signal);
      if (soon.take()) return;
      if (!wasFresh && this.#isFresh()) return;
    }
  }

  #isFresh(): boolean {
    const { cluster, registries, clock } = this.#parts;
    if (!cluster.freshness(clock.monotonic()).fresh) return false;
    for (const { view } of registries.values()) {
      const { synced, problem, caughtUpTo } = view.freshness();
      if (!synced || problem !== undefined || caughtUpTo === -Infinity) return false;
    }
    return true;
  }
}

/** A flag that is raised by many and lowered by one. */
class Flag {
  #raised = false;

  fire(): void {
    this.#raised = true;
  }

  take(): boolean {
    const raised = this.#raised;
    this.#raised = false;
    return raised;
  }
}
