/** What a secret is replaced by. */
const censor = "[redacted]";

/**
 * The ends of names, letters and digits only and in lower case, whose values are never written: `X-Consul-Token`,
 * `clientSecret`, `proxy-authorization`, `accessToken`, `set-cookie`, ... A Secret's name (`secretName`) is no secret.
 */
const secretNames =
  /(?:token|password|passwd|passphrase|pwd|secret|authorization|credential|apikey|privatekey|clientkey|cookie|keydata)s?$/;

/** Values nested deeper than this are not looked at, and left out. */
const depthLimit = 8;

function isSecretName(name: string): boolean {
  return secretNames.test(name.toLowerCase().replace(/[^a-z0-9]/g, ""));
}

/**
 * A copy of a value that can be written. What stands under a secret's name is replaced at any depth; booleans stay,
 * since they only say whether there is one. Of errors known fields are kept, because clients hang whole requests,
 * headers included, on theirs; of other class instances, unless they say how they look as JSON, only the class.
 */
function writable(value: unknown, depth = 0): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (depth > depthLimit) return censor;
  if (value instanceof Error) return writableError(value, depth);
  if (Array.isArray(value)) return value.map((item) => writable(item, depth + 1));
  if (value instanceof Set) return [...(value as Set<unknown>)].map((item) => writable(item, depth + 1));
  if (value instanceof Map) return writableFields(Object.fromEntries(value as Map<string, unknown>), depth);
  if (isPlainObject(value)) return writableFields(value, depth);
  return "toJSON" in value && !Buffer.isBuffer(value) ? value : `[${value.constructor.name}]`;
}

/** {@link writable} for the fields of one object. */
export function writableFields(fields: Record<string, unknown>, depth = 0): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(fields)) {
    const hidden = isSecretName(name) && item !== undefined && item !== null && typeof item !== "boolean";
    copy[name] = hidden ? censor : writable(item, depth + 1);
  }
  return copy;
}

function writableError(error: Error, depth: number): Record<string, unknown> {
  const code = "code" in error && typeof error.code === "string" ? { code: error.code } : {};
  const cause = error.cause === undefined ? {} : { cause: writable(error.cause, depth + 1) };
  return { type: error.name, message: error.message, ...code, stack: error.stack, ...cause };
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/**
 * Replaces the secrets that can be told from running text alone: bearer and basic credentials, the user part of a URL,
 * JSON web tokens, and secrets in a query string. The last net under messages of foreign libraries.
 */
export function redactText(text: string): string {
  return text
    .replace(/\b(bearer|basic)\s+[\w.~+/=-]{8,}/gi, `$1 ${censor}`)
    .replace(/\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*/g, censor)
    .replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@"\\]+@/gi, `$1${censor}@`)
    .replace(/([?&](?:access_?token|token|password|secret|api_?key)=)[^&\s"\\]+/gi, `$1${censor}`);
}
