import type { PodPolicy } from "../types.ts";
import { annotationVariables } from "./annotations.ts";
import { commonVariables } from "./common.ts";
import { celDns } from "./dns.ts";
import { celGoResolver } from "./go-resolver.ts";
import { celKeepalive } from "./keepalive.ts";
import { celGracePeriod, celPreStop } from "./lifecycle.ts";
import type { CelPart, CelVariable, Facts } from "./types.ts";

/** A policy as CEL: the same parts in the same order as mutatePod has them. */
export interface CelPolicy {
  readonly variables: readonly CelVariable[];
  readonly parts: readonly CelPart[];
}

/** Everything that is worked out about a pod before anything is done to it. */
export function celPolicy(policy: PodPolicy, facts: Facts): CelPolicy {
  const { dns, goResolver, sysctls, gracePeriod, preStopSleep } = policy;
  const parts: CelPart[] = [];
  if (dns !== undefined) parts.push(celDns(dns, facts));
  if (goResolver !== undefined) parts.push(celGoResolver(goResolver));
  if (sysctls !== undefined) parts.push(celKeepalive(sysctls, facts));
  if (gracePeriod !== undefined) parts.push(celGracePeriod(gracePeriod));
  if (preStopSleep !== undefined) parts.push(celPreStop(preStopSleep, gracePeriod, facts));
  return {
    variables: [
      ...commonVariables,
      ...parts.flatMap(({ variables }) => variables),
      ...annotationVariables(policy, parts),
    ],
    parts,
  };
}
