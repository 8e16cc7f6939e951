import type { Way } from "./way.ts";

/** How one RegistrationPolicy stands with the admission of pods. */
export interface AdmissionStanding {
  readonly way: Way;
  /** Of the policy, when this was found; undefined where it holds for every policy. */
  readonly generation: number | undefined;
  /** Monotonic milliseconds when the objects that change pods last changed; undefined where there are none. */
  readonly changedAt: number | undefined;
  /** Parts that no pod gets, with field and reason. */
  readonly leftOut: readonly string[];
  /** Too many policies come before it. */
  readonly isTooDeep: boolean;
  /** Why the objects that change pods are not there as they should be; undefined when they are. */
  readonly problem: string | undefined;
  /** Why nobody is warned of pods that escaped. */
  readonly checkProblem: string | undefined;
}

/** What the controller knows. */
export interface AdmissionStandings {
  /** Undefined while it is not known. */
  standingOf(policy: string): AdmissionStanding | undefined;
  /** Called when a standing may have changed. @returns takes the subscription back */
  subscribe(listener: () => void): () => void;
}
