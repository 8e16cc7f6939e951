/** Writes down which fields a policy's spec has, for whoever must tell a slip of the pen from a field. */
import type { Crd, Schema } from "./generate-schema.ts";

/** @returns the text of a module with one tree of field names */
export function generateFields(crds: readonly Crd[]): string {
  const policy = crds.find(({ kind }) => kind === "RegistrationPolicy");
  const spec = policy?.schema.properties?.["spec"];
  if (spec === undefined) throw new Error("RegistrationPolicy has no spec");
  return [
    "/** Fields by name; `true` where anything may be below. The items of a list stand for the list. */",
    "export interface FieldTree { readonly [field: string]: FieldTree | true; }",
    "",
    "/** The fields of a RegistrationPolicy's spec. */",
    `export const registrationPolicyFields: FieldTree = ${JSON.stringify(treeOf(spec))};`,
    "",
  ].join("\n");
}

type Tree = { [field: string]: Tree } | true;

function treeOf(schema: Schema): Tree {
  if (schema.items !== undefined) return treeOf(schema.items);
  if (schema.properties === undefined) return true;
  return Object.fromEntries(Object.entries(schema.properties).map(([name, child]) => [name, treeOf(child)]));
}
