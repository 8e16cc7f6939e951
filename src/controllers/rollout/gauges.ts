import type { Metrics } from "../../telemetry/metrics.ts";
import type { Policies } from "../policy/policy-set.ts";
import type { RolloutStanding } from "./standing.ts";

/** Keeps the gauges of roll-outs while this replica leads. @returns what ends it */
export function collectRolloutGauges(
  metrics: Pick<Metrics, "rollouts" | "collect">,
  policies: Pick<Policies, "values">,
  standingOf: (policy: string) => RolloutStanding | undefined,
): () => void {
  const { workloads, stopped } = metrics.rollouts;
  const stop = metrics.collect(() => {
    workloads.reset();
    stopped.reset();
    for (const { name: policy } of policies.values()) {
      const standing = standingOf(policy);
      if (standing === undefined) continue;
      const { done, pending, failed, obstacles, current, state } = standing;
      workloads.set({ policy, state: "Done" }, done);
      workloads.set({ policy, state: "Current" }, current.length);
      workloads.set({ policy, state: "Pending" }, pending);
      workloads.set({ policy, state: "Failed" }, failed);
      workloads.set({ policy, state: "NotPossible" }, obstacles.size);
      stopped.set({ policy }, state === "Stopped" ? 1 : 0);
    }
  });
  return () => {
    stop();
    // Another replica leads now, and its figures count.
    workloads.reset();
    stopped.reset();
  };
}
