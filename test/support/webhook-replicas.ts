import { setTimeout as delay } from "node:timers/promises";

import { type Operator, startOperator } from "./operator.ts";
import { eventually } from "./operator-wait.ts";
import type { WebhookStage } from "./webhook-stage.ts";

/** One replica of the operator, as a process. */
export interface Replica {
  readonly operator: Operator;
  /** Where its webhook answers. */
  readonly port: number;
}

/** As a kubelet's probes, but sooner. */
const PROBE_EVERY_MS = 100;

/**
 * Replicas of the operator behind the stage's Service. As with a real one, a replica is an endpoint of it while its
 * /readyz says so; a connection that stands is left to those who hold it.
 */
export class WebhookReplicas {
  readonly all: readonly Replica[];
  readonly #ready = new Set<Replica>();
  readonly #probing: Promise<void>;
  #isStopped = false;

  private constructor(stage: WebhookStage, all: readonly Replica[]) {
    this.all = all;
    stage.front.setBackends(() => all.map((replica) => (this.#ready.has(replica) ? replica.port : undefined)));
    this.#probing = this.#probe();
  }

  /** Starts them one after the other: the first is the one that leads. */
  static async start(
    stage: WebhookStage,
    count: number,
    flags: Readonly<Record<string, string>>,
  ): Promise<WebhookReplicas> {
    const all: Replica[] = [];
    try {
      for (let number = 0; number < count; number++) {
        const port = await stage.freePort();
        const operator = await startOperator({
          cluster: stage.controlPlane,
          name: `replica-${number}`,
          flags: { "leader-elect": "true", "webhook-bind-address": `127.0.0.1:${port}`, ...flags },
        });
        all.push({ operator, port });
        await operator.untilReady();
      }
    } catch (error) {
      await Promise.all(all.map(({ operator }) => operator.stop()));
      throw error;
    }
    return new WebhookReplicas(stage, all);
  }

  /** How many the Service leads to. */
  get ready(): number {
    return this.#ready.size;
  }

  async untilReady(count: number): Promise<void> {
    await eventually(`${count} replicas are ready`, () => this.#ready.size === count, 60_000);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#probing;
    await Promise.all(this.all.map(({ operator }) => operator.stop()));
  }

  async #probe(): Promise<void> {
    while (!this.#isStopped) {
      for (const replica of this.all) {
        const isReady = await replica.operator.readiness().then(
          ({ ready }) => ready,
          () => false,
        );
        if (isReady) this.#ready.add(replica);
        else this.#ready.delete(replica);
      }
      await delay(PROBE_EVERY_MS);
    }
  }
}
