import { KubeError } from "./http-errors.ts";

const decimal = /^(0|[1-9][0-9]{0,38})$/;

/**
 * Orders two resourceVersions of one kind: negative when `a` is older. The API promises that they compare as numbers
 * (KEP-5504, stable in 1.35; etcd revisions before). Strings are kept, since they may exceed 2^53.
 */
export function compareRevisions(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Returns the text when it is a resourceVersion that can be ordered.
 * @param where names the source in the error
 * @throws KubeError `OpaqueVersion` for anything but a decimal number without leading zeros
 */
export function requireRevision(value: unknown, where: string): string {
  if (typeof value === "string" && decimal.test(value)) return value;
  throw new KubeError("OpaqueVersion", `${where} has a resourceVersion that is not a decimal number`);
}
