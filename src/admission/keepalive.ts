import type { Ledger } from "./ledger.ts";
import { add, holds, type PartOutcome, skip } from "./outcome.ts";
import { podSecurityObjection } from "./pod-security.ts";
import type { PodShape } from "./pod-shape.ts";
import { canonicalSysctl } from "./sysctl-name.ts";
import type { PatchOperation, Site, Skipped, Sysctl } from "./types.ts";
import { staysOff } from "./unsuitable-nodes.ts";

const part = "keepalive";

/**
 * Sets the sysctls of the pod, all of them or none: half of a keepalive is another one than anybody asked for. A pod
 * that a kubelet, Pod Security or a policy engine could refuse because of them is left as it is.
 */
export function mutateKeepalive(
  wanted: readonly Sysctl[],
  pod: PodShape,
  site: Site,
  ledger: Pick<Ledger, "isOurs">,
): PartOutcome {
  const present = (pod.sysctls ?? []).map(({ name, value }) => ({ name: canonicalSysctl(name), value }));
  if (wanted.every(({ name, value }) => present.some((other) => other.name === name && other.value === value))) {
    return holds(part);
  }
  const obstacle = obstacleTo(wanted, pod, site);
  if (obstacle !== undefined) return skip(part, obstacle.reason, obstacle.message);
  const authors = present.find(
    ({ name, value }) => wanted.some((sysctl) => sysctl.name === name) && !ledger.isOurs(name, value),
  );
  if (authors !== undefined) {
    return skip(part, "SetByAuthor", `the pod sets ${authors.name} to ${authors.value} itself`);
  }
  if (site.engineObjection !== undefined) {
    return skip(
      part,
      "PolicyEngine",
      `a pod with these sysctls may be refused in this namespace: ${site.engineObjection}`,
    );
  }
  return {
    part,
    patch: patchOf(wanted, present, pod),
    set: wanted.map(({ name, value }) => [name, value] as const),
    applied: true,
    skipped: undefined,
  };
}

/** Why a pod with these sysctls might not run; the first that holds. */
function obstacleTo(wanted: readonly Sysctl[], pod: PodShape, site: Site): Omit<Skipped, "part"> | undefined {
  if (pod.hostNetwork) {
    return { reason: "HostNetwork", message: "on the host network the sysctls would be the node's own" };
  }
  const security = podSecurityObjection(wanted, site);
  if (security !== undefined) return { reason: "PodSecurity", message: security };
  if (site.sysctlObstacle !== undefined && !staysOff(pod, site.sysctlObstacle.nodeLabels)) {
    const { reason, message } = site.sysctlObstacle;
    return { reason, message };
  }
  if (pod.runtimeClassName !== "") {
    const message = `whether runtime class ${pod.runtimeClassName} sets sysctls is not known`;
    return { reason: "RuntimeClass", message };
  }
  if (pod.userNamespace) {
    return { reason: "UserNamespace", message: "whether sysctls can be set in a user namespace is not known" };
  }
  return undefined;
}

function patchOf(wanted: readonly Sysctl[], present: readonly Sysctl[], pod: PodShape): PatchOperation[] {
  const path = "/spec/securityContext";
  if (!pod.hasSecurityContext) return [add(path, { sysctls: wanted })];
  if (pod.sysctls === undefined) return [add(`${path}/sysctls`, wanted)];
  return wanted.flatMap((sysctl) => {
    const index = present.findIndex(({ name }) => name === sysctl.name);
    if (index < 0) return [add(`${path}/sysctls/-`, sysctl)];
    return present[index]?.value === sysctl.value ? [] : [add(`${path}/sysctls/${index}/value`, sysctl.value)];
  });
}
