import { HygeiaError } from "../errors.ts";

/** A label selector as Kubernetes writes it. */
export interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly SelectorRequirement[];
}

export interface SelectorRequirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

/** Says whether these labels are selected. */
export type LabelPredicate = (labels: Readonly<Record<string, string>>) => boolean;

/** A selector that can not be meant. `field` is its path inside the selector: `matchExpressions[0].values`. */
export class SelectorError extends HygeiaError {
  readonly field: string;

  constructor(field: string, message: string) {
    super("InvalidSelector", `${field}: ${message}`);
    this.field = field;
  }
}

const name = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const prefix = /^(?=.{1,253}$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;

/**
 * Makes a selector into a predicate, with the API server's rules: all requirements must hold, NotIn holds where the
 * label is missing, and a selector without requirements (or none) selects everything.
 * @throws SelectorError for a requirement that the API server would refuse as well
 */
export function compileSelector(selector: Selector | undefined): LabelPredicate {
  const requirements: LabelPredicate[] = [];
  for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) {
    const field = `matchLabels[${key}]`;
    requireKey(key, field);
    requireValue(value, field);
    requirements.push((labels) => valueOf(labels, key) === value);
  }
  selector?.matchExpressions?.forEach((requirement, i) => {
    requirements.push(compileRequirement(requirement, `matchExpressions[${i}]`));
  });
  return (labels) => requirements.every((holds) => holds(labels));
}

function compileRequirement({ key, operator, values = [] }: SelectorRequirement, field: string): LabelPredicate {
  requireKey(key, `${field}.key`);
  values.forEach((value, i) => {
    requireValue(value, `${field}.values[${i}]`);
  });
  const listed: ReadonlySet<string | undefined> = new Set(values);
  switch (operator) {
    case "In":
    case "NotIn":
      if (values.length === 0) throw new SelectorError(`${field}.values`, `${operator} needs at least one value`);
      return (labels) => listed.has(valueOf(labels, key)) === (operator === "In");
    case "Exists":
    case "DoesNotExist":
      if (values.length > 0) throw new SelectorError(`${field}.values`, `${operator} takes no values`);
      return (labels) => (valueOf(labels, key) !== undefined) === (operator === "Exists");
    default:
      throw new SelectorError(`${field}.operator`, `"${operator}" is not one of In, NotIn, Exists, DoesNotExist`);
  }
}

/** A label may be called `constructor`. */
function valueOf(labels: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function requireKey(key: string, field: string): void {
  const slash = key.indexOf("/");
  if ((slash < 0 || prefix.test(key.slice(0, slash))) && name.test(key.slice(slash + 1))) return;
  throw new SelectorError(field, `"${key}" is not a label key`);
}

function requireValue(value: string, field: string): void {
  if (value !== "" && !name.test(value)) throw new SelectorError(field, `"${value}" is not a label value`);
}
