/** What the API server is given: one policy with its binding that changes pods, and one that tells what is missing. */
import { createHash } from "node:crypto";

import { API_VERSION } from "../../api/v1alpha1/index.ts";
import { annotationOperations } from "./annotations.ts";
import { chargeOf } from "./charge.ts";
import { celString } from "./literal.ts";
import { celPolicy } from "./parts.ts";
import type { CelSource } from "./types.ts";

/** The API group of the API server's own admission policies. */
export const ADMISSION_GROUP = "admissionregistration.k8s.io/v1";
/** Label by which ours are found. */
export const OWNED_LABEL = { "hygeia.dev/compiled-from": "RegistrationPolicy" } as const;
/** Annotation on them: the RegistrationPolicy and generation that they were compiled from, `<policy>@<generation>`. */
const COMPILED_ANNOTATION = "hygeia.dev/compiled";

/** An object of the API server's, as it is applied. */
export interface AdmissionObject {
  readonly apiVersion: typeof ADMISSION_GROUP;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly [field: string]: unknown };
  readonly spec: Readonly<Record<string, unknown>>;
}

/** A policy and its binding; the policy is to be there first. */
export type Compiled = readonly [policy: AdmissionObject, binding: AdmissionObject];

const MAX_NAME = 253;

/** The name of what is compiled from a RegistrationPolicy; one that would be too long ends in a digest. */
export function compiledName(policy: string): string {
  const name = `hygeia-${policy}`;
  if (name.length <= MAX_NAME) return name;
  const digest = createHash("sha256").update(policy).digest("hex").slice(0, 16);
  return `${name.slice(0, MAX_NAME - digest.length - 1).replace(/[^a-z0-9]+$/, "")}-${digest}`;
}

/**
 * The MutatingAdmissionPolicy that does to a pod what mutatePod does, and its binding. Undefined where more policies come
 * before this one than the API server can be told of.
 */
export function mutatingPolicy(source: CelSource): Compiled | undefined {
  const charge = chargeOf(source);
  if (charge === undefined) return undefined;
  const { inCharge, ...constraints } = charge;
  const { variables, parts } = celPolicy(source.policy, source.facts);
  const applies = [...inCharge.map(({ name }) => `variables.${name}`), "variables.fits"].join(" && ");
  const operations = [...parts.map((part) => part.operations), annotationOperations()].join(" + ");
  return compiled(
    source,
    "MutatingAdmissionPolicy",
    {},
    {
      ...constraints,
      failurePolicy: "Ignore",
      reinvocationPolicy: "IfNeeded",
      variables: [...inCharge, ...variables],
      // One list, so that a pod gets all of it or nothing.
      mutations: [{ patchType: "JSONPatch", jsonPatch: { expression: `${applies} ? (${operations}) : []` } }],
    },
  );
}

/**
 * The ValidatingAdmissionPolicy that tells, by a warning and in the audit log, what a pod lacks that mutatePod would have
 * given it. It never denies. Undefined as for {@link mutatingPolicy}.
 */
export function validatingPolicy(source: CelSource): Compiled | undefined {
  const charge = chargeOf(source);
  if (charge === undefined) return undefined;
  const { inCharge, ...constraints } = charge;
  const { variables, parts } = celPolicy(source.policy, source.facts);
  const spared = inCharge.map((variable) => `!variables.${variable.name} || `).join("");
  const { name } = source.policy;
  return compiled(
    source,
    "ValidatingAdmissionPolicy",
    { validationActions: ["Warn", "Audit"] },
    {
      ...constraints,
      failurePolicy: "Ignore",
      variables: [...inCharge, ...variables],
      validations: parts.map(({ part, changes, differences }) => ({
        expression: `${spared}!(${changes}) || !variables.fits`,
        message: `RegistrationPolicy ${name}: the pod does not have what ${part} asks for`,
        messageExpression: `${celString(`RegistrationPolicy ${name} wants, and the pod does not have: `)} + (${differences}).join("; ")`,
      })),
    },
  );
}

function compiled(
  { policy, uid }: CelSource,
  kind: string,
  binding: Readonly<Record<string, unknown>>,
  spec: Readonly<Record<string, unknown>>,
): Compiled {
  const name = compiledName(policy.name);
  const metadata = {
    name,
    labels: OWNED_LABEL,
    annotations: { [COMPILED_ANNOTATION]: `${policy.name}@${policy.generation}` },
    ownerReferences: [
      { apiVersion: API_VERSION, kind: "RegistrationPolicy", name: policy.name, uid, controller: true },
    ],
  };
  return [
    { apiVersion: ADMISSION_GROUP, kind, metadata, spec },
    { apiVersion: ADMISSION_GROUP, kind: `${kind}Binding`, metadata, spec: { policyName: name, ...binding } },
  ];
}
