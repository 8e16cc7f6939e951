import type { Clock, Random } from "../../clock/clock.ts";
import type { KubeTransport } from "../../kube/transport.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { PodJudges } from "../judges/pod-judges.ts";
import { EngineObjections, type WantedSysctls } from "./engine-objections.ts";
import { PodDryRun } from "./pod-dry-run.ts";
import { WebhookProbe } from "./webhook-probe.ts";

export interface DryRunsOptions {
  readonly transport: Pick<KubeTransport, "request" | "stream">;
  readonly namespaceLabels: (namespace: string) => Readonly<Record<string, string>>;
  /** See {@link EngineObjections}. */
  readonly wanted: () => Iterable<WantedSysctls>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "admission" | "reflector">;
}

/** What the operator learns by creating pods as a dry run where it was given the right, and what takes its place. */
export class DryRuns {
  readonly #judges: PodJudges;
  readonly #objections: EngineObjections;
  readonly #probe: WebhookProbe;

  constructor(options: DryRunsOptions) {
    const dryRun = new PodDryRun(options.transport);
    this.#judges = new PodJudges(options);
    this.#objections = new EngineObjections({ ...options, dryRun, judges: this.#judges });
    this.#probe = new WebhookProbe({ ...options, dryRun, namespaces: () => this.#objections.accepting() });
  }

  /** Why a pod with a policy's sysctls is refused in this namespace, or may be; undefined when it is not. */
  get(namespace: string): string | undefined {
    return this.#objections.get(namespace);
  }

  /** The only namespaces in which {@link get} objects to nothing; undefined where it never objects. */
  allowed(): readonly string[] | undefined {
    return this.#objections.allowed();
  }

  /** An objection, where there is one in every namespace that wants sysctls; undefined where some may have them. */
  general(): string | undefined {
    return this.#objections.general();
  }

  /** Called when {@link get} may answer otherwise. @returns takes the subscription back */
  subscribe(listener: () => void): () => void {
    return this.#objections.subscribe(listener);
  }

  /** Policies or namespaces have changed. */
  changed(): void {
    this.#objections.changed();
  }

  /** The webhook serves with a new certificate. */
  rotated(): void {
    this.#probe.rotated();
  }

  /** Works until the signal aborts, then resolves. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#judges.run(signal), this.#objections.run(signal), this.#probe.run(signal)]);
  }
}
