/** How much a finding weighs: `Refused` breaks something that lives, `Warning` may, `Fine` is only stated. */
export type Severity = "Refused" | "Warning" | "Fine";

/** One thing that is said about a policy. */
export interface Finding {
  readonly severity: Severity;
  /** Why, in one CamelCase word that scripts can rely on. */
  readonly code: string;
  /** Path as kubectl explain would write it, with indexes: `spec.keepalive.paths[0]`. */
  readonly field: string;
  /** A sentence for a person, with the numbers and what to write instead. */
  readonly message: string;
}
