import type { VerdictKind } from "../../verdict/types.ts";
import type { Finding } from "../types.ts";

/** Worst first: what needs a person, then what is about to leave, then what is merely open. */
export const severity: Readonly<Record<VerdictKind, number>> = {
  Resurrected: 0,
  Contested: 1,
  Zombie: 2,
  Suspect: 3,
  Unknown: 4,
  Draining: 5,
  Foreign: 6,
  Live: 7,
};

/** The worst findings, worst first, at most `limit`: without sorting all of them, which can be every instance. */
export function worstOf(findings: Iterable<Finding>, limit: number): Finding[] {
  const worst: Finding[] = [];
  for (const finding of findings) {
    const last = worst[limit - 1];
    if (last !== undefined && compare(last, finding) <= 0) continue;
    worst.splice(placeOf(finding, worst), 0, finding);
    if (worst.length > limit) worst.pop();
  }
  return worst;
}

function placeOf(finding: Finding, sorted: readonly Finding[]): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = sorted[middle];
    if (other !== undefined && compare(other, finding) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function compare(a: Finding, b: Finding): number {
  return (
    severity[a.judgement.verdict.kind] - severity[b.judgement.verdict.kind] ||
    a.firstSeen.getTime() - b.firstSeen.getTime() ||
    compareText(a.judgement.record.registry, b.judgement.record.registry) ||
    compareText(a.judgement.record.id, b.judgement.record.id)
  );
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
