/** The three kinds of hygeia.dev/v1alpha1. Their fields come from crds/ by `npm run generate`. */
import type {
  RegistrationPolicySpec,
  RegistrationPolicyStatus,
  RegistrationReportStatus,
  RegistrySpec,
  RegistryStatus,
} from "./generated/types.ts";

export type * from "./generated/types.ts";
export type { PolicyConditionReason, RegistryConditionReason } from "./conditions.ts";
export { parseDuration } from "./duration.ts";
export { parseRegistrationPolicy, parseRegistry, type FieldProblem, type Parsed } from "./parse.ts";
export { unknownPolicyFields } from "./unknown-fields.ts";

export const GROUP = "hygeia.dev";
export const VERSION = "v1alpha1";
export const API_VERSION = `${GROUP}/${VERSION}`;

/** The kinds and the plural names by which they stand in URLs. All are cluster-scoped. */
export const PLURALS = {
  Registry: "registries",
  RegistrationPolicy: "registrationpolicies",
  RegistrationReport: "registrationreports",
} as const;

/** What we read of `metadata`; the API server fills in everything that is not optional here. */
export interface ObjectMeta {
  name: string;
  uid: string;
  resourceVersion: string;
  /** Counts changes of the spec. */
  generation: number;
  /** RFC 3339. */
  creationTimestamp: string;
  /** RFC 3339; present while the object is being deleted. */
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
}

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

export interface Registry {
  apiVersion: typeof API_VERSION;
  kind: "Registry";
  metadata: ObjectMeta;
  spec: RegistrySpec;
  status?: RegistryStatus;
}

export interface RegistrationPolicy {
  apiVersion: typeof API_VERSION;
  kind: "RegistrationPolicy";
  metadata: ObjectMeta;
  spec: RegistrationPolicySpec;
  status?: RegistrationPolicyStatus;
}

export interface RegistrationReport {
  apiVersion: typeof API_VERSION;
  kind: "RegistrationReport";
  metadata: ObjectMeta;
  status?: RegistrationReportStatus;
}
