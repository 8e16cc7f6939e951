/** Whether replacing pods would help, and whether it has. */
import { judgePod } from "../../admission/compliance.ts";
import { mutatePod } from "../../admission/mutate.ts";
import type { Sites } from "../../admission/sites.ts";
import type { PodRecord } from "../../cluster/types.ts";
import type { Obstacle, Workload } from "../../rollout/workload.ts";
import type { Policies } from "../policy/policy-set.ts";
import type { CompiledPolicy } from "../types.ts";

export interface JudgingParts {
  readonly policies: Pick<Policies, "forPod" | "forLabels">;
  readonly sites: Pick<Sites, "siteOf">;
  /** Namespaces whose pods no policy changes. */
  readonly excluded: ReadonlySet<string>;
}

/** Why new pods of the workload would not come out as the policy wants them; undefined when they would. */
export function templateObstacle(
  { namespace, podTemplate }: Workload,
  policy: CompiledPolicy,
  { policies, sites, excluded }: JudgingParts,
): Obstacle | undefined {
  const winner = policies.forLabels(namespace, podTemplate.metadata.labels ?? {});
  if (winner?.name !== policy.name || policy.podPolicy === undefined || excluded.has(namespace)) {
    return { reason: "PolicyNotInCharge", message: "the policy would not be in charge of its new pods" };
  }
  const site = sites.siteOf(namespace, policy.podPolicy);
  if (site === undefined) return { reason: "TemplateExempt", message: "the cluster is not known well enough yet" };
  const { applied, skipped } = mutatePod(podTemplate, policy.podPolicy, site);
  if (applied.length > 0) return undefined;
  const why = skipped.map(({ part, reason }) => `${part}: ${reason}`).join(", ");
  return { reason: "TemplateExempt", message: `its new pods would be exempt (${why})` };
}

/** Those that would be made otherwise if they were created now. */
export function driftedOf<P extends PodRecord>(
  pods: readonly P[],
  policy: CompiledPolicy,
  { policies, sites, excluded }: JudgingParts,
): P[] {
  return pods.filter((pod) => {
    const { podPolicy } = policy;
    // One that has ended may stay for long, and nobody replaces it.
    if (pod.phase === "Succeeded" || pod.phase === "Failed") return false;
    if (podPolicy === undefined || excluded.has(pod.namespace)) return false;
    if (policies.forPod(pod)?.name !== policy.name) return false;
    const site = sites.siteOf(pod.namespace, podPolicy);
    return site !== undefined && judgePod(JSON.parse(pod.template), podPolicy, site).state === "Drifted";
  });
}
