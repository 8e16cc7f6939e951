import type { MaintenanceWindow } from "./window.ts";

/** Annotation on the pod template of a workload: the policy and generation by which it was rolled out. */
export const ROLLOUT_ANNOTATION = "hygeia.dev/rollout";

/** What `spec.rollout` of a policy asks for, where it asks for something. */
export interface RolloutRules {
  readonly strategy: "Template" | "Evict";
  readonly paused: boolean;
  readonly maxConcurrentWorkloads: number;
  readonly perHour: number;
  readonly availableWithinMs: number;
  /** Undefined: at any time. */
  readonly window: MaintenanceWindow | undefined;
  /** Why the window can not be understood, naming the field: then nothing is begun. */
  readonly windowProblem: string | undefined;
}

/** The kinds whose pods can be replaced; what belongs to others is reported only. */
export type WorkloadKind = "Deployment" | "StatefulSet";

/** A workload by name, which another object may have had before. */
export interface WorkloadReference {
  readonly namespace: string;
  readonly kind: WorkloadKind;
  readonly name: string;
}

/** What became of a workload; see the schema of a report. */
export type RolloutResult = "Started" | "Done" | "Failed" | "Blocked" | "Gone";

/** One workload that was begun. */
export interface RolloutEntry extends WorkloadReference {
  readonly uid: string;
  /** See {@link fingerprintOf}. */
  readonly fingerprint: string;
  readonly strategy: RolloutRules["strategy"];
  /** `metadata.generation` just before: while it is the same, no annotation was set and none was taken out. */
  readonly workloadGeneration: number;
  readonly startedAt: Date;
  readonly result: RolloutResult;
  readonly message: string | undefined;
}

/** Why nothing is begun now, or nothing more; reasons of condition RolledOut. */
export interface Hold {
  readonly reason:
    | "Paused"
    | "Audit"
    | "InvalidWindow"
    | "OutsideWindow"
    | "AdmissionInactive"
    | "EvictionsBehind"
    | "PerHour"
    | "MemoryFull"
    | "Stopped";
  readonly message: string;
  /** No pod is judged meanwhile: that nothing is to come says nothing. */
  readonly isBlind?: true;
}

/** Which state of a policy a workload was rolled out for: unique also when a policy is made anew under its name. */
export function fingerprintOf(policy: {
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
}): string {
  return `${policy.name}@${policy.generation}-${policy.uid.slice(0, 8)}`;
}

/** The form of PodRecord.workload. */
export function keyOfWorkload({ namespace, kind, name }: WorkloadReference): string {
  return `${namespace}/${kind}/${name}`;
}

/** Undefined for a kind whose pods are not replaced. @param key as PodRecord.workload */
export function workloadOfKey(key: string): WorkloadReference | undefined {
  const [namespace = "", kind, name = ""] = key.split("/");
  if ((kind !== "Deployment" && kind !== "StatefulSet") || name === "") return undefined;
  return { namespace, kind, name };
}
