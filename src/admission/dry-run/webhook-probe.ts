import { randomUUID } from "node:crypto";

import type { Clock } from "../../clock/clock.ts";
import { Trigger } from "../../kube/reflector-trigger.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { PROBE_ANNOTATION, PROBED_ANNOTATION } from "../review.ts";
import type { PodDryRun } from "./pod-dry-run.ts";

export interface WebhookProbeOptions {
  readonly dryRun: Pick<PodDryRun, "create">;
  /** Namespaces in which a pod may be created as a dry run; none where the right was not given. */
  readonly namespaces: () => readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "admission">;
}

/** An API server that has not read the new configuration yet is no failure, and namespaces are tried one by one. */
const TRIES = 4;
const GAP_MS = 2_000;

/**
 * Has the API server create a pod as a dry run after each change of the certificate, and looks whether a replica of the
 * webhook was asked: the whole way, network and trust. Needs the right to create pods; without it the handshake with
 * ourselves has to do.
 */
export class WebhookProbe {
  readonly #options: WebhookProbeOptions;
  readonly #wake: Trigger;

  constructor(options: WebhookProbeOptions) {
    this.#options = options;
    this.#wake = new Trigger(options.clock);
  }

  /** A new certificate is served and published. */
  rotated(): void {
    this.#wake.fire();
  }

  /** Works until the signal aborts, then resolves. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    try {
      for (;;) {
        await this.#wake.wait(Infinity, signal);
        for (let left = TRIES; left > 0; left--) {
          await clock.sleep(GAP_MS, signal);
          if ((await this.#probe(left === 1, signal)) === "Passed") break;
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #probe(isLast: boolean, signal: AbortSignal): Promise<"Passed" | "Failed" | "Unknown"> {
    const { dryRun, log, metrics, namespaces } = this.#options;
    const [namespace] = namespaces();
    if (namespace === undefined) return "Unknown";
    const nonce = randomUUID();
    const pod = { annotations: { [PROBE_ANNOTATION]: nonce }, admission: "Enabled" } as const;
    const answer = await dryRun.create(namespace, pod, signal);
    if (answer.result !== "Accepted") return "Unknown";
    const isPassed = answer.annotations[PROBED_ANNOTATION] === nonce;
    if (!isPassed && !isLast) return "Failed";
    const { checks, trusted } = metrics.admission;
    checks.inc({ check: "DryRun", result: isPassed ? "Passed" : "Failed" });
    trusted.set({ check: "DryRun" }, isPassed ? 1 : 0);
    if (!isPassed) log.error({ namespace }, "the API server creates pods without asking the webhook");
    return isPassed ? "Passed" : "Failed";
  }
}
