import type { Selector } from "../../cluster/selector.ts";
import type { PodPart, PodPolicy, SkipReason, SysctlObstacle } from "../types.ts";

/**
 * Reasons that no pod is left alone for where the API server's own policies change it: they read the namespace by
 * themselves, stay as they were last written, and see no pod that is not understood. docs/admission.md says more.
 */
export const webhookOnlyReasons = ["NotUnderstood", "NamespaceUnknown", "ViewNotFresh"] as const satisfies SkipReason[];

/** A named CEL expression; later ones may use earlier ones as `variables.NAME`. */
export interface CelVariable {
  readonly name: string;
  readonly expression: string;
}

/** One part of a policy as CEL. Its variables tell what is to be done, its operations do it. */
export interface CelPart {
  readonly part: PodPart;
  readonly variables: readonly CelVariable[];
  /** CEL string: why the part, or some of it, is left out; empty where nothing is. */
  readonly reason: string;
  /** CEL boolean: the pod is to be changed. */
  readonly changes: string;
  /** CEL boolean: some of the part is set, or holds already. */
  readonly applied: string;
  /** CEL list of strings: what SET_ANNOTATION is to say, `name=value` each. */
  readonly set: string;
  /** CEL list of JSONPatch; may be used in mutations only. */
  readonly operations: string;
  /** CEL list of strings: the fields that are not as the policy wants them, and what it wants. */
  readonly differences: string;
}

/** A reason that holds in every namespace. */
export interface NodeObstacle extends SysctlObstacle {
  readonly reason: Extract<SysctlObstacle["reason"], "NodeTooOld" | "NodesUnknown">;
}

/** What the operator knows and no expression can find out; constants in the compiled policy. */
export interface Facts {
  /** Minor version of the API server, 36 for v1.36.3. */
  readonly serverMinor: number;
  readonly clusterNameservers: readonly string[] | undefined;
  /** Why a pod with the sysctls could land on a node that refuses it. */
  readonly sysctlObstacle: NodeObstacle | undefined;
  /** The only namespaces in which sysctls may be set, for no policy engine refuses them there; undefined: in any. */
  readonly sysctlNamespaces: readonly string[] | undefined;
  /** Why they may be set in none of the namespaces that are known, for a person. */
  readonly engineObjection: string | undefined;
}

/** What the selectors of a policy say. */
export interface Match {
  readonly namespaceSelector: Selector | undefined;
  readonly podSelector: Selector | undefined;
}

/** A policy to be compiled, with those that are in charge before it. */
export interface CelSource {
  readonly policy: PodPolicy;
  readonly uid: string;
  readonly match: Match;
  /** Policies that win over it, whatever they want: it is in charge of none of the pods they match. */
  readonly before: readonly Match[];
  readonly facts: Facts;
  /** Namespaces whose pods are never changed. */
  readonly excluded: ReadonlySet<string>;
}
