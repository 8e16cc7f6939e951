/** What the API server says to objects that keep to a rule between fields, and to those that break it. */
export interface RuleCase {
  /** The beginning of the rule's message. */
  readonly message: string;
  /** Where the API server says the mistake is. */
  readonly field: string;
  readonly accepted: readonly object[];
  readonly refused: readonly object[];
}
