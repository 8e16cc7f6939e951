import fc from "fast-check";
import { expect, test } from "vitest";

import { celMaps, celString, celStrings } from "./literal.ts";

/** What CEL reads in a literal of the few forms that are written. */
function read(literal: string): string {
  return literal
    .slice(1, -1)
    .replace(/\\(?:U([0-9a-f]{8})|(.))/g, (_, code: string | undefined, sign: string) =>
      code === undefined ? sign : String.fromCodePoint(Number.parseInt(code, 16)),
    );
}

test("a literal says the text, whatever it holds", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(read(celString(text))).toBe(text.toWellFormed());
    }),
    { numRuns: 1_000 },
  );
});

test("nothing in a text ends its literal: a quote or a backslash is escaped, and a line never ends", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('"', "\\", "'", "\n", "a", "{", "${", "\u2028", "\ud800") }),
      (text) => {
        expect(celString(text)).toMatch(/^"(?:[ !#-[\]-~]|\\["\\]|\\U[0-9a-f]{8})*"$/);
      },
    ),
    { numRuns: 1_000 },
  );
});

test.each(
  Object.entries({
    "a quote": ['"', String.raw`"\""`],
    "a backslash": ["\\", String.raw`"\\"`],
    "the end of a literal and more": ['" + object.x + "', String.raw`"\" + object.x + \""`],
    "the end of a line": ["a\nb", String.raw`"a\U0000000ab"`],
    "a sign beyond the first plane": ["😀", String.raw`"\U0001f600"`],
    "half of such a sign": ["\ud83d", String.raw`"\U0000fffd"`],
  }),
)("%s", (_, [text = "", literal]) => {
  expect(celString(text)).toBe(literal);
});

test("lists have the type of their items also when they are empty", () => {
  expect(celStrings(["a", "b"])).toBe('["a", "b"]');
  expect(celStrings([])).toBe('[""].filter(s, false)');
  expect(celMaps([{ name: "a", value: undefined }])).toBe('[{"name": "a"}]');
  expect(celMaps([])).toBe('[{"": ""}].filter(m, false)');
});
