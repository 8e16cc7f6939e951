import { describe, expect, test } from "vitest";

import { dateProblem, firstToExpire, type CertificateInUse } from "./certificates.ts";

const DAY = 24 * 60 * 60 * 1000;
const now = new Date("2026-06-01T00:00:00Z");

/** A certificate that was issued and ends so many days from now. */
function certificate(what: string, issued: number, ends: number): CertificateInUse {
  const day = (days: number): Date => new Date(now.getTime() + days * DAY);
  return { what, subject: `CN=${what}`, notBefore: day(issued), notAfter: day(ends) };
}

describe("the dates of certificates", () => {
  const table: Record<string, { certificates: CertificateInUse[]; reason: string | undefined; names?: string }> = {
    "of none are fine": { certificates: [], reason: undefined },
    "are fine in the middle of their life": { certificates: [certificate("a", -45, 45)], reason: undefined },
    "are fine when two thirds are over: that is when renewers act": {
      certificates: [certificate("a", -61, 29)],
      reason: undefined,
    },
    "are a problem when a quarter is left: the renewer is overdue": {
      certificates: [certificate("a", -68, 22)],
      reason: "ExpiresSoon",
      names: "a",
    },
    "are fine for an authority of ten years that ends in a year": {
      certificates: [certificate("ca", -3_285, 365)],
      reason: undefined,
    },
    "are a problem for an authority of ten years that ends in 29 days": {
      certificates: [certificate("ca", -3_621, 29)],
      reason: "ExpiresSoon",
      names: "ca",
    },
    "are fine for a certificate of a day with eight hours left": {
      certificates: [certificate("a", -2 / 3, 1 / 3)],
      reason: undefined,
    },
    "are a problem when one is over, and that one is named": {
      certificates: [certificate("a", -68, 22), certificate("b", -10, -1)],
      reason: "Expired",
      names: "b",
    },
    "are a problem when one has not begun": {
      certificates: [certificate("a", -45, 45), certificate("b", 1, 300)],
      reason: "NotYetValid",
      names: "b",
    },
  };
  for (const [sentence, { certificates, reason, names }] of Object.entries(table)) {
    test(sentence, () => {
      const problem = dateProblem(certificates, now);
      expect(problem?.reason).toBe(reason);
      if (names !== undefined) expect(problem?.message).toContain(`${names} (CN=${names})`);
    });
  }

  test("end with the first of them", () => {
    const [a, b] = [certificate("a", -1, 9), certificate("b", -1, 8)];
    expect(firstToExpire([a, b])).toBe(b);
    expect(firstToExpire([])).toBeUndefined();
  });
});
