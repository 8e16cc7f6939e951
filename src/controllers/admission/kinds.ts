import { ADMISSION_GROUP, OWNED_LABEL } from "../../admission/cel/objects.ts";
import type { Served } from "./way.ts";

export const ROOT = `/apis/${ADMISSION_GROUP}`;

/** The kinds that are written, bindings first: so things are taken away. */
export const collections = {
  MutatingAdmissionPolicyBinding: "mutatingadmissionpolicybindings",
  MutatingAdmissionPolicy: "mutatingadmissionpolicies",
  ValidatingAdmissionPolicyBinding: "validatingadmissionpolicybindings",
  ValidatingAdmissionPolicy: "validatingadmissionpolicies",
} as const;

export type Kind = keyof typeof collections;

/** What selects the objects that are ours. */
export const OWNED_SELECTOR = Object.entries(OWNED_LABEL)
  .map(([name, value]) => `${name}=${value}`)
  .join(",");

/** The kinds that the API server serves and lets us write. */
export function usableKinds({ mutating, validating }: Served): readonly Kind[] {
  return (Object.keys(collections) as Kind[]).filter(
    (kind) => (kind.startsWith("Mutating") ? mutating : validating) === "Usable",
  );
}

/** Unique among all kinds. */
export function keyOf(kind: string, name: string): string {
  return `${kind}/${name}`;
}
