/**
 * Reads Registry and RegistrationPolicy objects. The API server has checked them already, but perhaps under an older
 * schema than ours: what does not fit is refused here, with the fields named, and never half understood.
 */
import { validateRegistrationPolicy, validateRegistry } from "./generated/validators.ts";
import type { RegistrationPolicy, Registry } from "./index.ts";

/** One field that does not fit the schema. */
export interface FieldProblem {
  /** Path as kubectl explain would write it, with indexes: `spec.endpoints[0]`. */
  readonly field: string;
  /** A sentence without subject: `must be ...`. Never holds the field's value. */
  readonly message: string;
}

export type Parsed<T> =
  { readonly ok: true; readonly object: T } | { readonly ok: false; readonly problems: readonly FieldProblem[] };

/** What ajv's compiled code leaves behind; only the parts we read. */
interface SchemaError {
  readonly instancePath: string;
  readonly keyword: string;
  readonly message?: string;
  readonly params: Readonly<Record<string, unknown>>;
}

interface Validator {
  (value: unknown): boolean;
  errors?: readonly SchemaError[] | null;
}

/**
 * @param value an object from the API server, or from a file
 * @returns a copy with every default filled in, or what is wrong with it. Status is passed through unchecked.
 */
export function parseRegistry(value: unknown): Parsed<Registry> {
  return parse<Registry>(validateRegistry, value);
}

/** As {@link parseRegistry}. */
export function parseRegistrationPolicy(value: unknown): Parsed<RegistrationPolicy> {
  return parse<RegistrationPolicy>(validateRegistrationPolicy, value);
}

function parse<T>(validator: Validator, value: unknown): Parsed<T> {
  const object = structuredClone(value);
  if (validator(object)) return { ok: true, object: object as T };
  return { ok: false, problems: (validator.errors ?? []).map(describe) };
}

function describe(error: SchemaError): FieldProblem {
  const path = error.instancePath.split("/").slice(1).map(unescape);
  if (error.keyword === "required") {
    return { field: join([...path, String(error.params["missingProperty"])]), message: "must be set" };
  }
  if (error.keyword === "enum") {
    const allowed = error.params["allowedValues"] as readonly unknown[];
    return { field: join(path), message: `must be one of ${allowed.map(String).join(", ")}` };
  }
  if (error.keyword === "pattern") {
    const pattern = String(error.params["pattern"]);
    if (pattern.includes("(ms|s|m|h)")) {
      return { field: join(path), message: "must be a duration such as 200ms, 15s or 1h30m" };
    }
    if (pattern.includes("(s|m|h)")) {
      return { field: join(path), message: "must be a duration of whole seconds such as 15s, 5m or 1h30m" };
    }
  }
  return { field: join(path), message: error.message ?? "does not fit the schema" };
}

/** RFC 6901. */
function unescape(segment: string): string {
  return segment.replaceAll("~1", "/").replaceAll("~0", "~");
}

function join(path: readonly string[]): string {
  return path.reduce((text, part) => {
    if (/^[0-9]+$/.test(part)) return `${text}[${part}]`;
    return text === "" ? part : `${text}.${part}`;
  }, "");
}
