import { REGISTRY_CONDITIONS } from "../../api/v1alpha1/conditions.ts";
import type { Clock } from "../../clock/clock.ts";
import { Controller, type ReconcileContext, type Result } from "../../kube/controller.ts";
import type { EventRecorder } from "../../kube/event-recorder.ts";
import type { KubeTransport } from "../../kube/transport.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { conditionChanges } from "../status/conditions.ts";
import { StatusWriter } from "../status/status-writer.ts";
import { registryEvents, registryReference, registryViewReset } from "./events.ts";
import { gatherFacts, registryFigures } from "./facts.ts";
import type { Registries } from "./registry-set.ts";
import { registryConditions } from "./status.ts";
import { ViewAges } from "./view-age.ts";

export interface RegistryStatusParts {
  readonly registries: Registries;
  readonly transport: Pick<KubeTransport, "request">;
  readonly recorder: Pick<EventRecorder, "publish">;
  /** A view whose age exceeds this is not acted on, milliseconds. */
  readonly freshForMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Many changes make one write. */
const DEBOUNCE_MS = 1_000;
/** Without an event: a view gets old by doing nothing, and so does a certificate. */
const REVIEW_EVERY_MS = 5_000;

/** Problems that are over in a moment, and news all the same. */
const resets: ReadonlySet<string> = new Set(["WentBack", "ClusterChanged"]);

/** Writes the status of Registry objects and tells of their troubles by Events, while this replica leads. */
export class RegistryStatusController {
  readonly #parts: RegistryStatusParts;
  readonly #writer: StatusWriter;
  readonly #ages = new ViewAges();

  constructor(parts: RegistryStatusParts) {
    this.#parts = parts;
    this.#writer = new StatusWriter("Registry", REGISTRY_CONDITIONS, parts);
  }

  /** Works until the signal aborts; to be called each time this replica becomes the leader. */
  async run(signal: AbortSignal): Promise<void> {
    const { registries, clock, log, metrics } = this.#parts;
    const controller = new Controller<string>({
      name: "registry-status",
      reconcile: (name, context) => this.#reconcile(name, context),
      clock,
      log,
      metrics,
    });
    const unsubscribe = [
      registries.subscribe(({ registry }) => controller.enqueueAfter(registry, DEBOUNCE_MS)),
      registries.subscribeState((registry) => {
        this.#tellOfReset(registry);
        controller.enqueueAfter(registry, DEBOUNCE_MS);
      }),
    ];
    for (const { object } of registries.entries()) controller.enqueue(object.name);
    try {
      await controller.run(signal);
    } finally {
      for (const end of unsubscribe) end();
    }
  }

  async #reconcile(name: string, { signal }: ReconcileContext): Promise<Result> {
    const { registries, clock, freshForMs, recorder } = this.#parts;
    const entry = registries.entry(name);
    if (entry === undefined || entry.object.deleting) {
      this.#writer.forget(name);
      this.#ages.forget(name);
      return undefined;
    }
    const facts = gatherFacts(entry, clock, freshForMs);
    const conditions = registryConditions(facts);
    const viewAge = this.#ages.observe(name, facts.freshness.caughtUpTo, facts.now);
    const figures = registryFigures(entry, viewAge);
    const outcome = await this.#writer.write(entry.object, figures, conditions, signal);
    if (outcome === "Outdated") return { requeueAfterMs: DEBOUNCE_MS };
    if (outcome === "Written") {
      const changes = conditionChanges(entry.object.status?.conditions, conditions, REGISTRY_CONDITIONS);
      for (const event of registryEvents(registryReference(entry.object), changes)) recorder.publish(event);
    }
    return { requeueAfterMs: REVIEW_EVERY_MS };
  }

  #tellOfReset(name: string): void {
    const entry = this.#parts.registries.entry(name);
    const problem = entry?.runner?.view.freshness().problem;
    if (entry === undefined || problem === undefined || !resets.has(problem.reason)) return;
    this.#parts.recorder.publish(registryViewReset(registryReference(entry.object), problem));
  }
}
