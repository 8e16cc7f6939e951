import type { ObjectIdentity } from "../kube/types.ts";
import { identityOf, sharedLabels } from "./project.ts";
import type { RawNamespace } from "./raw.ts";

/** What is kept of a Namespace. */
export interface NamespaceRecord extends ObjectIdentity {
  readonly labels: Readonly<Record<string, string>>;
}

/** @param raw a Namespace, parsed from JSON */
export function projectNamespace(raw: unknown): NamespaceRecord {
  const { metadata } = raw as RawNamespace;
  const identity = identityOf(metadata);
  return { ...identity, labels: sharedLabels(metadata?.labels, identity.name) };
}
