import { expect, it } from "vitest";

import { quoted } from "./filter.ts";

it.each([
  ["web-1", '"web-1"'],
  ['a"b', '"a\\x22b"'],
  ["a\\b", '"a\\x5cb"'],
  ["a\nb", '"a\\x0ab"'],
  ["é`", '"é`"'],
  ['x" or Node != "', '"x\\x22 or Node != \\x22"'],
])("%j is one string of the filter language", (text, expected) => {
  expect(quoted(text)).toBe(expected);
});
