import type { RegistrationReportPodFinding, RegistrationReportSummary } from "../../api/v1alpha1/index.ts";
import type { ComplianceCount, PodFinding } from "../policy/compliance-count.ts";
import type { RolloutStanding } from "../rollout/standing.ts";
import { cut } from "./cut.ts";

/** As the schema has it. */
const MAX_DIFFERENCES = 16;
const MAX_TEXT = 256;
const MAX_MESSAGE = 512;

/** One entry of the report for pods that stand alike. */
export function podFindingOf(
  { namespace, workload, pods, example, compliance }: PodFinding,
  obstacles: RolloutStanding["obstacles"] | undefined,
): RegistrationReportPodFinding {
  // A pod that belongs to nothing has its own UID there.
  const [, kind = "Pod", name = example] = workload.split("/");
  const { state, differences, skipped } = compliance;
  const obstacle = obstacles?.get(workload);
  return {
    namespace,
    kind,
    name,
    pods,
    example,
    state: state === "Drifted" ? "Drifted" : "Exempt",
    ...(state === "Drifted" && obstacle !== undefined
      ? { rollout: cut(`${obstacle.reason}: ${obstacle.message}`, MAX_TEXT) }
      : {}),
    ...(differences.length === 0
      ? {}
      : {
          differences: differences.slice(0, MAX_DIFFERENCES).map(({ field, have, want }) => ({
            field: cut(field, MAX_TEXT),
            ...(have === undefined ? {} : { have: cut(have, MAX_TEXT) }),
            want: cut(want, MAX_TEXT),
          })),
        }),
    ...(skipped.length === 0
      ? {}
      : {
          exemptions: skipped.map(({ part, reason, message }) => ({
            part,
            reason,
            message: cut(message, MAX_MESSAGE),
          })),
        }),
  };
}

/** @param shown the entries that the report has room for */
export function podSummary(
  { drifted, exempt }: ComplianceCount,
  shown: readonly RegistrationReportPodFinding[],
): Pick<RegistrationReportSummary, "podsDrifted" | "podsExempt" | "podsOmitted"> {
  const told = shown.reduce((sum, { pods }) => sum + pods, 0);
  return { podsDrifted: drifted, podsExempt: exempt, podsOmitted: drifted + exempt - told };
}
