/** What several parts look at: CEL variables and pieces of CEL. */
import { SET_ANNOTATION } from "../types.ts";
import { celString } from "./literal.ts";
import type { CelVariable } from "./types.ts";

/** Variables that every compiled policy begins with. */
export const commonVariables: readonly CelVariable[] = [
  { name: "annotations", expression: "object.metadata.?annotations.orValue({})" },
  // Entries of the annotation, the newest first: of two of one name the last counts.
  {
    name: "ledger",
    expression: `variables.annotations[?${celString(SET_ANNOTATION)}].orValue("").split(",").filter(e, e.indexOf("=") > 0)`,
  },
  {
    name: "windows",
    expression:
      'object.spec.?os.?name.orValue("") == "windows" || ["kubernetes.io/os", "beta.kubernetes.io/os"].exists(k, object.spec.?nodeSelector.orValue({})[?k].orValue("") == "windows")',
  },
];

/** CEL boolean: the value under this name is one that we set. @param name CEL string @param value CEL string */
export function isOurs(name: string, value: string): string {
  const key = `${name} + "="`;
  return `variables.ledger.reverse().filter(e, e.startsWith(${key}))[?0].orValue("") == ${key} + ${value}`;
}

/** CEL: the index of the last item that the condition holds for, -1 where there is none. @param condition on `o` */
export function lastIndex(list: string, condition: string): string {
  return `${list}.transformList(i, o, ${condition}, i).reverse()[?0].orValue(-1)`;
}

/** CEL: the string `text` for the first condition that holds, else `otherwise`. */
export function firstOf(cases: readonly (readonly [condition: string, text: string])[], otherwise = '""'): string {
  return cases.reduceRight((rest, [condition, text]) => `${condition} ? (${text}) : (${rest})`, otherwise);
}

/** CEL list of one JSONPatch. @param path CEL string @param value CEL */
export function add(path: string, value: string): string {
  return `[JSONPatch{op: "add", path: ${path}, value: ${value}}]`;
}

/** CEL list: `list` where the condition holds, else nothing. */
export function when(condition: string, list: string): string {
  return `(${condition} ? ${list} : [])`;
}
