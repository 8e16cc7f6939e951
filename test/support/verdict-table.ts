import { expect, it } from "vitest";

import { judge } from "../../src/verdict/chain.ts";
import type { Verdict } from "../../src/verdict/types.ts";
import { inputOf, NOW, type Scene } from "./judging.ts";

/** Sentences, each with a scene and the verdict on it: `KIND REASON`. */
export type VerdictTable = Readonly<Record<string, Scene & { readonly is: string }>>;

/** Suspect for two minutes and nine lists. */
export const absentForLong = { suspectSince: NOW - 121_000, listsAtSuspect: 7 };
export const leased = { ttlMs: 60_000 };
export const stale = { reason: "Stale", message: "pods are 16 s old" };

export function verdictOf(scene: Scene): Verdict {
  return judge(inputOf(scene)).verdict;
}

/** `KIND REASON`. */
export function summaryOf(scene: Scene): string {
  const { kind, reason } = verdictOf(scene);
  return `${kind} ${reason}`;
}

/** Makes a test of each sentence. */
export function check(table: VerdictTable): void {
  for (const [sentence, { is, ...scene }] of Object.entries(table)) {
    it(sentence, () => {
      expect(summaryOf(scene)).toBe(is);
    });
  }
}
