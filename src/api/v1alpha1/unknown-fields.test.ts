import { describe, expect, test } from "vitest";

import { unknownPolicyFields } from "./unknown-fields.ts";

describe("the fields of a policy that do not exist", () => {
  const cases: Record<string, [spec: unknown, fields: string[]]> = {
    "are none in one that is right": [
      {
        match: { podSelector: { matchLabels: { "any/key": "value" } } },
        registration: { registries: [{ name: "main" }] },
        dns: { ndots: 2, options: [{ name: "use-vc" }] },
      },
      [],
    ],
    "are named at the top": [{ keepAlive: {} }, ["spec.keepAlive"]],
    "are named below": [{ dns: { ndot: 2 } }, ["spec.dns.ndot"]],
    "are named in lists": [
      { keepalive: { paths: [{ name: "a" }, { name: "b", idle: "1s" }] } },
      ["spec.keepalive.paths[1].idle"],
    ],
    "are not looked for where something else stands": [{ dns: 2, keepalive: null, lifecycle: "x" }, []],
    "are not found in what every object has": [{ constructor: 1, toString: 2 }, ["spec.constructor", "spec.toString"]],
  };
  test.each(Object.entries(cases))("%s", (_, [spec, fields]) => {
    expect(unknownPolicyFields({ spec }).map(({ field }) => field)).toEqual(fields);
  });

  test("are named with what to write instead", () => {
    expect(unknownPolicyFields({ spec: { lifecycle: { preStop: 5 } } })[0]?.message).toBe(
      "is no field: write one of terminationGracePeriodSeconds, preStopSleepSeconds",
    );
  });

  test.each([undefined, null, "text", [], {}])("are none in %j", (value) => {
    expect(unknownPolicyFields(value)).toEqual([]);
  });
});
