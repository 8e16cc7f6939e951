import type { PodRecord } from "../../cluster/types.ts";
import type { Decision } from "../../plan/types.ts";
import type { Judgement, VerdictKind } from "../../verdict/types.ts";
import type { CompiledPolicy, EvictionEntry } from "../types.ts";

/** Why an entry was put back into rotation. */
export interface ReleaseNote {
  /** The pod that lives at its address. */
  readonly owner: PodRecord;
  readonly message: string;
  /** Of the release; the entry carries that of the eviction. */
  readonly traceId: string;
}

/** What the instance controller tells a person by Events. Calls must not throw and must not block. */
export interface InstanceEvents {
  /** An entry was removed or taken out of rotation, and what a later read said of it. */
  evicted(policy: CompiledPolicy, entry: EvictionEntry, message: string): void;
  /**
   * An entry that we took out of rotation was put back.
   * @param policy that had taken it out
   */
  released(policy: { readonly name: string; readonly uid: string }, entry: EvictionEntry, note: ReleaseNote): void;
  /**
   * A judgement that differs from the last one of the same record.
   * @param before the last verdict; undefined for a record that was never judged
   */
  judged(
    policy: CompiledPolicy,
    judgement: Judgement,
    before: VerdictKind | undefined,
    decision: Decision | undefined,
  ): void;
}
