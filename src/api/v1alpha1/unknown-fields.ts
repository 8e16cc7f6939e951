import { registrationPolicyFields, type FieldTree } from "./generated/fields.ts";
import type { FieldProblem } from "./parse.ts";

/**
 * The fields of a RegistrationPolicy's spec that do not exist. The operator passes them over, as a later version may
 * have them; in a file that somebody writes they are mistakes.
 * @param value what the file holds
 */
export function unknownPolicyFields(value: unknown): readonly FieldProblem[] {
  if (!isObject(value)) return [];
  return unknownIn(value["spec"], registrationPolicyFields, "spec");
}

function unknownIn(value: unknown, tree: FieldTree | true, path: string): FieldProblem[] {
  if (tree === true) return [];
  if (Array.isArray(value)) return value.flatMap((item, i) => unknownIn(item, tree, `${path}[${i}]`));
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([name, child]) => {
    const below = Object.hasOwn(tree, name) ? tree[name] : undefined;
    if (below !== undefined) return unknownIn(child, below, `${path}.${name}`);
    return [{ field: `${path}.${name}`, message: `is no field: write one of ${Object.keys(tree).join(", ")}` }];
  });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
