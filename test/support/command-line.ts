/** Command lines of the commands that are no part of the operator: its own way (src/flags.ts), in small. */

/** A flag as parseArgs() takes it, and what `--help` says of it. */
export interface FlagText {
  readonly type: "string" | "boolean";
  readonly default?: string | boolean;
  /** How its value is called; absent for one that has none. */
  readonly value?: string;
  readonly help: string;
}

/** Every command has it. */
export const helpFlag = { type: "boolean", default: false, help: "show this text" } as const satisfies FlagText;

/** A command line that is not understood; the message names the flag and says what to write. */
export class UsageError extends Error {}

/** Lines on what the command does, and one for each flag. */
export function usageOf(head: readonly string[], flags: Readonly<Record<string, FlagText>>): string {
  const rows = Object.entries(flags).map(([name, { value, help, default: preset }]) => {
    const written = value === undefined ? name : `${name} ${value}`;
    return `    --${written.padEnd(28)} ${help}${typeof preset === "string" ? ` (default ${preset})` : ""}`;
  });
  return [...head, "flags", ...rows, ""].join("\n");
}

/**
 * Tells of a command line that is not understood in one line, as exit code 2.
 * @returns false when the error is another one
 */
export function toldOfUsage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { readonly code?: unknown };
  const isOurs = error instanceof UsageError || (typeof code === "string" && code.startsWith("ERR_PARSE_ARGS"));
  if (!isOurs) return false;
  process.stderr.write(`${error.message}; --help shows all flags\n`);
  process.exitCode = 2;
  return true;
}
