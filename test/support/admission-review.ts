import type { AdmissionSnapshot, Mutation, PodPolicy, Site } from "../../src/admission/types.ts";

/** A policy that wants nothing in particular of pods. */
const samplePolicy: PodPolicy = {
  name: "web",
  generation: 3,
  dns: undefined,
  goResolver: undefined,
  sysctls: undefined,
  gracePeriod: 60,
  preStopSleep: undefined,
};

function siteOf(namespace: string): Site {
  return {
    namespace,
    namespaceLabels: {},
    serverMinor: 36,
    clusterNameservers: ["10.0.0.10"],
    sysctlObstacle: undefined,
    engineObjection: undefined,
  };
}

/** A snapshot in which the policy is in charge of every pod of every namespace but `unclaimed`. */
export const everywhere: AdmissionSnapshot = {
  inChargeOf: (namespace) =>
    namespace === "unclaimed" ? undefined : { policy: samplePolicy, site: siteOf(namespace) },
};

/** Adds an annotation, unless the pod has it: idempotent, as every mutation is. */
export function annotate(pod: Readonly<Record<string, unknown>>): Mutation {
  const { annotations } = pod["metadata"] as { annotations?: Readonly<Record<string, string>> };
  if (annotations?.["test/mutated"] !== undefined)
    return { patch: [], applied: ["gracePeriod"], changed: [], skipped: [] };
  const value = { ...annotations, "test/mutated": "yes" };
  return {
    patch: [{ op: "add", path: "/metadata/annotations", value }],
    applied: ["gracePeriod"],
    changed: ["gracePeriod"],
    skipped: [],
  };
}

/** An AdmissionReview as the API server sends it for the creation of a pod. */
export function reviewOf(request: Readonly<Record<string, unknown>> = {}, pod: object = {}): object {
  return {
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: {
      uid: "705ab4f5-6393-11e8-b7cc-42010a800002",
      kind: { group: "", version: "v1", kind: "Pod" },
      resource: { group: "", version: "v1", resource: "pods" },
      requestKind: { group: "", version: "v1", kind: "Pod" },
      requestResource: { group: "", version: "v1", resource: "pods" },
      namespace: "shop",
      operation: "CREATE",
      userInfo: { username: "system:serviceaccount:kube-system:replicaset-controller" },
      object: {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { generateName: "web-", labels: { app: "web" } },
        spec: { containers: [{ name: "app", image: "app" }] },
        ...pod,
      },
      oldObject: null,
      dryRun: false,
      options: { kind: "CreateOptions", apiVersion: "meta.k8s.io/v1" },
      ...request,
    },
  };
}
