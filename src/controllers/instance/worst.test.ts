import fc from "fast-check";
import { expect, test } from "vitest";

import { recordAt } from "../../../test/support/records.ts";
import type { VerdictKind } from "../../verdict/types.ts";
import type { Finding } from "../types.ts";
import { severity, worstOf } from "./worst.ts";

function finding(kind: VerdictKind, seconds: number, id: string): Finding {
  const verdict = { kind, reason: "", message: "", evidence: undefined, reviewAfterMs: undefined };
  const record = recordAt(["10.42.0.7:80"], { id });
  return {
    judgement: { record, verdict: { ...verdict, needsLifeReading: false, needsCompleteList: false }, policy: "all" },
    firstSeen: new Date(seconds * 1_000),
    action: "",
  };
}

const idsOf = (findings: readonly Finding[]): string[] => findings.map(({ judgement }) => judgement.record.id);

test("what needs a person comes first, then the older, then by id", () => {
  const findings = [
    finding("Unknown", 1, "unknown"),
    finding("Zombie", 2, "younger"),
    finding("Zombie", 1, "b"),
    finding("Resurrected", 9, "resurrected"),
    finding("Zombie", 1, "a"),
  ];
  expect(idsOf(worstOf(findings, 10))).toEqual(["resurrected", "a", "b", "younger", "unknown"]);
});

test("is what sorting all of them and cutting off the rest would give, whatever the limit", () => {
  const any = fc.record({
    kind: fc.constantFrom(...(Object.keys(severity) as VerdictKind[])),
    seconds: fc.nat(3),
    id: fc.nat(20).map(String),
  });
  fc.assert(
    fc.property(fc.array(any, { maxLength: 60 }), fc.integer({ min: 1, max: 70 }), (some, limit) => {
      const findings = some.map(({ kind, seconds, id }) => finding(kind, seconds, id));
      const sorted = worstOf(findings, findings.length + 1);
      for (const [i, each] of sorted.entries()) {
        const next = sorted[i + 1];
        if (next !== undefined) expect(rank(each) <= rank(next)).toBe(true);
      }
      expect(sorted).toHaveLength(findings.length);
      expect(idsOf(worstOf(findings, limit))).toEqual(idsOf(sorted.slice(0, limit)));
    }),
  );
});

function rank({ judgement: { verdict, record }, firstSeen }: Finding): string {
  return `${severity[verdict.kind]} ${firstSeen.getTime()} ${record.id}`;
}
