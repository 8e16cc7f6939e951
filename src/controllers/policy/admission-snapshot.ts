import type { Sites } from "../../admission/sites.ts";
import type { AdmissionSnapshot, PodPolicy, Site } from "../../admission/types.ts";
import type { Policies } from "./policy-set.ts";

/**
 * Answers for pods that are being created from the policies and the cluster as they are known, at the cost of the pod
 * selectors of the policies that can match in the namespace.
 */
export class PolicyAdmissionSnapshot implements AdmissionSnapshot {
  readonly #policies: Pick<Policies, "forLabels">;
  readonly #sites: Pick<Sites, "siteOf">;
  readonly #dryRun: boolean;

  /** @param dryRun every policy is treated as one of mode Audit: no pod is changed */
  constructor(policies: Pick<Policies, "forLabels">, sites: Pick<Sites, "siteOf">, dryRun: boolean) {
    this.#policies = policies;
    this.#sites = sites;
    this.#dryRun = dryRun;
  }

  inChargeOf(
    namespace: string,
    labels: Readonly<Record<string, string>>,
  ): { readonly policy: PodPolicy; readonly site: Site } | undefined {
    if (this.#dryRun) return undefined;
    // The winner wins whole: where it is not enforced, no other takes its place.
    const winner = this.#policies.forLabels(namespace, labels);
    if (winner?.podPolicy === undefined || winner.plan.mode !== "Enforce") return undefined;
    const site = this.#sites.siteOf(namespace, winner.podPolicy);
    return site && { policy: winner.podPolicy, site };
  }
}
