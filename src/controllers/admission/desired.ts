import { type Compiled, mutatingPolicy, validatingPolicy } from "../../admission/cel/objects.ts";
import type { CelSource, Facts, Match } from "../../admission/cel/types.ts";
import type { PodPolicy } from "../../admission/types.ts";
import type { MatchingPolicy } from "../policy/compile.ts";
import type { Served, Way } from "./way.ts";

/** What one RegistrationPolicy is compiled to. */
export interface Desired {
  readonly name: string;
  /** Of the RegistrationPolicy. */
  readonly generation: number;
  /** Undefined where pods are not changed this way. */
  readonly mutating: Compiled | undefined;
  /** Undefined where the kind can not be written. */
  readonly validating: Compiled | undefined;
  /** Parts that no pod gets as things are, with the field and why. */
  readonly leftOut: readonly string[];
  /** More policies come before it than can be told: no pod is changed. */
  readonly isTooDeep: boolean;
}

export interface DesiredSources {
  /** In force, the first in charge first. */
  readonly policies: Iterable<MatchingPolicy>;
  readonly factsFor: (policy: PodPolicy) => Facts | undefined;
  readonly excluded: ReadonlySet<string>;
  readonly way: Way;
  readonly served: Served;
}

/** The objects to be written, those of the policy that is first in charge first. */
export function desiredObjects({ policies, factsFor, excluded, way, served }: DesiredSources): Desired[] {
  const desired: Desired[] = [];
  const before: Match[] = [];
  for (const { name, uid, generation, spec, plan, podPolicy } of policies) {
    const { namespaceSelector, podSelector } = spec.match;
    const match: Match = { namespaceSelector, podSelector };
    const facts = podPolicy === undefined || plan.mode !== "Enforce" ? undefined : factsFor(podPolicy);
    if (podPolicy !== undefined && facts !== undefined && (way === "Policy" || way === "Webhook")) {
      const source: CelSource = { policy: podPolicy, uid, match, before: [...before], facts, excluded };
      const mutating = way === "Policy" ? mutatingPolicy(source) : undefined;
      desired.push({
        name,
        generation,
        mutating,
        validating: served.validating === "Usable" ? validatingPolicy(source) : undefined,
        leftOut: leftOut(podPolicy, facts),
        isTooDeep: way === "Policy" && mutating === undefined,
      });
    }
    before.push(match);
  }
  return desired;
}

/** For a person: what the compiled policy can give to no pod, by what is known of the cluster. */
function leftOut({ dns, sysctls }: PodPolicy, facts: Facts): string[] {
  const texts: string[] = [];
  if (dns?.replacesSearches === true && dns.nameservers.length === 0 && facts.clusterNameservers === undefined) {
    texts.push(
      "spec.dns.searchMode: ClusterDNSUnknown: the addresses of the cluster's DNS service are not known for certain",
    );
  }
  if (sysctls !== undefined && facts.sysctlObstacle !== undefined) {
    const { reason, message, nodeLabels } = facts.sysctlObstacle;
    const exception =
      nodeLabels === undefined ? "" : "; pods that their node selector or affinity keeps away have them";
    texts.push(`spec.keepalive: ${reason}: ${message}${exception}`);
  } else if (sysctls !== undefined && facts.engineObjection !== undefined) {
    texts.push(`spec.keepalive: PolicyEngine: pods with these sysctls may be refused: ${facts.engineObjection}`);
  }
  return texts;
}
