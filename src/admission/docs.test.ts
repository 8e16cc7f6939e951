import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect, test } from "vitest";

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
