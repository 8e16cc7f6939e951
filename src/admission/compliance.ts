import { applyPatch } from "./json-patch.ts";
import { mutatePod } from "./mutate.ts";
import { type ContainerShape, type PodShape, readPod } from "./pod-shape.ts";
import { canonicalSysctl } from "./sysctl-name.ts";
import type { PodPolicy, Site, Skipped } from "./types.ts";

/** One field of a pod that is not as its policy wants it. */
export interface Difference {
  /** Such as `spec.dnsConfig.options[ndots]`. */
  readonly field: string;
  /** Undefined where the pod has nothing there. */
  readonly have: string | undefined;
  readonly want: string;
}

/**
 * How a pod stands to its policy. `Drifted`: created now it would be changed. `Exempt`: it would not, though part of the
 * policy does not hold, since that part is left out for it. `Compliant`: everything holds.
 */
export interface Compliance {
  readonly state: "Compliant" | "Drifted" | "Exempt";
  /** Without entries unless it drifted. */
  readonly differences: readonly Difference[];
  /** What is left out for it, whatever its state. */
  readonly skipped: readonly Skipped[];
}

/**
 * Judges a pod that exists by what would be done to it if it were created now. Lists are compared as sets: the kubelet
 * itself writes options in any order.
 * @param pod parsed JSON; a PodTemplate holds enough
 */
export function judgePod(pod: unknown, policy: PodPolicy, site: Site): Compliance {
  const { patch, changed, skipped } = mutatePod(pod, policy, site);
  if (changed.length > 0) return { state: "Drifted", differences: differencesOf(pod, applyPatch(pod, patch)), skipped };
  return { state: skipped.length > 0 ? "Exempt" : "Compliant", differences: [], skipped };
}

function differencesOf(before: unknown, after: unknown): Difference[] {
  const have = fieldsOf(before);
  return [...fieldsOf(after)].flatMap(([field, want]) => {
    const present = have.get(field);
    return present === want ? [] : [{ field, have: present, want }];
  });
}

/** The fields that admission can change, as texts. */
function fieldsOf(pod: unknown): ReadonlyMap<string, string> {
  const shape = readPod(pod);
  if (shape === undefined) return new Map();
  const { dnsPolicy, dnsConfig, sysctls = [], gracePeriod } = shape;
  const fields: [string, string][] = [
    ["spec.dnsPolicy", dnsPolicy],
    ["spec.dnsConfig.nameservers", (dnsConfig?.nameservers ?? []).join(" ")],
    ["spec.dnsConfig.searches", (dnsConfig?.searches ?? []).join(" ")],
    ...(dnsConfig?.options ?? []).map(({ name, value = "" }): [string, string] => [
      `spec.dnsConfig.options[${name}]`,
      value === "" ? "set" : value,
    ]),
    ...sysctls.map(({ name, value }): [string, string] => [
      `spec.securityContext.sysctls[${canonicalSysctl(name)}]`,
      value,
    ]),
    ["spec.terminationGracePeriodSeconds", gracePeriod.toString()],
    ...containerFields(shape),
  ];
  return new Map(fields.filter(([, value]) => value !== ""));
}

function containerFields({ containers, initContainers }: PodShape): [string, string][] {
  const all = [
    ...initContainers.map((container) => ["spec.initContainers", container] as const),
    ...containers.map((container) => ["spec.containers", container] as const),
  ];
  return all.flatMap(([path, container]): [string, string][] => [
    [`${path}[${container.name}].env[GODEBUG]`, godebugOf(container)],
    [`${path}[${container.name}].lifecycle.preStop`, preStopOf(container)],
  ]);
}

function godebugOf({ env = [] }: ContainerShape): string {
  return env.findLast(({ name }) => name === "GODEBUG")?.value ?? "";
}

function preStopOf({ hasPreStop, preStopSleep }: ContainerShape): string {
  if (preStopSleep !== undefined) return `sleep ${preStopSleep}s`;
  return hasPreStop ? "set" : "";
}
