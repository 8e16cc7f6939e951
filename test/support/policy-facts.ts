import { POLICY_CONDITIONS } from "../../src/api/v1alpha1/conditions.ts";
import type { AdmissionStanding } from "../../src/controllers/admission/standing.ts";
import type { ComplianceCount } from "../../src/controllers/policy/compliance-count.ts";
import { projectPolicy } from "../../src/controllers/policy/compile.ts";
import type { RegistryStanding } from "../../src/controllers/policy/standing.ts";
import { policyConditions, type PolicyFacts } from "../../src/controllers/policy/status.ts";
import { conditionStatus } from "../../src/controllers/status/conditions.ts";
import type { InstanceCounts } from "../../src/controllers/types.ts";

/** A different number for each verdict. */
const counts: InstanceCounts = {
  Live: 1,
  Draining: 2,
  Zombie: 3,
  Suspect: 4,
  Contested: 5,
  Resurrected: 6,
  Foreign: 7,
  Unknown: 8,
};

/** A policy with one registry, `main`; `spec` replaces or adds fields. */
export function policy(spec: Record<string, unknown> = {}) {
  return projectPolicy({
    metadata: { name: "p", uid: "u", resourceVersion: "1", generation: 1, creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { mode: "Enforce", registration: { registries: [{ name: "main" }] }, ...spec },
  });
}

export function registry(name: string, state: RegistryStanding["state"], role: RegistryStanding["role"] = "Primary") {
  return { name, role, state, message: `it is ${state}` };
}

/** Pods that the policy selects, and what of them is amiss. */
export function counted(matched: number, lost: ReadonlyMap<string, number>, compliance: Partial<ComplianceCount> = {}) {
  const none: ComplianceCount = { compliant: 0, drifted: 0, exempt: 0, unknown: 0, findings: [] };
  return { matched, lost, generation: 1, compliance: { ...none, ...compliance } };
}

/** What is known of a policy with which all is well, but for `part`. */
export function facts(part: Partial<PolicyFacts> = {}): PolicyFacts {
  return {
    object: policy(),
    registries: [registry("main", "Ready")],
    clusterProblem: undefined,
    pods: counted(9, new Map()),
    instances: counts,
    blocked: undefined,
    quarantined: 0,
    shortestTtlMs: undefined,
    evicted: { total: 12, last: new Date("2026-01-01T00:00:05.900Z") },
    podsOnly: new Set(),
    rollout: undefined,
    dryRun: false,
    clusterDomain: "cluster.local",
    admission: admission(),
    ...part,
  };
}

/** The way by which pods are changed at creation, at work, but for `part`. */
export function admission(part: Partial<AdmissionStanding> = {}): AdmissionStanding {
  return {
    way: "Policy",
    generation: 1,
    changedAt: 0,
    leftOut: [],
    isTooDeep: false,
    problem: undefined,
    checkProblem: undefined,
    ...part,
  };
}

/** Condition type -> `STATUS REASON`. */
export function brief(part: Partial<PolicyFacts>): Record<string, string> {
  return Object.fromEntries(
    policyConditions(facts(part)).map(({ type, reason }) => [
      type,
      `${conditionStatus(POLICY_CONDITIONS, type, reason)} ${reason}`,
    ]),
  );
}

/** What the condition of this type says. */
export function message(part: Partial<PolicyFacts>, type: string): string {
  return policyConditions(facts(part)).find((condition) => condition.type === type)?.message ?? "";
}

/** A policy that asks for a keepalive of 300s and 30s through one path. */
export function keepalive(path: object, fields: Record<string, unknown> = {}): Partial<PolicyFacts> {
  const paths = [{ name: "hop", ...path }];
  return { object: policy({ keepalive: { time: "300s", interval: "30s", probes: 5, paths }, ...fields }) };
}

/** A policy with this spec.dns. */
export function dns(fields: object): Partial<PolicyFacts> {
  return { object: policy({ dns: fields }) };
}

/** A policy without spec.registration. */
export function podsOnly(fields: Record<string, unknown> = {}): Pick<PolicyFacts, "object" | "registries" | "evicted"> {
  const object = policy({ registration: undefined, dns: { ndots: 2, libc: "Glibc" }, ...fields });
  return { object, registries: [], evicted: { total: 0, last: undefined } };
}

/** A policy whose selector does not compile. */
export const badSelector = policy({ match: { podSelector: { matchLabels: { "a..b/x": "y" } } } });
/** How many pods have lost their registration, by registry. */
export const lost = (...names: [string, number][]) => new Map(names);
