/**
 * Base of every error the operator raises itself. `code` is stable: logs, metrics and tests match on it, never on the
 * message. A message says what happened and what to do; it never holds a secret.
 */
export class HygeiaError extends Error {
  /** Stable identifier, CamelCase. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}
