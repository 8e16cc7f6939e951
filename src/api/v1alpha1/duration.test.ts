import { assert, property, array, constantFrom, integer, record, string } from "fast-check";
import { describe, expect, test } from "vitest";
import { parseDuration } from "./duration.ts";

const cases: Record<string, [text: string, milliseconds: number]> = {
  "milliseconds are not minutes": ["200ms", 200],
  seconds: ["15s", 15_000],
  minutes: ["2m", 120_000],
  "hours and minutes add up": ["1h30m", 5_400_000],
  "all four units in one": ["1h1m1s1ms", 3_661_001],
  "the order of units is free, as in Go": ["1ms1h", 3_600_001],
  "zero is a duration": ["0s", 0],
};

describe("parseDuration", () => {
  test.each(Object.entries(cases))("%s", (_, [text, milliseconds]) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  test.each(["", "5", "s", "1.5s", "-1s", " 1s", "1s ", "1d", "1us", "1S", "100000s", "1s1s1s1s1s", "1s\n"])(
    "%j is refused and the message shows how to write one",
    (text) => {
      expect(() => parseDuration(text)).toThrow(
        expect.objectContaining({ code: "InvalidDuration", message: expect.stringContaining("1h30m") as string }),
      );
    },
  );

  test("the value is the sum of the terms, whatever they are", () => {
    const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;
    const term = record({ count: integer({ min: 0, max: 99_999 }), unit: constantFrom("ms", "s", "m", "h") });
    assert(
      property(array(term, { minLength: 1, maxLength: 4 }), (terms) => {
        const text = terms.map(({ count, unit }) => `${count}${unit}`).join("");
        expect(parseDuration(text)).toBe(terms.reduce((sum, { count, unit }) => sum + count * units[unit], 0));
      }),
    );
  });

  test("any text gives a whole number of milliseconds or InvalidDuration, nothing else", () => {
    assert(
      property(string({ unit: constantFrom("0", "1", "9", "m", "s", "h", " ", "-", "."), maxLength: 12 }), (text) => {
        try {
          expect(Number.isSafeInteger(parseDuration(text))).toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ code: "InvalidDuration" });
        }
      }),
    );
  });
});
