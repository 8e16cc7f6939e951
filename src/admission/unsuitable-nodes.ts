import type { NodeState } from "../cluster/types.ts";
import type { NodeRequirement, PodShape } from "./pod-shape.ts";
import type { NodeLabel } from "./types.ts";

/** Values of one label that are looked at; a host's name is another on every node, and no pool is told by it. */
const MAX_VALUES = 16;
/** Characters of all labels together. More is no cluster's, and would make the expressions compiled of it too long. */
const MAX_CHARACTERS = 20_000;

/** What these nodes have under each of their labels; undefined for no node, and where that is too much to look at. */
export function labelsOfNodes(nodes: readonly Pick<NodeState, "labels">[]): ReadonlyMap<string, NodeLabel> | undefined {
  if (nodes.length === 0) return undefined;
  const found = new Map<string, { readonly values: Set<string>; count: number }>();
  for (const { labels } of nodes) {
    for (const [key, value] of Object.entries(labels)) {
      let label = found.get(key);
      if (label === undefined) found.set(key, (label = { values: new Set(), count: 0 }));
      label.count++;
      if (label.values.size <= MAX_VALUES) label.values.add(value);
    }
  }
  const summary = new Map<string, NodeLabel>();
  let characters = 0;
  for (const [key, { values, count }] of [...found].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const known = values.size > MAX_VALUES ? undefined : [...values].sort();
    summary.set(key, { values: known, onAll: count === nodes.length });
    characters += [key, ...(known ?? [])].join("").length;
  }
  return characters > MAX_CHARACTERS ? undefined : summary;
}

/**
 * Whether what the pod asks of a node's labels keeps it off all of these nodes. One requirement must do so by itself:
 * an entry of the node selector, or one in every term of the required node affinity. What keeps it off one node by this
 * and off another by that is not looked for, and neither are names of nodes, taints, and the operators Gt and Lt.
 * @param nodeLabels of labelsOfNodes
 */
export function staysOff(
  { nodeSelector, nodeTerms }: Pick<PodShape, "nodeSelector" | "nodeTerms">,
  nodeLabels: ReadonlyMap<string, NodeLabel> | undefined,
): boolean {
  if (nodeLabels === undefined) return false;
  const excludes = ({ key, operator, values }: NodeRequirement): boolean => {
    const label = nodeLabels.get(key);
    switch (operator) {
      case "In":
        return label === undefined || (label.values?.every((value) => !values.includes(value)) ?? false);
      case "NotIn":
        return label?.onAll === true && (label.values?.every((value) => values.includes(value)) ?? false);
      case "Exists":
        return label === undefined;
      case "DoesNotExist":
        return label?.onAll === true;
      default:
        return false;
    }
  };
  return (
    Object.entries(nodeSelector).some(([key, value]) => excludes({ key, operator: "In", values: [value] })) ||
    (nodeTerms.length > 0 && nodeTerms.every((term) => term.some(excludes)))
  );
}
