import { POLICY_CONDITIONS } from "../../api/v1alpha1/conditions.ts";
import type { Clock } from "../../clock/clock.ts";
import { Controller, type ReconcileContext, type Result } from "../../kube/controller.ts";
import type { EventRecorder } from "../../kube/event-recorder.ts";
import type { KubeTransport } from "../../kube/transport.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { AdmissionStandings } from "../admission/standing.ts";
import type { Registries } from "../registry/registry-set.ts";
import { conditionChanges } from "../status/conditions.ts";
import { StatusWriter } from "../status/status-writer.ts";
import type { InstanceSummary } from "../types.ts";
import type { RolloutStanding } from "../rollout/standing.ts";
import { Census, type CensusParts, type CountedCluster } from "./census.ts";
import type { PolicyObject } from "./compile.ts";
import { collectPodGauges } from "./gauges.ts";
import { policyEvents, policyReference } from "./events.ts";
import type { Policies } from "./policy-set.ts";
import { standingsOf } from "./standing.ts";
import { policyConditions, policyFigures } from "./status.ts";
import { StoredTotals } from "./stored-totals.ts";

export interface PolicyStatusParts {
  readonly policies: Policies;
  readonly registries: Registries;
  readonly cluster: CountedCluster;
  readonly sites: CensusParts["sites"];
  /** Namespaces whose pods no policy changes. */
  readonly excluded: ReadonlySet<string>;
  readonly summary: InstanceSummary;
  readonly admission: AdmissionStandings;
  /** How roll-outs stand. */
  readonly rollouts: {
    of(policy: string): RolloutStanding | undefined;
    subscribe(listener: (policy: string) => void): () => void;
  };
  readonly transport: Pick<KubeTransport, "request">;
  readonly recorder: Pick<EventRecorder, "publish">;
  /** A view whose age exceeds this is not acted on, milliseconds. */
  readonly freshForMs: number;
  /** Every policy is treated as one of mode Audit. */
  readonly dryRun: boolean;
  /** For example `cluster.local`. */
  readonly clusterDomain: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Many changes make one write. */
const DEBOUNCE_MS = 1_000;
/** Without an event: freshness is lost by nothing happening. */
const REVIEW_EVERY_MS = 5_000;

/** Writes the status of RegistrationPolicy objects and tells of its news by Events, while this replica leads. */
export class PolicyStatusController {
  readonly #parts: PolicyStatusParts;
  readonly #writer: StatusWriter;
  readonly #totals: StoredTotals;
  /** Counts while this replica leads. */
  readonly census: Census;

  /** To be made when the process starts, leader or not: it counts evictions by policy object from then on. */
  constructor(parts: PolicyStatusParts) {
    this.#parts = parts;
    this.#writer = new StatusWriter("RegistrationPolicy", POLICY_CONDITIONS, parts);
    this.#totals = new StoredTotals(parts.summary, parts.transport);
    this.census = new Census(parts);
    parts.policies.subscribeObjects(() => this.#totals.follow(parts.policies.objects()));
  }

  /** Works until the signal aborts; to be called each time this replica becomes the leader. */
  async run(signal: AbortSignal): Promise<void> {
    const { policies, registries, summary, admission, clock, log, metrics } = this.#parts;
    this.#totals.forgetStored();
    const { census } = this;
    const controller = new Controller<string>({
      name: "policy-status",
      reconcile: (name, context) => this.#reconcile(name, context),
      clock,
      log,
      metrics,
    });
    const soon = (policy: string): void => controller.enqueueAfter(policy, DEBOUNCE_MS);
    const all = (): void => {
      for (const { name } of policies.objects()) soon(name);
    };
    const unsubscribe = [
      policies.subscribeObjects(soon),
      registries.subscribeState(all),
      summary.subscribe(soon),
      census.subscribe(all),
      admission.subscribe(all),
      this.#parts.rollouts.subscribe(soon),
      collectPodGauges(metrics, policies, census),
    ];
    all();
    try {
      await Promise.all([controller.run(signal), census.run(signal)]);
    } finally {
      for (const end of unsubscribe) end();
    }
  }

  async #reconcile(name: string, { signal }: ReconcileContext): Promise<Result> {
    const { policies, summary, recorder } = this.#parts;
    const object = policies.object(name);
    if (object === undefined || object.deleting) {
      this.#writer.forget(name);
      return undefined;
    }
    const own = summary.evicted(name);
    const evicted = await this.#totals.total(object, own, signal);
    const facts = { ...this.#facts(object), pods: this.census.of(name), evicted };
    const conditions = policyConditions(facts);
    const outcome = await this.#writer.write(object, policyFigures(facts), conditions, signal);
    if (outcome === "Outdated") return { requeueAfterMs: DEBOUNCE_MS };
    if (outcome === "Written") {
      this.#totals.written(object.uid, own);
      const changes = conditionChanges(object.status?.conditions, conditions, POLICY_CONDITIONS);
      for (const event of policyEvents(policyReference(object), changes)) recorder.publish(event);
    }
    return { requeueAfterMs: REVIEW_EVERY_MS };
  }

  #facts(object: PolicyObject) {
    const { policies, registries, cluster, summary, admission, clock, freshForMs, dryRun, clusterDomain } = this.#parts;
    const { fresh, problem } = cluster.freshness(clock.monotonic());
    const { name, compilation } = object;
    return {
      object,
      registries: compilation.accepted ? standingsOf(compilation.policy, registries, clock, freshForMs) : [],
      clusterProblem: fresh ? undefined : (problem ?? { reason: "NotSynced", message: "it is not listed yet" }),
      instances: summary.counts(name),
      blocked: summary.blocked(name),
      quarantined: summary.quarantined(name),
      shortestTtlMs: summary.shortestTtlMs(name),
      podsOnly: new Set(
        Iterator.from(policies.values()).flatMap(({ name, registries: named }) => (named.size === 0 ? [name] : [])),
      ),
      rollout: this.#parts.rollouts.of(name),
      dryRun,
      clusterDomain,
      admission: admission.standingOf(name),
    };
  }
}
