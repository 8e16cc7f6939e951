import type { AdmissionMode } from "../../admission/settings.ts";

/** Whether a kind of the API server's admission policies can be written. */
export type Availability = "Usable" | "NotServed" | "NotAllowed";

/** What the API server serves of admissionregistration.k8s.io/v1, and lets us write. */
export interface Served {
  readonly mutating: Availability;
  readonly validating: Availability;
}

/** How pods that are being created are made to obey. */
export type Way =
  | "Webhook"
  | "Policy"
  /** Nobody asked for it, or nothing is there that could do it. */
  | "None"
  /** Asked for by --admission=policy, and the API server has no such kind. */
  | "NotServed"
  /** The same, and the operator has no right to write it. */
  | "NotAllowed"
  | "NotKnownYet";

/**
 * The one way that pods are changed by. `auto` takes the webhook where it is installed, since that says at each pod what
 * it did; else the API server's own policies where they can be written.
 * @param isInstalled whether the webhook's configuration exists; undefined while that is not known
 * @param served undefined while it is not known
 */
export function wayOf(mode: AdmissionMode, isInstalled: boolean | undefined, served: Served | undefined): Way {
  switch (mode) {
    case "none":
      return "None";
    case "webhook":
      return "Webhook";
    case "policy":
      if (served === undefined) return "NotKnownYet";
      return served.mutating === "Usable" ? "Policy" : served.mutating;
    case "auto":
      if (isInstalled === true) return "Webhook";
      if (isInstalled === undefined || served === undefined) return "NotKnownYet";
      return served.mutating === "Usable" ? "Policy" : "None";
  }
}
