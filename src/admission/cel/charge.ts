import type { Selector } from "../../cluster/selector.ts";
import { PROBE_ANNOTATION } from "../review.ts";
import { ADMISSION_LABEL, IGNORE_ANNOTATION } from "../types.ts";
import { celString } from "./literal.ts";
import { celSelector } from "./selector.ts";
import type { CelSource, CelVariable, Match } from "./types.ts";

/** The kubelet's own annotation on the pod that mirrors a static one. */
const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";
/** The API server reads no expression of more than 100,000 characters. */
const MAX_EXPRESSION_CHARS = 50_000;
const MAX_EXPRESSIONS = 60;

/** The pods that a policy is in charge of, as the API server's admission policies say it. */
export interface Charge {
  readonly matchConstraints: object;
  readonly matchConditions: readonly { readonly name: string; readonly expression: string }[];
  /** No condition could say this: it is not told the namespace. All must hold, or the pod is left alone. */
  readonly inCharge: readonly CelVariable[];
}

/** Undefined where more policies come before it than the API server can be told of. */
export function chargeOf({ match, before, excluded }: CelSource): Charge | undefined {
  const has = (annotation: string): string =>
    `has(object.metadata.annotations) && ${celString(annotation)} in object.metadata.annotations`;
  const matchConditions = [
    {
      name: "not-ignored",
      expression: `!(${has(IGNORE_ANNOTATION)} && object.metadata.annotations[${celString(IGNORE_ANNOTATION)}] == "true")`,
    },
    { name: "not-static", expression: `!(${has(MIRROR_ANNOTATION)})` },
    { name: "no-probe", expression: `!(request.?dryRun.orValue(false) && ${has(PROBE_ANNOTATION)})` },
  ];
  const inCharge = noneBefore(before);
  if (inCharge.length > MAX_EXPRESSIONS) return undefined;
  return {
    matchConstraints: {
      matchPolicy: "Equivalent",
      resourceRules: [
        { apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"], scope: "Namespaced" },
      ],
      namespaceSelector: withRequirement(match.namespaceSelector, {
        key: "kubernetes.io/metadata.name",
        operator: "NotIn",
        values: [...excluded].sort(),
      }),
      objectSelector: withRequirement(match.podSelector, {
        key: ADMISSION_LABEL,
        operator: "NotIn",
        values: ["Disabled"],
      }),
    },
    matchConditions,
    inCharge,
  };
}

function withRequirement(
  { matchLabels, matchExpressions = [] }: Selector = {},
  requirement: NonNullable<Selector["matchExpressions"]>[number],
): object {
  return {
    ...(matchLabels === undefined ? {} : { matchLabels }),
    matchExpressions: [...matchExpressions, requirement],
  };
}

/** No policy that comes before this one matches the pod: the first in charge is in charge whole. */
function noneBefore(before: readonly Match[]): CelVariable[] {
  const expressions: string[] = [];
  for (const match of before) {
    const selected = [
      celSelector(match.namespaceSelector, "namespaceObject.metadata"),
      celSelector(match.podSelector, "object.metadata"),
    ].filter((expression) => expression !== "true");
    const free = selected.length === 0 ? "false" : `!(${selected.join(" && ")})`;
    const last = expressions.at(-1);
    if (last === undefined || last.length + free.length > MAX_EXPRESSION_CHARS) expressions.push(free);
    else expressions[expressions.length - 1] = `${last} && ${free}`;
  }
  return expressions.map((expression, i) => ({ name: `in_charge_${i}`, expression }));
}
