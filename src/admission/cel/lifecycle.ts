import { add, firstOf, isOurs, when } from "./common.ts";
import { celString } from "./literal.ts";
import type { CelPart, Facts } from "./types.ts";

/** The sleep action is on by default from this minor version of Kubernetes on. */
const SLEEP_SINCE_MINOR = 30;
const GRACE = "object.spec.?terminationGracePeriodSeconds.orValue(30)";

/** What mutateGracePeriod does, as CEL. @param wanted seconds */
export function celGracePeriod(wanted: number): CelPart {
  return {
    part: "gracePeriod",
    variables: [{ name: "grace_changes", expression: `!variables.windows && ${GRACE} < ${wanted}` }],
    reason: '(variables.windows ? "WindowsPod" : "")',
    changes: "variables.grace_changes",
    applied: "!variables.windows",
    set: "[]",
    operations: when("variables.grace_changes", add(celString("/spec/terminationGracePeriodSeconds"), `${wanted}`)),
    differences: when("variables.grace_changes", `["spec.terminationGracePeriodSeconds ${wanted}"]`),
  };
}

/** What mutatePreStop does, as CEL. @param seconds of sleep @param gracePeriod what the policy raises it to, if it does */
export function celPreStop(seconds: number, gracePeriod: number | undefined, facts: Facts): CelPart {
  const sleep = (container: string): string => `${container}.?lifecycle.?preStop.?sleep.?seconds.orValue(-1)`;
  const ours = isOurs('"preStop"', `string(${sleep("c")})`);
  const isOpen = `!has(c.lifecycle) || !has(c.lifecycle.preStop) || ${sleep("c")} == ${seconds} || (${sleep("c")} >= 0 && ${ours})`;
  const containers = "object.spec.containers";
  const path = (rest: string): string => `"/spec/containers/" + string(i) + ${celString(rest)}`;
  const patch = (condition: string, rest: string, value: string): string =>
    `variables.prestop_missing.filter(i, ${condition}).map(i, JSONPatch{op: "add", path: ${path(rest)}, value: ${value}})`;
  const lifecycle = `${containers}[i].lifecycle`;
  return {
    part: "preStop",
    variables: [
      { name: "prestop_ours", expression: `${containers}.transformList(i, c, ${isOpen}, i)` },
      {
        name: "prestop_other",
        expression: `variables.prestop_ours.filter(i, ${sleep(`${containers}[i]`)} != ${seconds})`,
      },
      {
        name: "prestop_skip",
        expression: firstOf([
          ["variables.windows", '"WindowsPod"'],
          ["variables.prestop_ours.size() == 0", '"SetByAuthor"'],
          ["variables.prestop_other.size() == 0", '""'],
          [`${facts.serverMinor < SLEEP_SINCE_MINOR}`, '"SleepActionUnknown"'],
          [`${GRACE} <= ${seconds} && ${gracePeriod ?? 0} <= ${seconds}`, '"GracePeriodTooShort"'],
        ]),
      },
      { name: "prestop_missing", expression: when('variables.prestop_skip == ""', "variables.prestop_other") },
    ],
    reason: "variables.prestop_skip",
    changes: "variables.prestop_missing.size() > 0",
    applied: 'variables.prestop_skip == ""',
    set: when("variables.prestop_missing.size() > 0", `["preStop=${seconds}"]`),
    operations: [
      patch(`!has(${lifecycle})`, "/lifecycle", `{"preStop": {"sleep": {"seconds": ${seconds}}}}`),
      patch(
        `has(${lifecycle}) && !has(${lifecycle}.preStop)`,
        "/lifecycle/preStop",
        `{"sleep": {"seconds": ${seconds}}}`,
      ),
      patch(`has(${lifecycle}) && has(${lifecycle}.preStop)`, "/lifecycle/preStop/sleep/seconds", `${seconds}`),
    ].join(" + "),
    differences: `variables.prestop_missing.map(i, "spec.containers[" + ${containers}[i].name + "].lifecycle.preStop sleep ${seconds}s")`,
  };
}
