import type { WantedSysctls } from "../../admission/dry-run/engine-objections.ts";
import type { Policies } from "./policy-set.ts";

/**
 * The namespaces in which a policy would give pods sysctls, and which: those of the policy that comes first there.
 * @param excluded namespaces whose pods are never changed
 */
export function* wantedSysctls(
  namespaces: Iterable<string>,
  policies: Pick<Policies, "inNamespace">,
  excluded: ReadonlySet<string>,
): Generator<WantedSysctls, void, undefined> {
  for (const namespace of namespaces) {
    if (excluded.has(namespace)) continue;
    const first = policies
      .inNamespace(namespace)
      .find(({ podPolicy, plan }) => plan.mode === "Enforce" && podPolicy?.sysctls !== undefined);
    if (first?.podPolicy?.sysctls !== undefined) yield { namespace, sysctls: first.podPolicy.sysctls };
  }
}
