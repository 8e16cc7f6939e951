/** Reads crds/ and offers the schemas in plain JSON Schema, for the generators. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

/** The part of OpenAPI v3 that a structural schema may use, as far as we use it. */
export interface Schema {
  title?: string;
  type?: string | string[];
  description?: string;
  default?: unknown;
  enum?: unknown[];
  format?: string;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  maxProperties?: number;
  required?: string[];
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | false;
  items?: Schema;
  anyOf?: Schema[];
  "x-kubernetes-int-or-string"?: boolean;
  "x-kubernetes-validations"?: { rule: string; message: string; fieldPath?: string; reason?: string }[];
}

export interface Column {
  name: string;
  description?: string;
  priority?: number;
}

/** One CustomResourceDefinition with its single version. */
export interface Crd {
  kind: string;
  plural: string;
  shortNames: string[];
  version: string;
  columns: Column[];
  schema: Schema;
}

interface CrdManifest {
  kind: string;
  spec: {
    names: { kind: string; plural: string; shortNames: string[] };
    versions: {
      name: string;
      additionalPrinterColumns: Column[];
      schema: { openAPIV3Schema: Schema };
    }[];
  };
}

/**
 * @param folder where the CRD manifests are
 * @returns every CRD there, ordered by kind: Registry, RegistrationPolicy, RegistrationReport
 * @throws Error when a file holds something else, or more than one version
 */
export function readCrds(folder: string): Crd[] {
  const files = readdirSync(folder).filter((name) => name.endsWith(".yaml") && name !== "kustomization.yaml");
  const crds = files.map((name) => {
    const manifest = parse(readFileSync(join(folder, name), "utf8")) as CrdManifest;
    const [version, ...others] = manifest.spec.versions;
    if (manifest.kind !== "CustomResourceDefinition" || version === undefined || others.length > 0) {
      throw new Error(`${name}: expected one CustomResourceDefinition with one version`);
    }
    const { kind, plural, shortNames } = manifest.spec.names;
    const columns = version.additionalPrinterColumns;
    return { kind, plural, shortNames, version: version.name, columns, schema: version.schema.openAPIV3Schema };
  });
  const order = ["Registry", "RegistrationPolicy", "RegistrationReport"];
  return crds.sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
}

/**
 * The same schema in plain JSON Schema: int-or-string spelt out and every x-kubernetes-* keyword gone. A property with
 * a default becomes required, because the API server (and our parser) always fills it in.
 */
export function toJsonSchema(schema: Schema): Schema {
  const plain: Schema = {};
  for (const [key, value] of Object.entries(schema)) {
    if (!key.startsWith("x-kubernetes-")) Object.assign(plain, { [key]: value as unknown });
  }
  if (schema["x-kubernetes-int-or-string"] === true) {
    delete plain.anyOf;
    plain.type = ["integer", "string"];
  }
  if (schema.items !== undefined) plain.items = toJsonSchema(schema.items);
  if (schema.additionalProperties) plain.additionalProperties = toJsonSchema(schema.additionalProperties);
  if (schema.properties !== undefined) {
    const entries = Object.entries(schema.properties);
    plain.properties = Object.fromEntries(entries.map(([name, property]) => [name, toJsonSchema(property)]));
    const defaulted = entries.filter(([, property]) => property.default !== undefined).map(([name]) => name);
    plain.required = [...new Set([...(schema.required ?? []), ...defaulted])];
  }
  return plain;
}
