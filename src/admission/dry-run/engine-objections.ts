import type { Clock, Random } from "../../clock/clock.ts";
import { Backoff } from "../../kube/backoff.ts";
import { Trigger } from "../../kube/reflector-trigger.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { Judges } from "../judges/pod-judges.ts";
import type { Sysctl } from "../types.ts";
import type { PodDryRun } from "./pod-dry-run.ts";

/** Sysctls that a policy would give to pods of a namespace. */
export interface WantedSysctls {
  readonly namespace: string;
  readonly sysctls: readonly Sysctl[];
}

export interface EngineObjectionsOptions {
  readonly dryRun: Pick<PodDryRun, "isAllowed" | "create">;
  readonly judges: Judges;
  /** Namespaces in which pods would get sysctls, as things are now; each at most once. */
  readonly wanted: () => Iterable<WantedSysctls>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "admission">;
}

/** What is known of one namespace. */
interface Finding {
  /** The sysctls it is about. */
  readonly key: string;
  readonly objection: string | undefined;
  /** Monotonic milliseconds when it is to be tried again. */
  readonly again: number;
}

const NOT_KNOWN_YET = "it is not known yet whether a policy engine refuses sysctls here";
const UNTRIED = "and the operator may not try whether that refuses them (kubectl apply -k config/dry-run)";
/** A policy engine changes its mind without a word to us, but seldom. */
const AGAIN_MS = 3_600_000;
/** The API server could not say: sooner. */
const UNKNOWN_AGAIN_MS = 60_000;
/** After so long every API server asks a webhook that has come, and none asks one that has gone. */
const SETTLED_MS = 30_000;
/** Between two tries; a cluster of a thousand namespaces is done in ten minutes. */
const GAP_MS = 500;
/** How often it is looked whether the right was given or taken. */
const RIGHT_AGAIN_MS = 600_000;

/**
 * Finds policy engines that would refuse a pod for its sysctls, by a dry-run create in each namespace, outside of the path
 * of any request. A refusal counts only where the same pod without sysctls is taken. Without the right to create pods
 * nothing can be tried: then anything of others that looks at new pods of a namespace is an objection.
 */
export class EngineObjections {
  readonly #options: EngineObjectionsOptions;
  readonly #findings = new Map<string, Finding>();
  readonly #wake: Trigger;
  readonly #backoff: Backoff;
  /** Whether pods may be created; nobody asks before run(). */
  #right: "NotAsked" | "Asking" | "Given" | "NotGiven" = "NotAsked";
  readonly #listeners = new Set<() => void>();
  #rightAskedAt = -Infinity;
  #judgesChangedAt = -Infinity;
  #nextTryAt = -Infinity;

