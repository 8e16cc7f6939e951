import { HygeiaError } from "../errors.ts";
import type { PatchOperation } from "./types.ts";

/**
 * Applies the `add` operations of RFC 6902 section 4.1 to a copy.
 * @throws HygeiaError `InvalidPatch` when a parent is missing or an index is out of range, where the API server refuses
 */
export function applyPatch<T>(document: T, patch: readonly PatchOperation[]): T {
  const copy = structuredClone(document);
  for (const { path, value } of patch) {
    const tokens = path.split("/").map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = tokens.pop();
    if (tokens[0] !== "" || last === undefined) throw new HygeiaError("InvalidPatch", `${path} is no path to add to`);
    let parent: unknown = copy;
    for (const token of tokens.slice(1)) {
      if (typeof parent !== "object" || parent === null)
        throw new HygeiaError("InvalidPatch", `${path}: nothing holds ${token}`);
      parent = (parent as Record<string, unknown>)[token];
    }
    if (Array.isArray(parent)) insert(parent, last, structuredClone(value), path);
    else if (typeof parent === "object" && parent !== null) Object.assign(parent, { [last]: structuredClone(value) });
    else throw new HygeiaError("InvalidPatch", `${path}: its parent is missing`);
  }
  return copy;
}

function insert(list: unknown[], token: string, value: unknown, path: string): void {
  const index = token === "-" ? list.length : Number(token);
  if (!Number.isInteger(index) || index < 0 || index > list.length)
    throw new HygeiaError("InvalidPatch", `${path}: no such index`);
  list.splice(index, 0, value);
}
