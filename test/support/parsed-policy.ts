import { parseRegistrationPolicy, type Parsed, type RegistrationPolicy } from "../../src/api/v1alpha1/index.ts";

/** A RegistrationPolicy as it is read, with a registration unless another one is given. */
export function parsedPolicy(spec: object): Parsed<RegistrationPolicy> {
  return parseRegistrationPolicy({
    apiVersion: "hygeia.dev/v1alpha1",
    kind: "RegistrationPolicy",
    metadata: { name: "p" },
    spec: { registration: { registries: [{ name: "main" }] }, ...spec },
  });
}
