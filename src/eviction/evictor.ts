import type { Clock } from "../clock/clock.ts";
import { Deadline } from "../clock/deadline.ts";
import { isExplained } from "../plan/types.ts";
import { RegistryError, type RegistryErrorCode } from "../registry/errors.ts";
import type {
  Fence,
  InstanceRecord,
  LifeReading,
  RegistryAdapter,
  RestorePayload,
  WriteResult,
} from "../registry/port.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { canBeSilent } from "../verdict/silence.ts";
import type { Evidence, Judgement } from "../verdict/types.ts";
import { type ConfirmParts, confirmAgainstApi, LOOK_STANDS_MS } from "./confirm.ts";

/** One eviction that the plan let through. */
export interface EvictionRequest {
  /** What the plan decided over. */
  readonly judgement: Judgement;
  /** Of that judgement: what the eviction rests on. */
  readonly evidence: Evidence;
  readonly act: "Evict" | "Quarantine";
  /** Mode Audit: everything is done as ever, but for the write. */
  readonly isAudit: boolean;
  readonly adapter: RegistryAdapter;
  readonly fence: Fence;
  /** The record as it is listed now; undefined when it is not. */
  readonly listed: () => InstanceRecord | undefined;
  /**
   * Judges what is listed now, from the views as they are now; undefined when it is not listed, or nobody's any more.
   * @param reading what the registry said of the registrant's life just now, if it was asked
   */
  readonly rejudge: (reading: LifeReading | undefined) => Judgement | undefined;
  /** Its lines carry the trace id of the decision. */
  readonly log: Logger;
}

/**
 * - `Evicted`, `Quarantined`: written, and a later read agrees.
 * - `Resurrected`: written, but a later read finds it again under a new version.
 * - `NotVerified`: the registry acknowledged the write, and the later read failed or still shows what was written over.
 * - `Unsettled`: the write was asked for and the answer is lost: it may have happened, or may still happen.
 * - `Changed`, `Gone`, `Fenced`: nothing was written (see WriteResult).
 * - `NotConfirmed`: the last look at pods and registry, or the judgement after it, spoke against it; nothing was written.
 * - `Audited`: nothing spoke against it, and nothing was written, for the mode is Audit.
 */
export type EvictionResult =
  | {
      readonly outcome: "Evicted" | "Quarantined" | "Resurrected" | "NotVerified";
      readonly message: string;
      /** Undefined for what is registered still. */
      readonly restore: RestorePayload | undefined;
      /** Local monotonic milliseconds at which the registry acknowledged the write. */
      readonly writtenAt: number;
    }
  | { readonly outcome: "Unsettled"; readonly message: string; readonly error: unknown }
  | { readonly outcome: "Changed" | "Gone" | "Fenced" | "NotConfirmed" | "Audited"; readonly message: string };

/** How long the last look may take before the eviction is given up for now: it may wait for two complete lists. */
const CONFIRM_DEADLINE_MS = 65_000;
/** How long the read after the write may take. */
const VERIFY_DEADLINE_MS = 5_000;

/** Answers by which a registry says that it has done nothing. After any other failure the write may have happened. */
const refusals: ReadonlySet<RegistryErrorCode> = new Set([
  "Unauthenticated",
  "PermissionDenied",
  "NoSpace",
  "LeaseNotFound",
  "RequestTooLong",
]);

export interface EvictorParts extends ConfirmParts {
  readonly clock: Clock;
  readonly metrics: { readonly evictions: Pick<Metrics["evictions"], "stepSeconds"> };
}

/** Confirm, fence, write, verify: the only code that removes anything from a registry. */
export class Evictor {
  readonly #parts: EvictorParts;

  constructor(parts: EvictorParts) {
    this.#parts = parts;
  }

