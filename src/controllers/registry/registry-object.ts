import {
  API_VERSION,
  parseRegistry,
  type Parsed,
  type Registry,
  type RegistrySpec,
  type RegistryStatus,
} from "../../api/v1alpha1/index.ts";
import type { ObjectIdentity } from "../../kube/types.ts";

/** What is kept of a Registry object. */
export interface RegistryObject extends ObjectIdentity {
  readonly generation: number;
  /** It has a deletionTimestamp. */
  readonly deleting: boolean;
  /** The spec with its defaults, or what is wrong with it. */
  readonly parsed: Parsed<RegistrySpec>;
  readonly status: RegistryStatus | undefined;
}

/** @param raw a Registry, parsed from JSON, of a list or a watch */
export function projectRegistry(raw: unknown): RegistryObject {
  const { metadata, status } = raw as Partial<Registry>;
  // Items of a list carry neither.
  const parsed = parseRegistry({ apiVersion: API_VERSION, kind: "Registry", ...(raw as object) });
  return {
    uid: metadata?.uid ?? "",
    namespace: "",
    name: metadata?.name ?? "",
    resourceVersion: metadata?.resourceVersion ?? "",
    generation: metadata?.generation ?? 0,
    deleting: metadata?.deletionTimestamp !== undefined,
    parsed: parsed.ok ? { ok: true, object: parsed.object.spec } : parsed,
    status,
  };
}
