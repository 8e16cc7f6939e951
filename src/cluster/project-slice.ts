import type { ObjectIdentity } from "../kube/types.ts";
import { canonicalIps, identityOf } from "./project.ts";
import type { RawEndpointSlice } from "./raw.ts";
import type { SliceWitness } from "./types.ts";

/** What is kept of one endpoint. */
export interface SliceEndpoint extends SliceWitness {
  /** Canonical. */
  readonly addresses: readonly string[];
}

/** What is kept of an EndpointSlice. */
export interface SliceRecord extends ObjectIdentity {
  /** Those with an IP address; a slice of type FQDN has none. */
  readonly endpoints: readonly SliceEndpoint[];
}

/** @param raw an EndpointSlice of discovery.k8s.io/v1, parsed from JSON */
export function projectSlice(raw: unknown): SliceRecord {
  const { metadata, endpoints } = raw as RawEndpointSlice;
  const kept: SliceEndpoint[] = [];
  for (const endpoint of endpoints ?? []) {
    const addresses = canonicalIps(endpoint.addresses ?? []);
    if (addresses.length === 0) continue;
    kept.push({
      addresses,
      podUid: endpoint.targetRef?.kind === "Pod" ? (endpoint.targetRef.uid ?? "") : "",
      // The API: a missing `ready` is to be read as ready.
      ready: endpoint.conditions?.ready ?? true,
    });
  }
  return { ...identityOf(metadata), endpoints: kept };
}
