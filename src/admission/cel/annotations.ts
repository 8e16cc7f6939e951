import { APPLIED_ANNOTATION, type PodPolicy, SET_ANNOTATION, SKIPPED_ANNOTATION } from "../types.ts";
import { when } from "./common.ts";
import { celString } from "./literal.ts";
import type { CelPart, CelVariable } from "./types.ts";

/** The API server refuses an object whose annotations are larger than this together, bytes. */
const MAX_ANNOTATION_BYTES = 256 * 1024;

/** Variables that tell what annotations the pod is to have, as annotationsFor does, and whether they fit. */
export function annotationVariables({ name, generation }: PodPolicy, parts: readonly CelPart[]): CelVariable[] {
  const any = (expressions: readonly string[]): string => expressions.map((text) => `(${text})`).join(" || ");
  const reasons = parts.map(({ part, reason }) =>
    when(`(${reason}) != ""`, `[${celString(`${part}=`)} + (${reason})]`),
  );
  const has = (annotation: string): string => `${celString(annotation)} in variables.annotations`;
  const entry = (annotation: string, value: string): string =>
    `[{"name": ${celString(annotation)}, "value": ${value}}]`;
  const keys = 'variables.ledger_after.map(e, e.substring(0, e.indexOf("="))).distinct()';
  const bytes = "size(bytes(k)) + size(bytes(variables.annotations[k]))";
  return [
    { name: "skipped", expression: reasons.join(" + ") },
    { name: "changes", expression: any(parts.map(({ changes }) => changes)) },
    { name: "applied", expression: any(parts.map(({ applied }) => applied)) },
    { name: "set", expression: parts.map(({ set }) => set).join(" + ") },
    { name: "ledger_after", expression: "variables.ledger + variables.set" },
    {
      name: "set_text",
      expression: `${keys}.map(k, variables.ledger_after.reverse().filter(e, e.startsWith(k + "="))[0]).join(",")`,
    },
    {
      name: "own_annotations",
      expression: `(${[
        when(
          `variables.applied && (variables.changes || variables.skipped.size() > 0 || ${has(APPLIED_ANNOTATION)})`,
          entry(APPLIED_ANNOTATION, celString(`${name}@${generation}`)),
        ),
        when(
          `variables.skipped.size() > 0 || ${has(SKIPPED_ANNOTATION)}`,
          entry(SKIPPED_ANNOTATION, 'variables.skipped.join(",")'),
        ),
        when("variables.set.size() > 0", entry(SET_ANNOTATION, "variables.set_text")),
      ].join(
        " + ",
      )}).filter(a, !(a["name"] in variables.annotations && variables.annotations[a["name"]] == a["value"]))`,
    },
    {
      name: "fits",
      expression: `variables.own_annotations.size() == 0 || variables.annotations.map(k, ${bytes}).sum() + variables.own_annotations.map(a, size(bytes(a["name"])) + size(bytes(a["value"]))).sum() <= ${MAX_ANNOTATION_BYTES}`,
    },
  ];
}

/** CEL list of JSONPatch. */
export function annotationOperations(): string {
  return [
    when(
      "variables.own_annotations.size() > 0 && !has(object.metadata.annotations)",
      '[JSONPatch{op: "add", path: "/metadata/annotations", value: {}}]',
    ),
    'variables.own_annotations.map(a, JSONPatch{op: "add", path: "/metadata/annotations/" + jsonpatch.escapeKey(a["name"]), value: a["value"]})',
  ].join(" + ");
}
