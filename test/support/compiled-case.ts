/** What a case of the table, or one drawn at random, is compiled to for the API server. */
import type { AdmissionObject, Compiled } from "../../src/admission/cel/objects.ts";
import type { CelSource, Facts, NodeObstacle } from "../../src/admission/cel/types.ts";
import type { PodPolicy, Site } from "../../src/admission/types.ts";
import type { Selector } from "../../src/cluster/selector.ts";
import type { KubeClient } from "./kube-client.ts";

const API = "/apis/admissionregistration.k8s.io/v1";

const plurals: Readonly<Record<string, string>> = {
  MutatingAdmissionPolicy: "mutatingadmissionpolicies",
  MutatingAdmissionPolicyBinding: "mutatingadmissionpolicybindings",
  ValidatingAdmissionPolicy: "validatingadmissionpolicies",
  ValidatingAdmissionPolicyBinding: "validatingadmissionpolicybindings",
};

/** The collections of all kinds that are compiled. */
export const compiledPlurals: readonly string[] = Object.values(plurals);

/** What the operator would know of the cluster, at this site. */
export function factsOf(site: Site): Facts {
  const { serverMinor, clusterNameservers, sysctlObstacle, engineObjection } = site;
  return {
    serverMinor,
    clusterNameservers,
    sysctlObstacle: isOfNodes(sysctlObstacle) ? sysctlObstacle : undefined,
    sysctlNamespaces: engineObjection === undefined ? undefined : [],
    engineObjection,
  };
}

function isOfNodes(obstacle: Site["sysctlObstacle"]): obstacle is NodeObstacle {
  return obstacle?.reason === "NodeTooOld" || obstacle?.reason === "NodesUnknown";
}

/**
 * The policy and its binding under this name, for the pods that are selected.
 * @param compile mutatingPolicy or validatingPolicy
 */
export function compiledCase(
  compile: (source: CelSource) => Compiled | undefined,
  id: string,
  { policy, site }: { readonly policy: PodPolicy; readonly site: Site },
  podSelector: Selector,
): readonly AdmissionObject[] {
  const compiled = compile({
    policy,
    uid: "00000000-0000-4000-8000-000000000000",
    match: { namespaceSelector: undefined, podSelector },
    before: [],
    facts: factsOf(site),
    excluded: new Set(["kube-system"]),
  });
  if (compiled === undefined) throw new Error("it was not compiled");
  return compiled.map((object) => ({
    ...object,
    metadata: { name: id, labels: object.metadata["labels"] },
    spec: { ...object.spec, ...("policyName" in object.spec ? { policyName: id } : {}) },
  }));
}

/** Writes them one after the other: the API server reads its policies in the order in which they were made. */
export async function installCompiled(client: KubeClient, objects: readonly AdmissionObject[]): Promise<void> {
  for (const object of objects) await client.create(`${API}/${plurals[object.kind]}`, object);
}

/** One namespace for each set of labels that the cases know. */
export class CaseNamespaces {
  readonly #names = new Map<string, string>();

  nameOf({ namespaceLabels }: Site): string {
    const { "kubernetes.io/metadata.name": _, ...own } = namespaceLabels;
    const key = JSON.stringify(own);
    const name = this.#names.get(key) ?? `shop-${this.#names.size}`;
    this.#names.set(key, name);
    return name;
  }

  /** Makes all that were named. */
  async create(client: KubeClient): Promise<void> {
    for (const [labels, name] of this.#names) {
      const metadata = { name, labels: JSON.parse(labels) as Record<string, string> };
      await client.create("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata });
    }
  }
}
