import type { Metrics } from "../../telemetry/metrics.ts";
import type { Census } from "./census.ts";
import type { Policies } from "./policy-set.ts";

/** Keeps the gauges of pods by policy while this replica leads. @returns what ends it */
export function collectPodGauges(
  metrics: Pick<Metrics, "policies" | "collect">,
  policies: Pick<Policies, "values">,
  census: Pick<Census, "of">,
): () => void {
  const { pods } = metrics.policies;
  const stop = metrics.collect(() => {
    pods.reset();
    for (const { name: policy, podPolicy } of policies.values()) {
      const known = census.of(policy);
      if (known === undefined || podPolicy === undefined) continue;
      const { compliant, drifted, exempt, unknown } = known.compliance;
      pods.set({ policy, state: "Compliant" }, compliant);
      pods.set({ policy, state: "Drifted" }, drifted);
      pods.set({ policy, state: "Exempt" }, exempt);
      pods.set({ policy, state: "Unknown" }, unknown);
    }
  });
  return () => {
    stop();
    // Another replica leads now, and its figures count.
    pods.reset();
  };
}
