import { pino } from "pino";
import type { DestinationStream, Logger as PinoLogger } from "pino";

import { redactText, writableFields } from "./redact.ts";

/**
 * The operator's logger: one JSON object a line, with `level` and `time` as text. Whoever works for long holds a child
 * with `controller`, `registry` and the like; every line of one decision carries the same `traceId`.
 */
export type Logger = Pick<PinoLogger, "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "isLevelEnabled"> & {
  /** A logger whose lines all carry these fields too. */
  child(fields: Record<string, unknown>): Logger;
};

export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

export interface LogOptions {
  /** The least severe level that is written; default `info`. */
  readonly level?: LogLevel;
  /** Default standard output, written synchronously: nothing is lost when the process is killed. */
  readonly destination?: DestinationStream;
  /** Fields of every line, such as the identity of this replica. */
  readonly fields?: Record<string, unknown>;
}

/**
 * Makes the root logger. Secrets are kept out three times: values under a secret's name are replaced at any depth, of
 * errors only known fields are written, and what looks like a credential in running text is replaced.
 */
export function createLogger(options: LogOptions = {}): Logger {
  const destination = options.destination ?? pino.destination({ fd: 1, sync: true });
  const root = pino(
    {
      level: options.level ?? "info",
      base: options.fields === undefined ? null : writableFields(options.fields),
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: writableFields },
      // Errors are already plain fields by then; pino's own serializer would add every property of theirs.
      serializers: { err: (error: unknown) => error },
      hooks: { streamWrite: redactText },
    },
    destination,
  );
  // A child's fields bypass the formatters above. Children inherit this method from their parent.
  const prototype = Object.getPrototypeOf(root) as Pick<PinoLogger, "child">;
  return Object.assign(root, {
    child(this: PinoLogger, fields: Record<string, unknown>): Logger {
      return prototype.child.call(this, writableFields(fields));
    },
  }) satisfies Logger;
}
