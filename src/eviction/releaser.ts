import type { Clock } from "../clock/clock.ts";
import { Deadline } from "../clock/deadline.ts";
import type { PodRecord } from "../cluster/types.ts";
import type { Fence, InstanceRecord, RegistryAdapter, WriteResult } from "../registry/port.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Judgement } from "../verdict/types.ts";
import type { ConfirmParts } from "./confirm.ts";
import { confirmOwner } from "./confirm-owner.ts";
import { nameOf } from "./holders.ts";

/** One release of an entry that we took out of rotation. */
export interface ReleaseRequest {
  /** By which the entry has a living owner. */
  readonly judgement: Judgement;
  readonly adapter: RegistryAdapter;
  /** That the quarantine is ours and still stands is a part of it. */
  readonly fence: Fence;
  /** Judges what is listed now, from the views as they are now; undefined when it is not listed, or nobody's any more. */
  readonly rejudge: () => Judgement | undefined;
  /** Its lines carry the trace id of the decision. */
  readonly log: Logger;
}

/**
 * - `Released`: written, and a later read agrees.
 * - `NotVerified`: the registry acknowledged the write, and the later read failed or still shows it out of rotation.
 * - `Unsettled`: the write was asked for and failed, or the answer is lost: it may have happened, or may still happen.
 * - `Changed`, `Gone`, `Fenced`: nothing was written (see WriteResult).
 * - `NotConfirmed`: the last look at pods, or the judgement after it, spoke against it; nothing was written.
 */
export type ReleaseResult =
  | { readonly outcome: "Released"; readonly message: string; readonly owner: PodRecord }
  | { readonly outcome: "Unsettled"; readonly message: string; readonly error: unknown }
  | { readonly outcome: "NotVerified" | "Changed" | "Gone" | "Fenced" | "NotConfirmed"; readonly message: string };

/** How long the last look may take before the release is given up for now. */
const CONFIRM_DEADLINE_MS = 35_000;
/** How long the read after the write may take. */
const VERIFY_DEADLINE_MS = 5_000;

/** Confirm, fence, write, verify: the only code that puts entries back into rotation. */
export class Releaser {
  readonly #parts: ConfirmParts & { readonly clock: Clock };

  constructor(parts: ConfirmParts & { readonly clock: Clock }) {
    this.#parts = parts;
  }

  /** @throws what the last look raises: then nothing was written */
  async release(request: ReleaseRequest, signal: AbortSignal): Promise<ReleaseResult> {
    const { judgement, adapter, fence, log } = request;
    const { record } = judgement;
    if (adapter.release === undefined) throw new TypeError(`registry ${adapter.name} has no quarantine`);
    const confirmed = await this.#confirm(request, signal);
    if (typeof confirmed === "string") return { outcome: "NotConfirmed", message: confirmed };
    log.info({ step: "write", version: record.version }, "asks the registry to put it back into rotation");
    let written: WriteResult;
    try {
      // Nothing is waited for between this question and the adapter, which asks once more before it sends.
      written = fence.isValid() ? await adapter.release(record, fence, signal) : { outcome: "Fenced" };
    } catch (error) {
      return { outcome: "Unsettled", message: `the release was not acknowledged: ${describe(error)}`, error };
    }
    if (written.outcome !== "Done") return { outcome: written.outcome, message: explainUnwritten[written.outcome] };
    return await this.#verify(record, adapter, confirmed, signal);
  }

  /** @returns the pod that lives, or what speaks against the write */
  async #confirm({ judgement, rejudge, log }: ReleaseRequest, signal: AbortSignal): Promise<PodRecord | string> {
    const { record, policy } = judgement;
    using deadline = new Deadline(this.#parts.clock, CONFIRM_DEADLINE_MS, "the last look before the release", signal);
    const owner = await confirmOwner(record, this.#parts, deadline.signal);
    log.info({ step: "confirm", owner: owner && nameOf(owner) }, "took the last look before the release");
    if (owner === undefined) return "the API server knows no living pod at its address that is in the view";
    const again = rejudge();
    if (again === undefined) return "the record left, or is no policy's any more, since it was judged";
    if (again.record.version !== record.version) return "the record was written while it was being confirmed";
    if (!again.record.quarantined) return "it is in rotation";
    if (again.policy !== policy) return `policy ${again.policy ?? ""} is in charge of the record by now`;
    if (again.verdict.kind !== "Live") return `judged again: ${again.verdict.kind} (${again.verdict.reason})`;
    return owner;
  }

  async #verify(
    { id }: InstanceRecord,
    adapter: RegistryAdapter,
    owner: PodRecord,
    signal: AbortSignal,
  ): Promise<ReleaseResult> {
    let now: InstanceRecord | undefined;
    try {
      using deadline = new Deadline(this.#parts.clock, VERIFY_DEADLINE_MS, "the read after the write", signal);
      now = await adapter.read(id, deadline.signal);
    } catch (error) {
      return { outcome: "NotVerified", message: `the read after the write failed: ${describe(error)}` };
    }
    if (now === undefined) return { outcome: "Gone", message: "it has left by itself since" };
    return now.quarantined
      ? { outcome: "NotVerified", message: "a later read still shows it out of rotation" }
      : { outcome: "Released", message: "a later read shows it in rotation", owner };
  }
}

const explainUnwritten: Readonly<Record<"Changed" | "Gone" | "Fenced", string>> = {
  Changed: "the record was written after it was judged",
  Gone: "the record had left by itself",
  Fenced: "this replica may no longer be the leader, or policy, registry or quarantine are no longer the same",
};

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
