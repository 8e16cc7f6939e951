import type { Evidence, Judgement } from "../../verdict/types.ts";

/**
 * Decisions of mode Audit that were taken up to the write. Under Enforce the record would be gone by then; here it stays,
 * and would be looked at, with all that this costs API server and registry, again and again.
 */
export class Audits {
  /** What was decided on, by key of the record. */
  readonly #done = new Map<string, string>();

  has(key: string, judgement: Judgement, evidence: Evidence): boolean {
    return this.#done.get(key) === decisionOn(judgement, evidence);
  }

  add(key: string, judgement: Judgement, evidence: Evidence): void {
    this.#done.set(key, decisionOn(judgement, evidence));
  }

  /** The record left, or there is nothing to decide on it any more. */
  forget(key: string): void {
    this.#done.delete(key);
  }
}

/** Another version, policy or evidence makes another decision. */
function decisionOn({ record, policy }: Judgement, { class: kind, podUid }: Evidence): string {
  return JSON.stringify([record.version, policy, kind, podUid]);
}
