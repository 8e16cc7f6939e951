import { expect, test } from "vitest";

import { dead, inputOf, recordOf } from "../../../test/support/judging.ts";
import { judge } from "../../verdict/chain.ts";
import type { Evidence, Judgement } from "../../verdict/types.ts";
import { Audits } from "./audits.ts";

const scene = { tombstones: [dead("a")] };
const { verdict } = judge(inputOf(scene));
const judgement: Judgement = { record: recordOf(scene), verdict, policy: "all" };
const evidence = verdict.evidence ?? never();

function never(): never {
  throw new Error("a confirmed death has evidence");
}

function audited(): Audits {
  const audits = new Audits();
  audits.add("key", judgement, evidence);
  return audits;
}

test("the same decision is known, until the record has left", () => {
  const audits = audited();
  expect(audits.has("key", { ...judgement, verdict: { ...verdict, message: "in other words" } }, evidence)).toBe(true);
  expect(audits.has("another", judgement, evidence)).toBe(false);
  audits.forget("key");
  expect(audits.has("key", judgement, evidence)).toBe(false);
});

const others: Readonly<Record<string, { judgement?: Partial<Judgement>; evidence?: Partial<Evidence> }>> = {
  "an entry that was written anew": { judgement: { record: { ...judgement.record, version: "later" } } },
  "another policy": { judgement: { policy: "another" } },
  "another class of evidence": { evidence: { class: "Absent" } },
  "another pod's death": { evidence: { podUid: "uid-b" } },
};

test.each(Object.entries(others))("%s makes another decision", (_, other) => {
  const { judgement: changed, evidence: proof } = other;
  expect(audited().has("key", { ...judgement, ...changed }, { ...evidence, ...proof })).toBe(false);
});
