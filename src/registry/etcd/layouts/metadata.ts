import { isObject } from "./layout.ts";

/** What is kept of an instance's metadata; longer entries are left out whole, since half a value could match wrongly. */
const MAX_ENTRIES = 64;
const MAX_NAME = 128;
const MAX_VALUE = 512;

/**
 * A Go `map[string]string` in JSON: an object of strings, or null.
 * @returns undefined when it is anything else
 */
export function stringMap(value: unknown): Readonly<Record<string, string>> | undefined {
  if (value === null || value === undefined) return {};
  if (!isObject(value)) return undefined;
  const entries = Object.entries(value);
  if (!entries.every((entry): entry is [string, string] => typeof entry[1] === "string")) return undefined;
  return bounded(entries);
}

/** A Go `map[string]any` in JSON: strings, numbers and booleans of an object; everything else is left out. */
export function looseMap(value: unknown): Readonly<Record<string, string>> {
  if (!isObject(value)) return {};
  const entries: [string, string][] = [];
  for (const [name, content] of Object.entries(value)) {
    if (typeof content === "string") entries.push([name, content]);
    else if (typeof content === "number" || typeof content === "boolean") entries.push([name, String(content)]);
  }
  return bounded(entries);
}

/** The first entry of a name wins. */
export function bounded(entries: Iterable<readonly [string, string]>): Readonly<Record<string, string>> {
  const kept = new Map<string, string>();
  for (const [name, content] of entries) {
    if (kept.size === MAX_ENTRIES) break;
    if (name.length <= MAX_NAME && content.length <= MAX_VALUE && !kept.has(name)) kept.set(name, content);
  }
  return Object.fromEntries(kept);
}
