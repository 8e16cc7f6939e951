import type { Clock } from "../clock/clock.ts";
import type { Fence, InstanceRecord, RegistryAdapter, RestorePayload, WriteResult } from "../registry/port.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Verdict } from "../verdict/types.ts";
import { confirmAgainstApi, type ClusterKnowledge } from "./confirm.ts";
import type { LivePods } from "./live-pods.ts";

/** One eviction that the plan let through. */
export interface EvictionRequest {
  readonly record: InstanceRecord;
  readonly verdict: Verdict;
  readonly act: "Evict" | "Quarantine";
  readonly adapter: RegistryAdapter;
  readonly fence: Fence;
  /** Judges the record as it is listed now, from the views as they are now; undefined when it is no longer listed. */
  readonly rejudge: () => { readonly record: InstanceRecord; readonly verdict: Verdict } | undefined;
  readonly log: Logger;
}

/**
 * - `Evicted`, `Quarantined`: written, and a later read agrees.
 * - `Resurrected`: written, but a later read finds it again under a new version.
 * - `NotVerified`: written, and the later read failed; the registry acknowledged the write.
 * - `Changed`, `Gone`, `Fenced`: nothing was written (see WriteResult).
 * - `NotConfirmed`: the last look at the pods, or the judgement after it, spoke against it; nothing was written.
 */
export type EvictionOutcome =
  "Evicted" | "Quarantined" | "Resurrected" | "NotVerified" | "Changed" | "Gone" | "Fenced" | "NotConfirmed";

export interface EvictionResult {
  readonly outcome: EvictionOutcome;
  readonly message: string;
  readonly restore: RestorePayload | undefined;
  /** Local monotonic milliseconds at which the registry acknowledged the write; undefined when nothing was written. */
  readonly writtenAt: number | undefined;
}

/** How long the last look at the pods may take before the eviction is given up for now. */
const CONFIRM_DEADLINE_MS = 5_000;
/** How long the read after the write may take. */
const VERIFY_DEADLINE_MS = 5_000;

/** Confirm, fence, write, verify: the only code that removes anything from a registry. */
export class Evictor {
  readonly #cluster: ClusterKnowledge;
  readonly #live: LivePods;
  readonly #clock: Clock;

  constructor(parts: { cluster: ClusterKnowledge; live: LivePods; clock: Clock }) {
    this.#cluster = parts.cluster;
    this.#live = parts.live;
    this.#clock = parts.clock;
  }

  /**
   * @throws KubeError when the confirm read fails, RegistryError when the write does: whether that write took effect
   *   is then unknown, and the next judgement starts from what the registry says
   */
  async evict(request: EvictionRequest, signal: AbortSignal): Promise<EvictionResult> {
    const objection = await this.#confirm(request, signal);
    if (objection !== undefined) return unwritten("NotConfirmed", objection);

    const written = await this.#write(request, signal);
    if (written.outcome !== "Done") return unwritten(written.outcome, explainUnwritten[written.outcome]);
    const writtenAt = this.#clock.monotonic();
    request.log.info({ step: "write", restore: written.restore.id }, "registry acknowledged the write");

    const verified = await this.#verify(request, signal);
    request.log.info({ step: "verify", outcome: verified.outcome }, verified.message);
    return { ...verified, restore: written.restore, writtenAt };
  }

  /** @returns what speaks against the write */
  async #confirm(request: EvictionRequest, signal: AbortSignal): Promise<string | undefined> {
    const { record, verdict, log } = request;
    if (verdict.evidence?.needsConfirmRead === false) {
      log.info({ step: "confirm", skipped: true }, "compare-and-delete alone is exact here, no live read needed");
    } else {
      const deadline = AbortSignal.any([signal, AbortSignal.timeout(CONFIRM_DEADLINE_MS)]);
      const objection = await confirmAgainstApi(record, this.#cluster, this.#live, this.#clock.monotonic(), deadline);
      log.info({ step: "confirm", objection: objection?.message }, "asked the API server for pods at the address");
      if (objection !== undefined) return objection.message;
    }
    const again = request.rejudge();
    if (again === undefined) return "the record left while it was being confirmed";
    if (again.record.version !== record.version) return "the record was written while it was being confirmed";
    const holds = again.verdict.kind === verdict.kind && again.verdict.evidence?.class === verdict.evidence?.class;
    return holds ? undefined : `judged again: ${again.verdict.kind} (${again.verdict.reason})`;
  }

  async #write(request: EvictionRequest, signal: AbortSignal): Promise<WriteResult> {
    const { adapter, record, fence, act } = request;
    if (!fence.isValid()) return { outcome: "Fenced" };
    if (act === "Evict") return await adapter.deregister(record, fence, signal);
    if (adapter.quarantine === undefined) throw new TypeError(`registry ${adapter.name} has no quarantine`);
    return await adapter.quarantine(record, fence, signal);
  }

  async #verify(
    request: EvictionRequest,
    signal: AbortSignal,
  ): Promise<{ readonly outcome: EvictionOutcome; readonly message: string }> {
    const { adapter, record, act } = request;
    let now: InstanceRecord | undefined;
    try {
      now = await adapter.read(record.id, AbortSignal.any([signal, AbortSignal.timeout(VERIFY_DEADLINE_MS)]));
    } catch (error) {
      return { outcome: "NotVerified", message: `the read after the write failed: ${describe(error)}` };
    }
    if (act === "Quarantine") {
      return now?.quarantined === false
        ? { outcome: "Resurrected", message: "listed again without our mark" }
        : { outcome: "Quarantined", message: "a later read shows it out of rotation" };
    }
    return now === undefined
      ? { outcome: "Evicted", message: "absent on a later read" }
      : { outcome: "Resurrected", message: "registered again by somebody after the delete" };
  }
}

const explainUnwritten: Readonly<Record<"Changed" | "Gone" | "Fenced", string>> = {
  Changed: "the record was written after it was judged",
  Gone: "the record had left by itself",
  Fenced: "this replica may no longer be the leader, or the policy or registry no longer wants it",
};

function unwritten(outcome: "NotConfirmed" | "Changed" | "Gone" | "Fenced", message: string): EvictionResult {
  return { outcome, message, restore: undefined, writtenAt: undefined };
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
