import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect, test } from "vitest";

import { admissionCases } from "../../test/support/admission-cases.ts";
import { webhookOnlyReasons } from "./cel/types.ts";
import { podParts, skipReasons } from "./types.ts";

const page = readFileSync(join(import.meta.dirname, "../../docs/admission.md"), "utf8");

/** First cells of the rows of the table below a heading. */
function names(heading: string): string[] {
  const section = page.split(/^## /m).find((text) => text.startsWith(heading)) ?? "";
  return [...section.matchAll(/^\| `(\w+)` +\|/gm)].map(([, name = ""]) => name);
}

test("docs/admission.md names every part", () => {
  expect(names("What is set")).toEqual([...podParts]);
});

test("docs/admission.md explains every reason, and no other", () => {
  expect(names("What is left out").toSorted()).toEqual([...skipReasons].toSorted());
});

test("docs/admission.md tells what is not with the API server's own policies, and the cases have it", () => {
  const told = names("Two ways to do it").filter((name) => /^[A-Z]/.test(name));
  expect(told.toSorted()).toEqual([...webhookOnlyReasons].toSorted());
  const marked = Object.values(admissionCases).flatMap(({ byPolicy, skipped }) =>
    byPolicy === undefined ? [] : skipped.map(([, reason]) => reason),
  );
  // No API server sends a pod that is not understood, so no case can.
  expect(new Set(marked)).toEqual(new Set(webhookOnlyReasons.filter((reason) => reason !== "NotUnderstood")));
});
