import type { Compiled } from "../../admission/cel/objects.ts";
import type { AdmissionMode } from "../../admission/settings.ts";
import type { PodPolicy } from "../../admission/types.ts";
import type { Sites } from "../../admission/sites.ts";
import type { Clock, Random } from "../../clock/clock.ts";
import { Backoff } from "../../kube/backoff.ts";
import { sameContent } from "../../kube/apply.ts";
import { KubeError } from "../../kube/http-errors.ts";
import { Trigger } from "../../kube/reflector-trigger.ts";
import type { KubeTransport } from "../../kube/transport.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { Policies } from "../policy/policy-set.ts";
import { type Desired, desiredObjects } from "./desired.ts";
import type { AdmissionStanding, AdmissionStandings } from "./standing.ts";
import { keyOf, usableKinds } from "./kinds.ts";
import { AdmissionPolicyStore } from "./store.ts";
import { AdmissionPolicyWatch } from "./watch.ts";
import { type Served, type Way, wayOf } from "./way.ts";

export interface AdmissionControllerParts {
  readonly mode: AdmissionMode;
  /** Whether the webhook is installed; undefined while that is not known. */
  readonly isWebhookInstalled: () => boolean | undefined;
  /** Whether policies and cluster are known well enough to compile anything. */
  readonly isKnown: () => boolean;
  readonly policies: Pick<Policies, "ordered" | "subscribe">;
  readonly sites: Pick<Sites, "factsFor" | "subscribe">;
  readonly excluded: ReadonlySet<string>;
  /** Every policy is treated as one of mode Audit. */
  readonly dryRun: boolean;
  readonly transport: Pick<KubeTransport, "request" | "stream">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "admission" | "reflector">;
}

/** Many changes make one write. */
const DEBOUNCE_MS = 500;
/** Somebody may have changed or deleted an object of ours, and the watch have missed it. */
const LOOK_EVERY_MS = 30_000;
/** The API server may have been upgraded, or a right given. */
const SERVED_EVERY_MS = 600_000;

const noCheck = {
  NotServed: "the API server serves no ValidatingAdmissionPolicy v1",
  NotAllowed: "the operator may not write ValidatingAdmissionPolicy objects (config/admission-check)",
} as const;

/** What is known while this replica leads. */
interface Term {
  readonly store: AdmissionPolicyStore;
  readonly watch: AdmissionPolicyWatch;
  served: Served | undefined;
  /** Monotonic milliseconds. */
  servedAt: number;
  desired: readonly Desired[];
  /** When what changes pods last changed, by the name of the RegistrationPolicy; monotonic milliseconds. */
  readonly changedAt: Map<string, number>;
  /** Monotonic milliseconds when all was as desired. */
  lookedAt: number;
}

/** Keeps the API server's own admission policies as the RegistrationPolicies want them, while this replica leads. */
export class AdmissionController implements AdmissionStandings {
  readonly #parts: AdmissionControllerParts;
  readonly #wake: Trigger;
  readonly #listeners = new Set<() => void>();
  #way: Way = "NotKnownYet";
  #standings = new Map<string, AdmissionStanding>();

  constructor(parts: AdmissionControllerParts) {
    this.#parts = parts;
    this.#wake = new Trigger(parts.clock);
  }

  /** Something that it looks at has changed. */
  changed(): void {
    this.#wake.fire();
  }

