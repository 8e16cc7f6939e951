import { describe, expect, test } from "vitest";

import { POD_RULES, type PodSpecs } from "../../test/support/pod-rule-cases.ts";
import { parseRegistrationPolicy } from "../api/v1alpha1/index.ts";
import { lintKeepalive } from "./keepalive.ts";
import { podRuleProblems } from "./pod-rules.ts";

/** Fields with which the policy can not be created, as the schema, the rules and the linter say it. */
function refusedFields(specs: PodSpecs): readonly string[] {
  const parsed = parseRegistrationPolicy({
    apiVersion: "hygeia.dev/v1alpha1",
    kind: "RegistrationPolicy",
    metadata: { name: "p" },
    spec: { registration: { registries: [{ name: "main" }] }, ...specs },
  });
  if (!parsed.ok) return parsed.problems.map(({ field }) => field);
  const { spec } = parsed.object;
  const paths = spec.keepalive === undefined ? [] : lintKeepalive(spec.keepalive, undefined).paths;
  const refused = paths.filter(({ severity }) => severity === "Refused");
  return [...podRuleProblems(spec), ...refused].map(({ field }) => field);
}

describe.each(Object.entries(POD_RULES))("%s", (_, { field, accepted, refused }) => {
  test("accepts what the API server accepts", () => {
    for (const specs of accepted) expect({ specs, fields: refusedFields(specs) }).toEqual({ specs, fields: [] });
  });

  test("refuses what the API server refuses, at the field or inside of it", () => {
    for (const specs of refused) {
      const fields = refusedFields(specs).filter((each) => each.startsWith(field));
      expect({ specs, count: fields.length }).toEqual({ specs, count: 1 });
    }
  });
});
