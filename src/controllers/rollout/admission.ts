import type { AdmissionStanding } from "../admission/standing.ts";

/** So long an API server may go by what an admission policy said before. */
const SETTLED_MS = 15_000;

export interface NewPods {
  /** Of the policy as it is now. */
  readonly generation: number;
  /** Whether policies and cluster are known well enough. */
  readonly isKnown: boolean;
  readonly standing: AdmissionStanding | undefined;
  /** Why the webhook changes no pod; undefined when it does. */
  readonly webhookProblem: string | undefined;
  /** Monotonic milliseconds. */
  readonly now: number;
}

/** Why pods that are created now would not be made to obey a policy in force; undefined when they would. */
export function admissionProblem({ generation, isKnown, standing, webhookProblem, now }: NewPods): string | undefined {
  if (!isKnown) return "policies and the cluster are not known well enough now";
  switch (standing?.way) {
    case undefined:
    case "NotKnownYet":
      return "it is not known yet how pods are changed";
    case "None":
      return "nothing is there that changes them: see --admission and config/";
    case "NotServed":
      return "the API server serves no MutatingAdmissionPolicy v1: use the webhook";
    case "NotAllowed":
      return "the operator may not write MutatingAdmissionPolicy objects: apply config/default-policy";
    case "Webhook":
    case "Policy":
  }
  if (standing.generation !== generation) return "it is not known yet how the policy's last change is applied to pods";
  if (standing.way === "Webhook") return webhookProblem;
  if (standing.isTooDeep) return "more policies come before it than a MutatingAdmissionPolicy can tell of";
  if (standing.problem !== undefined) return standing.problem;
  const { changedAt } = standing;
  if (changedAt === undefined || now - changedAt < SETTLED_MS) {
    return "its MutatingAdmissionPolicy has just changed: API servers may not go by it yet";
  }
  return undefined;
}
