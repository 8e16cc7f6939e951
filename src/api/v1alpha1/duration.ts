import { HygeiaError } from "../../errors.ts";

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** The pattern of every duration field in crds/. */
const WHOLE = /^(?:[0-9]{1,5}(?:ms|s|m|h)){1,4}$/;
const TERM = /([0-9]+)(ms|s|m|h)/g;

/**
 * Reads a duration as the custom resources write it: whole numbers with the units h, m, s and ms, as in `1h30m` or
 * `200ms` (a part of Go's grammar, which kubectl users know).
 * @returns milliseconds
 * @throws HygeiaError `InvalidDuration`
 */
export function parseDuration(text: string): number {
  if (!WHOLE.test(text)) {
    throw new HygeiaError("InvalidDuration", `"${text}" is not a duration: write for example 200ms, 15s or 1h30m`);
  }
  let total = 0;
  for (const [, count, unit] of text.matchAll(TERM)) total += Number(count) * (UNIT_MS[unit ?? ""] ?? Number.NaN);
  return total;
}
