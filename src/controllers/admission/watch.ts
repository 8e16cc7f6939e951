import type { Clock, Random } from "../../clock/clock.ts";
import { Reflector } from "../../kube/reflector.ts";
import type { KubeTransport } from "../../kube/transport.ts";
import type { Change, ObjectIdentity } from "../../kube/types.ts";
import { readObject } from "../../kube/watch.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { collections, type Kind, OWNED_SELECTOR, ROOT } from "./kinds.ts";

/** No verdict rests on it, and what is missed is found by the next look. */
const WATCH_SECONDS = 300;

export interface AdmissionPolicyWatchParts {
  readonly transport: Pick<KubeTransport, "request" | "stream">;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Pick<Metrics, "reflector">;
  /** Objects of ours were written or deleted, by us or by another. */
  readonly onChange: (kind: Kind, changes: readonly Change<ObjectIdentity>[]) => void;
}

/** Tells of changes to our admission policies, whoever makes them. */
export class AdmissionPolicyWatch {
  readonly #parts: AdmissionPolicyWatchParts;
  readonly #running = new Map<Kind, Promise<void>>();

  constructor(parts: AdmissionPolicyWatchParts) {
    this.#parts = parts;
  }

  /** Watches these kinds too, until the signal aborts. Where the right to watch is missing nothing is told. */
  start(kinds: readonly Kind[], signal: AbortSignal): void {
    for (const kind of kinds) if (!this.#running.has(kind)) this.#running.set(kind, this.#run(kind, signal));
  }

  /** Resolves when all of it has ended. @throws what a mistake of ours made it throw */
  async end(): Promise<void> {
    await Promise.all(this.#running.values());
  }

  async #run(kind: Kind, signal: AbortSignal): Promise<void> {
    const { transport, clock, random, metrics, onChange } = this.#parts;
    const reflector = new Reflector<ObjectIdentity>({
      transport,
      clock,
      random,
      path: `${ROOT}/${collections[kind]}`,
      labelSelector: OWNED_SELECTOR,
      project: (raw) => {
        const { uid, namespace, name, resourceVersion } = readObject(raw, "an admission policy");
        return { uid, namespace, name, resourceVersion };
      },
      sink: { apply: (changes) => onChange(kind, changes) },
      metrics: metrics.reflector(collections[kind]),
      barrierEveryMs: Infinity,
      watchSeconds: WATCH_SECONDS,
    });
    await reflector.run(signal);
  }
}