  /** @throws what the last look raises, RegistryError when the registry refuses the write: then nothing was written */
  async evict(request: EvictionRequest, signal: AbortSignal): Promise<EvictionResult> {
    const { objection, lookedAt } = await this.#timed("Confirm", request, this.#confirm(request, signal));
    if (objection !== undefined) return { outcome: "NotConfirmed", message: objection };
    const fence = this.#fenceOf(request, lookedAt);
    if (request.isAudit) return fence.isValid() ? audited : { outcome: "Fenced", message: explainUnwritten.Fenced };
    request.log.info({ step: "write", version: request.judgement.record.version }, "asks the registry to take it out");
    return await this.#writeAndVerify({ ...request, fence }, signal);
  }

  /**
   * What is asked after the look at the pods, and what an adapter does before it sends, may take its time; where the guard
   * is not exact that look must not get old.
   */
  #fenceOf({ adapter, fence }: EvictionRequest, lookedAt: number): Fence {
    if (adapter.capabilities.exactGuard) return fence;
    const { clock } = this.#parts;
    const until = lookedAt + LOOK_STANDS_MS;
    return { ...fence, isValid: () => clock.monotonic() < until && fence.isValid() };
  }

  /**
   * Finds out what became of an `Unsettled` eviction whose record the registry lists no more, or under another version.
   * The same write is asked for once more: it can not remove anything any more, and an adapter says `Done` when an
   * earlier write of the same decision did (RegistryAdapter.deregister). While the record is listed as it was, evict()
   * begins anew instead.
   * @throws TypeError when it is still listed as it was; RegistryError when the registry refuses
   */
  async settle(request: EvictionRequest, signal: AbortSignal): Promise<EvictionResult> {
    const { record } = request.judgement;
    if (request.listed()?.version === record.version) throw new TypeError(`${record.id} is listed as it was`);
    request.log.info({ step: "settle", version: record.version }, "asks what became of the write without an answer");
    const result = await this.#writeAndVerify(request, signal);
    if (request.act === "Evict" || result.outcome !== "Changed") return result;
    // What changed may be just what was asked for, whose answer got lost.
    const verified = await this.#verify(request, signal);
    if (verified.outcome !== "Quarantined") return result;
    return { ...verified, restore: undefined, writtenAt: this.#parts.clock.monotonic() };
  }

  /** @returns what speaks against the write, and when the look at the pods ended */
  async #confirm(
    request: EvictionRequest,
    signal: AbortSignal,
  ): Promise<{ readonly objection: string | undefined; readonly lookedAt: number }> {
    const { evidence, log } = request;
    using deadline = new Deadline(this.#parts.clock, CONFIRM_DEADLINE_MS, "the last look before the write", signal);
    const objection = await this.#askForPods(request, deadline.signal);
    const lookedAt = this.#parts.clock.monotonic();
    // The reading comes last: what it says ages by the second, and with an exact guard what the pods say does not.
    const reading = objection === undefined ? await this.#askForLife(request, deadline.signal) : undefined;
    log.info(
      { step: "confirm", pods: evidence.needsConfirmRead ? "read" : "not needed", reading, objection },
      "took the last look before the write",
    );
    return { objection: objection ?? this.#judgeAgain(request, reading), lookedAt };
  }

  /** @returns what speaks against the write */
  #judgeAgain({ judgement, evidence, rejudge }: EvictionRequest, reading: LifeReading | undefined): string | undefined {
    const { record, verdict, policy } = judgement;
    const again = rejudge(reading);
    if (again === undefined) return "the record left, or is no policy's any more, since it was judged";
    if (again.record.version !== record.version) return "the record was written while it was being confirmed";
    if (again.policy !== policy) return `policy ${again.policy ?? ""} is in charge of the record by now`;
    const { evidence: proof } = again.verdict;
    const isAsked = evidence.needsConfirmRead || proof?.needsConfirmRead === false;
    if (again.verdict.kind === verdict.kind && proof?.class === evidence.class && isAsked) return undefined;
    return `judged again: ${again.verdict.kind} (${again.verdict.reason})`;
  }

  async #askForPods(
    { judgement: { record }, evidence, adapter }: EvictionRequest,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    if (!evidence.needsConfirmRead) return undefined;
    const { exactGuard } = adapter.capabilities;
    return await confirmAgainstApi({ record, exactGuard, clock: this.#parts.clock }, this.#parts, signal);
  }

  /** Silence that was heard a while ago may be over: a zombie can have waited for its turn or for a budget. */
  async #askForLife(
    { judgement: { record }, evidence, adapter }: EvictionRequest,
    signal: AbortSignal,
  ): Promise<LifeReading | undefined> {
    if (isExplained(evidence.class) || !canBeSilent(record)) return undefined;
    return await adapter.readLife(record, signal);
  }

  async #writeAndVerify(request: EvictionRequest, signal: AbortSignal): Promise<EvictionResult> {
    const write = writeOf(request);
    let written: WriteResult;
    try {
      // Nothing is waited for between this question and the adapter, which asks once more before it sends.
      written = request.fence.isValid() ? await this.#timed("Write", request, write(signal)) : { outcome: "Fenced" };
    } catch (error) {
      if (error instanceof RegistryError && refusals.has(error.code)) throw error;
      return { outcome: "Unsettled", message: `the answer to the write is lost: ${describe(error)}`, error };
    }
    if (written.outcome !== "Done") return { outcome: written.outcome, message: explainUnwritten[written.outcome] };
    const writtenAt = this.#parts.clock.monotonic();
    const verified = await this.#timed("Verify", request, this.#verify(request, signal));
    return { ...verified, restore: request.act === "Evict" ? written.restore : undefined, writtenAt };
  }

  /** @param work the step, just begun */
  async #timed<T>(step: "Confirm" | "Write" | "Verify", { adapter }: EvictionRequest, work: Promise<T>): Promise<T> {
    const { clock, metrics } = this.#parts;
    const since = clock.monotonic();
    try {
      return await work;
    } finally {
      metrics.evictions.stepSeconds.observe({ registry: adapter.name, step }, (clock.monotonic() - since) / 1000);
    }
  }

  async #verify(
    { adapter, judgement: { record }, act }: EvictionRequest,
    signal: AbortSignal,
  ): Promise<{
    readonly outcome: "Evicted" | "Quarantined" | "Resurrected" | "NotVerified";
    readonly message: string;
  }> {
    let now: InstanceRecord | undefined;
    try {
      using deadline = new Deadline(this.#parts.clock, VERIFY_DEADLINE_MS, "the read after the write", signal);
      now = await adapter.read(record.id, deadline.signal);
    } catch (error) {
      return { outcome: "NotVerified", message: `the read after the write failed: ${describe(error)}` };
    }
    if (act === "Quarantine") {
      if (now === undefined) return { outcome: "Quarantined", message: "it has left by itself since" };
      return now.quarantined
        ? { outcome: "Quarantined", message: "a later read shows it out of rotation" }
        : { outcome: "Resurrected", message: "listed again without our mark" };
    }
    if (now === undefined) return { outcome: "Evicted", message: "absent on a later read" };
    return now.version === record.version
      ? { outcome: "NotVerified", message: "a later read still shows what was deleted" }
      : { outcome: "Resurrected", message: "registered again by somebody after the delete" };
  }
}

const explainUnwritten: Readonly<Record<"Changed" | "Gone" | "Fenced", string>> = {
  Changed: "the record was written after it was judged",
  Gone: "the record had left by itself",
  Fenced:
    "this replica may no longer be the leader, the policy or registry no longer wants it, or the last look got old",
};

const audited: EvictionResult = { outcome: "Audited", message: "mode Audit: it would be taken out now" };

function writeOf({ adapter, judgement: { record }, fence, act }: EvictionRequest) {
  if (act === "Evict") return (signal: AbortSignal) => adapter.deregister(record, fence, signal);
  if (adapter.quarantine === undefined) throw new TypeError(`registry ${adapter.name} has no quarantine`);
  const quarantine = adapter.quarantine.bind(adapter);
  return (signal: AbortSignal) => quarantine(record, fence, signal);
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
