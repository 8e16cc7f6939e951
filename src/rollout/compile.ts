import type { RegistrationPolicyRollout } from "../api/v1alpha1/index.ts";
import { parseDuration } from "../api/v1alpha1/index.ts";
import type { RolloutRules } from "./types.ts";
import { compileWindow } from "./window.ts";

/**
 * What `spec.rollout` asks for; undefined where it asks for nothing. A window that can not be understood does not put the
 * whole policy out of force: it keeps roll-outs from beginning, and says so.
 * @throws HygeiaError for a duration that the schema should have refused
 */
export function compileRollout(rollout: RegistrationPolicyRollout | undefined): RolloutRules | undefined {
  if (rollout === undefined || rollout.strategy === "None") return undefined;
  const { strategy, state, maxConcurrentWorkloads, perHour, availableWithin, maintenanceWindow } = rollout;
  const compiled = maintenanceWindow && compileWindow(maintenanceWindow, parseDuration(maintenanceWindow.duration));
  return {
    strategy,
    paused: state === "Paused",
    maxConcurrentWorkloads,
    perHour,
    availableWithinMs: parseDuration(availableWithin),
    window: compiled && "window" in compiled ? compiled.window : undefined,
    windowProblem: compiled && "problem" in compiled ? compiled.problem : undefined,
  };
}
