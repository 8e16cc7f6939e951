import type { PatchOperation } from "../../src/admission/types.ts";

/**
 * Applies the `add` operations of RFC 6902 section 4.1 to a copy.
 * @throws when a parent is missing or an index is out of range, as the API server does
 */
export function applyPatch<T>(document: T, patch: readonly PatchOperation[]): T {
  const copy = structuredClone(document);
  for (const { op, path, value } of patch) {
    if ((op as string) !== "add") throw new Error(`operation ${op} is not known`);
    const tokens = path.split("/").map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = tokens.pop();
    if (tokens[0] !== "" || last === undefined) throw new Error(`${path} is no path to add to`);
    let parent: unknown = copy;
    for (const token of tokens.slice(1)) {
      if (typeof parent !== "object" || parent === null) throw new Error(`${path}: nothing holds ${token}`);
      parent = (parent as Record<string, unknown>)[token];
    }
    if (Array.isArray(parent)) insert(parent, last, structuredClone(value), path);
    else if (typeof parent === "object" && parent !== null) Object.assign(parent, { [last]: structuredClone(value) });
    else throw new Error(`${path}: its parent is missing`);
  }
  return copy;
}

function insert(list: unknown[], token: string, value: unknown, path: string): void {
  const index = token === "-" ? list.length : Number(token);
  if (!Number.isInteger(index) || index < 0 || index > list.length) throw new Error(`${path}: no such index`);
  list.splice(index, 0, value);
}
