import type { Clock, Random } from "../../clock/clock.ts";
import { Reflector } from "../../kube/reflector.ts";
import type { KubeTransport } from "../../kube/transport.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { ADMISSION_GROUP } from "../cel/objects.ts";
import { type Judge, projectBinding, projectPolicy, projectWebhooks } from "./judge.ts";
import { JudgeIndex, type JudgeKind, judgeKinds } from "./judge-index.ts";

export interface PodJudgesOptions {
  readonly transport: Pick<KubeTransport, "request" | "stream">;
  readonly namespaceLabels: (namespace: string) => Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "reflector">;
}

/** Who of others could refuse pods. Answers from memory. */
export interface Judges {
  /** Whether it is known that there is none in any namespace. */
  readonly areNone: boolean;
  /** Who could refuse pods of this namespace, or that this is not known, for a person; undefined where nobody could. */
  in(namespace: string): string | undefined;
  /** Called when {@link in} may answer otherwise. @returns takes the subscription back */
  subscribe(listener: () => void): () => void;
}

const collections = {
  ValidatingWebhookConfiguration: { plural: "validatingwebhookconfigurations", project: projectWebhooks },
  ValidatingAdmissionPolicy: { plural: "validatingadmissionpolicies", project: projectPolicy },
  ValidatingAdmissionPolicyBinding: { plural: "validatingadmissionpolicybindings", project: projectBinding },
} as const;

const NOT_KNOWN = "it is not known whether anything of others judges pods here";
/** A view this old counts for nothing: an API server that asks us can be reached by us too. */
const AGE_LIMIT_MS = 300_000;
/** They change seldom, and a change is seen by the watch within milliseconds all the same. */
const WATCH_SECONDS = 60;
const BARRIER_EVERY_MS = 30_000;

/**
 * Watches what of others is asked about pods that are being created and may refuse them: webhooks, and the API server's own
 * policies. What they say of a pod is not known, only that they are there.
 */
export class PodJudges implements Judges {
  readonly #options: PodJudgesOptions;
  readonly #index: JudgeIndex;
  readonly #reflectors: ReadonlyMap<JudgeKind, Reflector<Judge>>;
  readonly #listeners = new Set<() => void>();
  readonly #unseen = new Set<JudgeKind>();
  #wasKnown = false;

  constructor(options: PodJudgesOptions) {
    this.#options = options;
    this.#index = new JudgeIndex(() => this.#tell());
    this.#reflectors = new Map(judgeKinds.map((kind) => [kind, this.#reflect(kind)]));
  }

  get areNone(): boolean {
    return this.#isKnown() && this.#index.all().length === 0;
  }

  in(namespace: string): string | undefined {
    return this.#isKnown() ? this.#index.firstFor(this.#options.namespaceLabels(namespace)) : NOT_KNOWN;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Works until the signal aborts, then resolves. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#reflectors.values()].map((reflector) => reflector.run(signal)));
  }

  #isKnown(): boolean {
    const since = this.#options.clock.monotonic() - AGE_LIMIT_MS;
    return [...this.#reflectors.values()].every((reflector) => {
      const { synced, caughtUpTo, problem } = reflector.freshness();
      // An API server that does not serve a kind has none of it.
      return synced ? caughtUpTo >= since : problem?.reason === "NotFound";
    });
  }

  #reflect(kind: JudgeKind): Reflector<Judge> {
    const { transport, clock, random, log, metrics } = this.#options;
    const { plural, project } = collections[kind];
    return new Reflector<Judge>({
      transport,
      clock,
      random,
      path: `/apis/${ADMISSION_GROUP}/${plural}`,
      project,
      sink: this.#index.sinkOf(kind),
      metrics: metrics.reflector(plural),
      onFreshness: ({ synced, problem }) => {
        if (!synced && problem?.reason === "Forbidden" && !this.#unseen.has(kind)) {
          this.#unseen.add(kind);
          log.warn({ kind, problem }, "what judges pods can not be seen: no pod is given sysctls");
        }
        if (this.#isKnown() !== this.#wasKnown) this.#tell();
      },
      barrierEveryMs: BARRIER_EVERY_MS,
      watchSeconds: WATCH_SECONDS,
    });
  }

  #tell(): void {
    this.#wasKnown = this.#isKnown();
    for (const listener of this.#listeners) listener();
  }
}