  constructor(options: EngineObjectionsOptions) {
    this.#options = options;
    this.#wake = new Trigger(options.clock);
    this.#backoff = new Backoff({ ...options, firstMs: 1_000, maxMs: 60_000 });
    options.judges.subscribe(() => this.#judgesChanged());
  }

  /**
   * Why a pod with the sysctls is refused in this namespace, or may be; undefined when it is not. What can be known and is
   * not yet counts as an objection: a pod without keepalive is better than none.
   */
  get(namespace: string): string | undefined {
    switch (this.#right) {
      // Pods are changed by nobody.
      case "NotAsked":
        return undefined;
      case "Asking":
        return NOT_KNOWN_YET;
      case "NotGiven": {
        const judge = this.#options.judges.in(namespace);
        return judge === undefined ? undefined : `${judge}, ${UNTRIED}`;
      }
      case "Given": {
        const finding = this.#findings.get(namespace);
        return finding === undefined ? NOT_KNOWN_YET : finding.objection;
      }
    }
  }

  /** The only namespaces in which {@link get} objects to nothing; undefined where it never objects. */
  allowed(): readonly string[] | undefined {
    if (this.#right === "NotAsked" || (this.#right === "NotGiven" && this.#options.judges.areNone)) return undefined;
    return this.#wantedNamespaces().filter((namespace) => this.get(namespace) === undefined);
  }

  /** An objection, where there is one in every namespace that wants sysctls; undefined where some may have them. */
  general(): string | undefined {
    const objections = this.#wantedNamespaces().map((namespace) => this.get(namespace));
    return objections.every((objection) => objection !== undefined) ? objections[0] : undefined;
  }

  /** Called when another answer may be given. @returns takes the subscription back */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Policies or namespaces have changed. */
  changed(): void {
    this.#wake.fire();
    // Which namespaces are looked at depends on their labels, and on which there are.
    if (this.#right === "NotGiven" && !this.#options.judges.areNone) this.#tell();
  }

  /** Namespaces in which a dry run is allowed and pods are taken; where a check of the webhook can be made. */
  accepting(): readonly string[] {
    const found = [...this.#findings].filter(([, { objection }]) => objection === undefined);
    return this.#right === "Given" ? found.map(([namespace]) => namespace) : [];
  }

  /** Works until the signal aborts, then resolves. */
  async run(signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    this.#right = "Asking";
    try {
      for (;;) {
        let waitMs: number;
        try {
          waitMs = await this.#look(signal);
        } catch (error) {
          signal.throwIfAborted();
          waitMs = this.#backoff.next();
          log.warn({ err: error }, "dry runs of pods failed; they are tried again");
        }
        await this.#wake.wait(waitMs, signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /**
   * Tries at most one namespace, one of which nothing is known before others.
   * @returns when to look again, in milliseconds
   */
  async #look(signal: AbortSignal): Promise<number> {
    const { clock, metrics, random, wanted } = this.#options;
    await this.#askForRight(signal);
    const now =
      this.#right === "Given" ? [...wanted()].map((one) => ({ ...one, key: JSON.stringify(one.sysctls) })) : [];
    const keys = new Map(now.map(({ namespace, key }) => [namespace, key]));
    for (const [namespace, { key }] of this.#findings)
      if (keys.get(namespace) !== key) this.#findings.delete(namespace);

    const dueAt = ({ namespace }: WantedSysctls): number => this.#findings.get(namespace)?.again ?? -Infinity;
    const [first] = now.toSorted((a, b) => dueAt(a) - dueAt(b));
    const tryAt = Math.max(this.#nextTryAt, first === undefined ? Infinity : dueAt(first));
    if (first !== undefined && tryAt <= clock.monotonic()) {
      this.#nextTryAt = clock.monotonic() + GAP_MS * (0.5 + random());
      const finding = await this.#try(first, first.key, signal);
      const before = this.#findings.get(first.namespace);
      this.#findings.set(first.namespace, finding);
      if (before === undefined || before.objection !== finding.objection) this.#tell();
      return 0;
    }
    metrics.admission.objections.set(
      [...this.#findings.values()].filter(({ objection }) => objection !== undefined && objection !== NOT_KNOWN_YET)
        .length,
    );
    return Math.min(tryAt, this.#rightAskedAt + RIGHT_AGAIN_MS) - clock.monotonic();
  }

  async #askForRight(signal: AbortSignal): Promise<void> {
    const { clock, dryRun, log } = this.#options;
    if (clock.monotonic() - this.#rightAskedAt < RIGHT_AGAIN_MS) return;
    const isAllowed = await dryRun.isAllowed(signal);
    this.#rightAskedAt = clock.monotonic();
    const right = isAllowed ? "Given" : "NotGiven";
    if (right === this.#right) return;
    this.#right = right;
    log.info({ isAllowed }, "whether pods may be created as a dry run, to find policy engines that refuse sysctls");
    this.#tell();
  }

  /** What was found before may hold no more: all is tried again. */
  #judgesChanged(): void {
    this.#judgesChangedAt = this.#options.clock.monotonic();
    if (this.#right === "NotGiven") this.#tell();
    for (const [namespace, finding] of this.#findings) this.#findings.set(namespace, { ...finding, again: -Infinity });
    this.#wake.fire();
  }

  #wantedNamespaces(): string[] {
    return [...this.#options.wanted()].map(({ namespace }) => namespace).toSorted();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  async #try({ namespace, sysctls }: WantedSysctls, key: string, signal: AbortSignal): Promise<Finding> {
    const { clock, dryRun, log, metrics, random } = this.#options;
    const known = this.#findings.get(namespace);
    const startedAt = clock.monotonic();
    const tried = await dryRun.create(namespace, { sysctls, admission: "Disabled" }, signal);
    let objection: string | undefined;
    let isKnown = tried.result !== "Unknown";
    if (tried.result === "Refused") {
      const without = await dryRun.create(namespace, { admission: "Disabled" }, signal);
      // Refused either way: by a quota, or a rule that our small pod breaks. That says nothing of the sysctls.
      if (without.result === "Accepted") objection = tried.message;
      isKnown = without.result !== "Unknown";
    }
    metrics.admission.dryRuns.inc({ result: tried.result });
    if (!isKnown) objection = known === undefined ? NOT_KNOWN_YET : known.objection;
    if (objection !== undefined && isKnown && objection !== known?.objection)
      log.warn({ namespace, objection }, "pods with the keepalive's sysctls would be refused here: they are left out");
    const againAt = startedAt + (isKnown ? AGAIN_MS : UNKNOWN_AGAIN_MS) * (0.75 + 0.5 * random());
    // The API server may not have read the change that brought this try.
    const settledAt = this.#judgesChangedAt + SETTLED_MS;
    return { key, objection, again: settledAt > startedAt ? Math.min(settledAt, againAt) : againAt };
  }
}
