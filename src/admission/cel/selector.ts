import type { Selector, SelectorRequirement } from "../../cluster/selector.ts";
import { celString, celStrings } from "./literal.ts";

/**
 * A CEL expression that says whether the selector selects these labels. The selector must be one that compileSelector
 * takes.
 * @param metadata CEL for the object's metadata, such as `object.metadata`
 */
export function celSelector(selector: Selector | undefined, metadata: string): string {
  const requirements = [
    ...Object.entries(selector?.matchLabels ?? {}).map(([key, value]) =>
      requirementOf({ key, operator: "In", values: [value] }, metadata),
    ),
    ...(selector?.matchExpressions ?? []).map((requirement) => requirementOf(requirement, metadata)),
  ];
  return requirements.length === 0 ? "true" : requirements.join(" && ");
}

function requirementOf({ key, operator, values = [] }: SelectorRequirement, metadata: string): string {
  const labels = `${metadata}.labels`;
  const name = celString(key);
  const exists = `has(${labels}) && ${name} in ${labels}`;
  switch (operator) {
    case "In":
      return `(${exists} && ${labels}[${name}] in ${celStrings(values)})`;
    case "NotIn":
      return `!(${exists} && ${labels}[${name}] in ${celStrings(values)})`;
    case "Exists":
      return `(${exists})`;
    default:
      return `!(${exists})`;
  }
}
