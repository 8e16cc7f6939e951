import type { NodeLabel } from "../types.ts";
import { celString, celStrings } from "./literal.ts";
import type { CelVariable } from "./types.ts";

const TERMS =
  "object.spec.?affinity.?nodeAffinity.?requiredDuringSchedulingIgnoredDuringExecution.?nodeSelectorTerms.orValue([])";

/**
 * What staysOff does, as CEL: `variables.nodes_avoided` says that the pod is kept off the nodes that have these labels.
 */
export function celNodesAvoided(nodeLabels: ReadonlyMap<string, NodeLabel> | undefined): CelVariable[] {
  if (nodeLabels === undefined) return [{ name: "nodes_avoided", expression: "false" }];
  const labels = [...nodeLabels];
  const known = labels.flatMap(([key, { values }]) =>
    values === undefined ? [] : [`${celString(key)}: ${celStrings(values)}`],
  );
  const onAll = labels.flatMap(([key, label]) => (label.onAll ? [key] : []));
  return [
    // No label has an empty name: without any this is a map of the same type.
    { name: "nodes_values", expression: `{${['"": [""]', ...known].join(", ")}}` },
    { name: "nodes_labels", expression: celStrings(labels.map(([key]) => key)) },
    { name: "nodes_on_all", expression: celStrings(onAll) },
    { name: "nodes_avoided", expression: `${selectorExcludes()} || ${affinityExcludes()}` },
  ];
}

function selectorExcludes(): string {
  const selector = "object.spec.?nodeSelector.orValue({})";
  return `${selector}.exists(k, ${inExcludes("k", `[${selector}[k]]`)})`;
}

function affinityExcludes(): string {
  const values = "e.?values.orValue([])";
  const excludes = [
    `e.operator == "In" && (${inExcludes("e.key", values)})`,
    `e.operator == "NotIn" && e.key in variables.nodes_on_all && e.key in variables.nodes_values && variables.nodes_values[e.key].all(v, v in ${values})`,
    'e.operator == "Exists" && !(e.key in variables.nodes_labels)',
    'e.operator == "DoesNotExist" && e.key in variables.nodes_on_all',
  ];
  const any = excludes.map((expression) => `(${expression})`).join(" || ");
  return `(${TERMS}.size() > 0 && ${TERMS}.all(t, t.?matchExpressions.orValue([]).exists(e, ${any})))`;
}

/** CEL boolean: none of the nodes has one of these values. @param key CEL string @param values CEL list of strings */
function inExcludes(key: string, values: string): string {
  return `!(${key} in variables.nodes_labels) || (${key} in variables.nodes_values && variables.nodes_values[${key}].all(v, !(v in ${values})))`;
}
