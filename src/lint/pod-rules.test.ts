import { describe, expect, test } from "vitest";

import { parsedPolicy } from "../../test/support/parsed-policy.ts";
import { POD_RULES, type PodSpecs } from "../../test/support/pod-rule-cases.ts";
import { lintKeepalive } from "./keepalive.ts";
import { podRuleProblems } from "./pod-rules.ts";

const SLEEP = { preStopSleepSeconds: 5 };

/** Fields with which the policy can not be created, as the schema, the rules and the linter say it. */
function refusedFields(specs: PodSpecs & { readonly registration?: undefined }): readonly string[] {
  const parsed = parsedPolicy(specs);
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

test("a policy is about something", () => {
  const parts = [
    { dns: { ndots: 2 } },
    { keepalive: { time: "60s", interval: "10s", probes: 3 } },
    { lifecycle: SLEEP },
  ];
  expect(refusedFields({ registration: undefined })).toEqual(["spec"]);
  for (const part of parts) expect(refusedFields({ registration: undefined, ...part })).toEqual([]);
  expect(refusedFields({})).toEqual([]);
});
