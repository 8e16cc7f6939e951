/** Turns the CRDs' schemas into TypeScript interfaces with a name for every nested object. */
import { isDeepStrictEqual } from "node:util";
import { compile, type JSONSchema } from "json-schema-to-typescript";
import { toJsonSchema, type Crd, type Schema } from "./generate-schema.ts";

/** Objects that several kinds share; they get one interface under this name. */
const SHARED: readonly { name: string; isIt: (schema: Schema) => boolean }[] = [
  { name: "Condition", isIt: (schema) => schema.properties?.["lastTransitionTime"] !== undefined },
  { name: "LabelSelector", isIt: (schema) => schema.properties?.["matchLabels"] !== undefined },
];

/**
 * @returns the text of a TypeScript module with an interface for the spec and status of every kind and for every
 * object inside them. A field with a default is not optional: the API server has filled it in.
 */
export async function generateTypes(crds: readonly Crd[]): Promise<string> {
  const shared = new Map<string, Schema>();
  const parts: string[] = [];
  for (const crd of crds) {
    for (const half of ["spec", "status"]) {
      const schema = crd.schema.properties?.[half];
      if (schema === undefined) continue;
      const named = name(toJsonSchema(schema), crd.kind, `${crd.kind}${capital(half)}`, new Set(), shared);
      parts.push(await print(named));
    }
  }
  for (const schema of shared.values()) parts.push(await print(schema));
  return parts.join("\n");
}

function print(schema: Schema): Promise<string> {
  return compile(schema as JSONSchema, schema.title ?? "", {
    additionalProperties: false,
    bannerComment: "",
    format: false,
    ignoreMinAndMaxItems: true,
    strictIndexSignatures: false,
  });
}

/** Gives every object with properties a title, by which the compiler names its interface. */
function name(schema: Schema, kind: string, title: string, taken: Set<string>, shared: Map<string, Schema>): Schema {
  if (taken.has(title)) throw new Error(`two objects would be called ${title}: rename one of the fields`);
  taken.add(title);
  const properties = Object.entries(schema.properties ?? {}).map(([field, property]) => {
    if (property.items !== undefined) {
      return [field, { ...property, items: nested(property.items, singular(field)) }] as const;
    }
    return [field, nested(property, field)] as const;
  });
  return { ...schema, title, properties: Object.fromEntries(properties) };

  function nested(property: Schema, field: string): Schema {
    if (property.properties === undefined) return property;
    const common = SHARED.find(({ isIt }) => isIt(property));
    if (common === undefined) return name(property, kind, `${kind}${capital(field)}`, taken, shared);
    const { description, ...body } = property;
    const known = shared.get(common.name);
    const named = name(body, common.name, common.name, new Set(), shared);
    if (known !== undefined && !isDeepStrictEqual(known, named)) throw new Error(`${common.name} differs between CRDs`);
    shared.set(common.name, named);
    return { ...(description === undefined ? {} : { description }), tsType: common.name } as Schema;
  }
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

function singular(word: string): string {
  return word.endsWith("ies") ? `${word.slice(0, -3)}y` : word.replace(/s$/, "");
}