  standingOf(policy: string): AdmissionStanding | undefined {
    return this.#standings.get(policy) ?? unwritten(this.#way);
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Works until the signal aborts; to be called each time this replica becomes the leader. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, policies, sites } = this.#parts;
    const term = this.#beginTerm();
    const backoff = new Backoff({ ...this.#parts, firstMs: 1_000, maxMs: 60_000 });
    const changed = (): void => this.changed();
    const ends = [policies.subscribe(changed), sites.subscribe(changed)];
    try {
      for (;;) {
        let waitMs = LOOK_EVERY_MS;
        try {
          if (this.#parts.isKnown()) await this.#look(term, signal);
          else waitMs = 1_000;
        } catch (error) {
          signal.throwIfAborted();
          if (!(error instanceof KubeError)) throw error;
          waitMs = backoff.next(error.retryAfterMs);
          log.warn({ err: error }, "the admission policies could not be looked at; it is tried again");
        }
        await this.#wake.wait(waitMs, signal);
        await clock.sleep(DEBOUNCE_MS, signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      for (const end of ends) end();
      await term.watch.end();
    }
  }

  #beginTerm(): Term {
    const store = new AdmissionPolicyStore(this.#parts.transport);
    const watch = new AdmissionPolicyWatch({
      ...this.#parts,
      onChange: (kind, changes) => {
        if (!changes.some((change) => store.isByOthers(kind, change))) return;
        term.lookedAt = -Infinity;
        this.changed();
      },
    });
    const term: Term = {
      store,
      watch,
      served: undefined,
      servedAt: -Infinity,
      desired: [],
      changedAt: new Map(),
      lookedAt: -Infinity,
    };
    return term;
  }

  async #look(term: Term, signal: AbortSignal): Promise<void> {
    const { mode, isWebhookInstalled, policies, sites, excluded, dryRun, log, clock } = this.#parts;
    const now = clock.monotonic();
    if (term.served === undefined || now - term.servedAt >= SERVED_EVERY_MS) {
      term.served = await term.store.served(signal);
      term.servedAt = now;
      term.watch.start(usableKinds(term.served), signal);
    }
    const { served } = term;
    const way = wayOf(mode, isWebhookInstalled(), served);
    if (way === "NotKnownYet") return;
    if (way !== this.#way) log.info({ way, ...served }, "how pods are changed at their creation");
    const factsFor = (policy: PodPolicy) => sites.factsFor(policy);
    const desired = dryRun ? [] : desiredObjects({ policies: policies.ordered(), factsFor, excluded, way, served });
    const isDue = now - term.lookedAt >= LOOK_EVERY_MS;
    if (!isDue && way === this.#way && sameContent(desired, term.desired)) return;
    term.lookedAt = -Infinity;
    const standings = await this.#write(term, desired, way, served, signal);
    term.desired = desired;
    // What failed is tried again the next time.
    if ([...standings.values()].every(({ problem }) => problem === undefined)) term.lookedAt = now;
    this.#way = way;
    this.#standings = standings;
    for (const listener of this.#listeners) listener();
  }

  async #write(
    { store, changedAt }: Term,
    desired: readonly Desired[],
    way: Way,
    served: Served,
    signal: AbortSignal,
  ): Promise<Map<string, AdmissionStanding>> {
    const found = await store.list(served, signal);
    const objects = desired.flatMap(({ mutating = [], validating = [] }) => [...mutating, ...validating]);
    await store.remove(found, new Set(objects.map(({ kind, metadata }) => keyOf(kind, metadata.name))), signal);
    const standings = new Map<string, AdmissionStanding>();
    const writeBoth = async (compiled: Compiled | undefined, onWritten?: () => void): Promise<string | undefined> => {
      for (const object of compiled ?? []) {
        const { problem, isWritten } = await this.#writeOne(store, object, found, signal);
        if (isWritten) onWritten?.();
        if (problem !== undefined) return problem;
      }
      return undefined;
    };
    // The last in charge first: it then leaves pods alone before another takes them over, and none has two.
    for (const { name, generation, mutating, validating, leftOut, isTooDeep } of desired.toReversed()) {
      const problem = await writeBoth(mutating, () => changedAt.set(name, this.#parts.clock.monotonic()));
      const { validating: availability } = served;
      const checkProblem = availability === "Usable" ? await writeBoth(validating) : noCheck[availability];
      standings.set(name, {
        way,
        generation,
        changedAt: mutating === undefined ? undefined : changedAt.get(name),
        leftOut,
        isTooDeep,
        problem,
        checkProblem,
      });
    }
    return standings;
  }

  /** @returns why it could not be written, for a person, and whether it was */
  async #writeOne(
    store: AdmissionPolicyStore,
    object: Compiled[number],
    found: Parameters<AdmissionPolicyStore["write"]>[1],
    signal: AbortSignal,
  ): Promise<{ readonly problem?: string; readonly isWritten: boolean }> {
    const { log, metrics } = this.#parts;
    const { kind, metadata } = object;
    try {
      const result = await store.write(object, found, signal);
      if (result === "Written") {
        log.info({ kind, name: metadata.name }, "admission policy written");
        metrics.admission.policyWrites.inc({ kind, result });
      }
      return { isWritten: result === "Written" };
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof KubeError)) throw error;
      metrics.admission.policyWrites.inc({ kind, result: error.code });
      log.warn({ err: error, kind, name: metadata.name }, "an admission policy could not be written");
      const problem = `${kind} ${metadata.name}: ${error.code}: ${error.message}`.slice(0, LONGEST_PROBLEM);
      // The answer may have been lost after it was written.
      return { problem, isWritten: true };
    }
  }
}

/** An expression of ours that is refused comes back whole in the message. */
const LONGEST_PROBLEM = 400;

/** How a policy stands of which nothing is written, be it that nothing is to be. */
function unwritten(way: Way): AdmissionStanding | undefined {
  if (way === "NotKnownYet" || way === "Policy" || way === "Webhook") return undefined;
  return {
    way,
    generation: undefined,
    changedAt: undefined,
    leftOut: [],
    isTooDeep: false,
    problem: undefined,
    checkProblem: undefined,
  };
}
