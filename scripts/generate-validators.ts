/** Compiles the CRDs' schemas into validators that need no schema at run time. */
import { Ajv } from "ajv";
import standaloneCode from "ajv/dist/standalone/index.js";
import { toJsonSchema, type Crd, type Schema } from "./generate-schema.ts";

/**
 * @returns the text of a module with a function `validate<Kind>` for every kind that has a spec. It fills in defaults,
 * answers whether the object fits, and leaves what does not in its property `errors`.
 */
export function generateValidators(crds: readonly Crd[]): string {
  // Status is ours: a status written under an older schema is overwritten, not refused.
  const withSpec = crds.filter((crd) => crd.schema.properties?.["spec"] !== undefined);
  const ajv = new Ajv({
    allErrors: true,
    useDefaults: true,
    // A field with int-or-string has two types.
    allowUnionTypes: true,
    // The formats of OpenAPI (int32, date-time) say nothing that minimum, maximum and pattern do not.
    validateFormats: false,
    code: { source: true, esm: true, lines: true },
  });
  const exported: Record<string, string> = {};
  for (const crd of withSpec) {
    ajv.addSchema(validated(crd), crd.kind);
    exported[`validate${crd.kind}`] = crd.kind;
  }
  const makeCode = standaloneCode.default;
  return withOwnHelper(makeCode(ajv, exported));
}

function validated(crd: Crd): Schema {
  const { spec } = crd.schema.properties ?? {};
  if (spec === undefined) throw new Error(`${crd.kind} has no spec`);
  return withoutTexts({
    type: "object",
    required: ["apiVersion", "kind", "metadata", "spec"],
    properties: {
      apiVersion: { type: "string", enum: [`hygeia.dev/${crd.version}`] },
      kind: { type: "string", enum: [crd.kind] },
      metadata: { type: "object", required: ["name"], properties: { name: { type: "string" } } },
      spec: toJsonSchema(spec),
    },
  });
}

/** Descriptions would be copied into the code. */
function withoutTexts(schema: Schema): Schema {
  return JSON.parse(
    JSON.stringify(schema, (key, value: unknown) =>
      key === "description" && typeof value === "string" ? undefined : value,
    ),
  ) as Schema;
}

/** Length in code points, as the API server counts it. */
const LENGTH = "function lengthOf(text) { let length = 0; for (const _ of text) length++; return length; }";

/**
 * The compiler asks for its one helper with require(), which a module does not have; ours does the same. So the
 * validators need nothing of ajv at run time.
 */
function withOwnHelper(code: string): string {
  const body = code
    .replace(/const (\w+) = require\("ajv\/dist\/runtime\/ucs2length"\)\.default;?/, "const $1 = lengthOf;")
    // A module is strict by itself.
    .replace('"use strict";', "");
  if (body.includes("require(")) throw new Error("the validators ask for a helper that is not known here");
  return `${LENGTH}\n${body}`;
}
