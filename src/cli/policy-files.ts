import { readFileSync } from "node:fs";

import { parseAllDocuments } from "yaml";

import {
  API_VERSION,
  parseRegistrationPolicy,
  unknownPolicyFields,
  type RegistrationPolicy,
} from "../api/v1alpha1/index.ts";
import { podRuleProblems } from "../lint/pod-rules.ts";

/** A RegistrationPolicy that fits the schema. */
export interface PolicyInFile {
  readonly file: string;
  readonly policy: RegistrationPolicy;
}

/** Why part of a file is not a policy that an API server would take. */
export interface FileProblem {
  readonly file: string;
  /** `RegistrationPolicy shop`, or `document 2`; undefined where it is about the file. */
  readonly where: string | undefined;
  /** Undefined where it is not about a field. */
  readonly field: string | undefined;
  readonly message: string;
}

export interface FileContent {
  readonly policies: readonly PolicyInFile[];
  readonly problems: readonly FileProblem[];
}

/** A file that stands for standard input. */
const STANDARD_INPUT = "-";

/** Reads the RegistrationPolicies in a file of YAML documents. Other kinds are passed over. Never throws. */
export function readPolicies(file: string): FileContent {
  const problem = (message: string, where?: string, field?: string): FileProblem => ({ file, where, field, message });
  let text: string;
  try {
    text = readFileSync(file === STANDARD_INPUT ? process.stdin.fd : file, "utf8");
  } catch (error) {
    return { policies: [], problems: [problem(whyUnreadable(error))] };
  }
  const policies: PolicyInFile[] = [];
  const problems: FileProblem[] = [];
  const otherKinds = new Set<string>();
  for (const [index, value] of documentsOf(text, (message) => problems.push(problem(message)))) {
    if (value === null) continue;
    const kind = kindOf(value);
    if (kind === undefined) {
      const message = `is not a Kubernetes object: write apiVersion: ${API_VERSION} and kind: RegistrationPolicy`;
      problems.push(problem(message, `document ${index + 1}`));
    } else if (kind !== "RegistrationPolicy") {
      otherKinds.add(kind);
    } else {
      const name = nameOf(value);
      const where = name === undefined ? `document ${index + 1}` : `RegistrationPolicy ${name}`;
      const checked = check(value);
      if (checked.policy !== undefined) policies.push({ file, policy: checked.policy });
      problems.push(...checked.problems.map(({ field, message }) => problem(message, where, field)));
    }
  }
  if (policies.length === 0 && problems.length === 0) {
    const found = otherKinds.size === 0 ? "nothing" : [...otherKinds].join(", ");
    problems.push(problem(`holds no RegistrationPolicy, but ${found}`));
  }
  return { policies, problems };
}

/** Each object of the documents with the index of its document; the items of a List one by one. */
function documentsOf(text: string, refuse: (message: string) => void): readonly (readonly [number, unknown])[] {
  return [...parseAllDocuments(text)].flatMap((document, index): (readonly [number, unknown])[] => {
    const [error] = document.errors;
    if (error !== undefined) {
      // The first line of the message; what follows shows the text again.
      refuse(`is not valid YAML: ${(error.message.split("\n")[0] ?? "").replace(/:$/, "")}`);
      return [];
    }
    try {
      const value: unknown = document.toJS();
      return itemsOf(value).map((item) => [index, item] as const);
    } catch (cause) {
      refuse(`is not valid YAML: ${cause instanceof Error ? cause.message : String(cause)}`);
      return [];
    }
  });
}

/** What `kubectl get -o yaml` writes of several objects. */
function itemsOf(value: unknown): readonly unknown[] {
  const { items } = (value ?? {}) as { readonly items?: unknown };
  const isList = /^(RegistrationPolicy)?List$/.test(kindOf(value) ?? "");
  return isList && Array.isArray(items) ? items : [value];
}

function check(value: unknown): {
  readonly policy?: RegistrationPolicy;
  readonly problems: readonly { readonly field: string; readonly message: string }[];
} {
  const unknown = unknownPolicyFields(value);
  const parsed = parseRegistrationPolicy(value);
  if (!parsed.ok) return { problems: [...parsed.problems, ...unknown] };
  const problems = [...podRuleProblems(parsed.object.spec), ...unknown];
  return problems.length > 0 ? { problems } : { policy: parsed.object, problems };
}

function kindOf(value: unknown): string | undefined {
  const { kind } = (value ?? {}) as { readonly kind?: unknown };
  return typeof kind === "string" ? kind : undefined;
}

function nameOf(value: unknown): string | undefined {
  const { metadata } = value as { readonly metadata?: { readonly name?: unknown } | null };
  return typeof metadata?.name === "string" ? metadata.name : undefined;
}

function whyUnreadable(error: unknown): string {
  const { code } = error as { readonly code?: unknown };
  if (code === "ENOENT") return "there is no such file";
  if (code === "EISDIR") return "is a folder: name a file";
  return `can not be read: ${typeof code === "string" ? code : String(error)}`;
}
