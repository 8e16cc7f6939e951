import { compiledName } from "../../admission/cel/objects.ts";
import type { PolicyFacts, Says } from "./status.ts";

const type = "AppliedToNewPods";

/** Whether and how pods that are created now are made to obey the policy. */
export function appliedToNewPods({ object, admission, dryRun }: PolicyFacts): Says<typeof type> {
  const { compilation } = object;
  if (!compilation.accepted) {
    return { type, reason: "NotAccepted", message: "the policy is not in force: see condition Accepted" };
  }
  const { name, plan, podPolicy } = compilation.policy;
  if (podPolicy === undefined) {
    return { type, reason: "NothingWanted", message: "the policy has no dns, keepalive or lifecycle to obey" };
  }
  if (dryRun) return { type, reason: "NotEnforced", message: "the operator runs with --dry-run: no pod is changed" };
  if (plan.mode !== "Enforce") {
    return { type, reason: "NotEnforced", message: `spec.mode is ${plan.mode}: no pod is changed` };
  }
  if (admission === undefined)
    return { type, reason: "NotKnownYet", message: "it is not known yet how pods are changed" };
  const { way, problem, checkProblem, leftOut, isTooDeep } = admission;
  const unwarned = checkProblem === undefined ? "" : `; nobody is warned of pods that escape: ${checkProblem}`;
  switch (way) {
    case "Webhook": {
      const message = ["the operator's webhook changes new pods", ...leftOut].join("; ");
      return { type, reason: "Webhook", message: `${message}${unwarned}` };
    }
    case "NotKnownYet":
      return { type, reason: "NotKnownYet", message: "it is not known yet how pods are changed" };
    case "None":
      return { type, reason: "NoWay", message: "no pod is changed: see --admission and config/" };
    case "NotServed":
      return {
        type,
        reason: "NotServed",
        message: "the API server serves no MutatingAdmissionPolicy v1: use the webhook",
      };
    case "NotAllowed": {
      const message = "the operator may not write MutatingAdmissionPolicy objects: apply config/default-policy";
      return { type, reason: "NotWritten", message };
    }
    case "Policy":
  }
  if (isTooDeep) {
    const message = "more policies have a higher priority than a MutatingAdmissionPolicy can tell of: use the webhook";
    return { type, reason: "TooManyPolicies", message };
  }
  if (problem !== undefined) return { type, reason: "NotWritten", message: `${problem}${unwarned}` };
  const by = `MutatingAdmissionPolicy ${compiledName(name)} changes new pods`;
  if (leftOut.length > 0)
    return { type, reason: "PartlyLeftOut", message: `${[by, ...leftOut].join("; ")}${unwarned}` };
  return { type, reason: "AdmissionPolicy", message: `${by}${unwarned}` };
}
