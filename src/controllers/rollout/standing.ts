/** How the roll-out of a policy stands: what its status, its report and the metrics say of it. */
import type { RegistrationPolicyRollouts } from "../../api/v1alpha1/index.ts";
import type { RolloutPlan } from "../../rollout/plan.ts";
import { type Hold, keyOfWorkload } from "../../rollout/types.ts";
import type { Says } from "../policy/status.ts";

/** Of one generation of a policy. */
export interface RolloutStanding {
  readonly generation: number;
  readonly state: NonNullable<RegistrationPolicyRollouts["state"]>;
  readonly reason: "Complete" | "RollingOut" | "NotPossible" | Hold["reason"];
  readonly message: string;
  readonly done: number;
  readonly pending: number;
  readonly failed: number;
  /** Why workloads with pods that differ are not rolled out, by PodRecord.workload. */
  readonly obstacles: RolloutPlan["obstacles"];
  /** As namespace/kind/name. */
  readonly current: readonly string[];
}

/** Workloads in a message. */
const SHOWN = 3;

/** @param notes what is worth knowing of workloads under way */
export function standingOf(plan: RolloutPlan, generation: number, notes: readonly string[]): RolloutStanding {
  const { pending, hold, done, failed, obstacles } = plan;
  const current = plan.current.map(keyOfWorkload);
  const figures = { generation, done, pending: pending.length, failed: failed.length, obstacles, current };
  const say = (
    state: RolloutStanding["state"],
    reason: RolloutStanding["reason"],
    message: string,
  ): RolloutStanding => ({ ...figures, state, reason, message });
  if (hold?.reason === "Stopped") return say("Stopped", "Stopped", hold.message);
  if (hold?.reason === "InvalidWindow") return say("Waiting", "InvalidWindow", hold.message);
  if (current.length > 0) {
    const waiting = hold === undefined ? "" : `; nothing further for now: ${hold.message}`;
    const told = notes.length === 0 ? "" : ` (${notes.slice(0, SHOWN).join("; ")})`;
    return say("Active", "RollingOut", `${some(current)}${told}; ${pending.length} to come${waiting}`);
  }
  if (hold?.isBlind === true) return say("Waiting", hold.reason, hold.message);
  if (pending.length > 0) {
    if (hold !== undefined) return say("Waiting", hold.reason, `${workloads(pending.length)} to come: ${hold.message}`);
    return say("Active", "RollingOut", `${workloads(pending.length)} to come`);
  }
  if (obstacles.size === 0) return say("Complete", "Complete", `${workloads(done)} rolled out, no other is left to be`);
  const shown = [...obstacles].slice(0, SHOWN).map(([key, { message }]) => `${key}: ${message}`);
  const more = obstacles.size > SHOWN ? ` and ${obstacles.size - SHOWN} more` : "";
  return say("Complete", "NotPossible", `${shown.join("; ")}${more}`);
}

/** What a policy's status says of it; nothing where no pods are replaced, or by an earlier generation. */
export function rolloutFigures(
  standing: RolloutStanding | undefined,
  generation: number,
): { readonly rollouts?: RegistrationPolicyRollouts } {
  if (standing?.generation !== generation) return {};
  const { state, done, pending, failed, obstacles, current } = standing;
  const all = done + pending + failed + current.length;
  return {
    rollouts: {
      state,
      done,
      pending,
      failed,
      notPossible: obstacles.size,
      progress: `${done}/${all}`,
      ...(current.length === 0 ? {} : { current: [...current] }),
    },
  };
}

/** Condition RolledOut of a policy that is in force and asks for roll-outs. */
export function rolledOut(standing: RolloutStanding | undefined, generation: number): Says<"RolledOut"> {
  const type = "RolledOut";
  if (standing?.generation !== generation) {
    return { type, reason: "NotJudgedYet", message: "pods have not been judged by the policy as it is now" };
  }
  return { type, reason: standing.reason, message: standing.message };
}

function some(names: readonly string[]): string {
  const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : "";
  return `${names.slice(0, SHOWN).join(", ")}${more}`;
}

function workloads(count: number): string {
  return count === 1 ? "1 workload" : `${count} workloads`;
}
