import type { ObjectIdentity } from "../kube/types.ts";
import { canonicalIp } from "../net/address.ts";
import { InternPool } from "./intern.ts";
import type { RawCondition, RawMetadata } from "./raw.ts";

const strings = new InternPool<string>();
const lists = new InternPool<readonly string[]>();
const labelSets = new InternPool<Readonly<Record<string, string>>>();
const none: readonly string[] = Object.freeze([]);

/** Without a prototype `constructor` is no label, and V8 still keeps the fields compactly. */
class StringMap {
  [key: string]: string;
}
Object.setPrototypeOf(StringMap.prototype, null);
Reflect.deleteProperty(StringMap.prototype, "constructor");

/** A map without entries, shared by everything that has none. */
export const noStrings: Readonly<Record<string, string>> = Object.freeze(new StringMap());

/** The shared copy of a text that many objects repeat. */
export function shared(text: string): string {
  return text === "" ? "" : strings.get(text, () => text);
}

/** The shared copy of a short list that many objects repeat. */
export function sharedList(items: readonly string[]): readonly string[] {
  if (items.length === 0) return none;
  return lists.get(items.join("\n"), () => Object.freeze(items.map(shared)));
}

/**
 * Labels without a prototype. Equal sets are one object, except a set that names its own object (as a StatefulSet's
 * pods do): it can not be shared.
 * @param owner name of the object the labels are on
 */
export function sharedLabels(raw: Record<string, string> | null | undefined, owner: string): typeof noStrings {
  if (raw === undefined || raw === null) return noStrings;
  const keys = Object.keys(raw).sort();
  if (keys.length === 0) return noStrings;
  if (keys.some((key) => raw[key] === owner)) return stringMap(raw, keys, owner);
  const text = keys.map((key) => `${key}=${raw[key] ?? ""}`).join("\n");
  return labelSets.get(text, () => stringMap(raw, keys, owner));
}

/** The entries of `raw` under `keys`, in that order. */
export function stringMap(raw: Record<string, string>, keys: readonly string[], owner: string): typeof noStrings {
  const map = new StringMap();
  for (const key of keys) {
    const value = raw[key] ?? "";
    map[shared(key)] = value === owner ? owner : shared(value);
  }
  return Object.freeze(map);
}

/** What every projected object begins with. */
export function identityOf(metadata: RawMetadata | undefined): ObjectIdentity {
  return {
    uid: metadata?.uid ?? "",
    namespace: shared(metadata?.namespace ?? ""),
    name: metadata?.name ?? "",
    resourceVersion: metadata?.resourceVersion ?? "",
  };
}

/** Addresses in canonical form, each once; what is no IP address is left out. */
export function canonicalIps(texts: readonly (string | undefined)[]): string[] {
  const found: string[] = [];
  for (const text of texts) {
    const ip = text === undefined ? undefined : canonicalIp(text);
    if (ip !== undefined && !found.includes(ip)) found.push(ip);
  }
  return found;
}

/** True when the condition of this type is True. */
export function hasCondition(conditions: readonly RawCondition[] | null | undefined, type: string): boolean {
  return conditions?.some((condition) => condition.type === type && condition.status === "True") ?? false;
}
