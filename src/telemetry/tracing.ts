import { randomBytes } from "node:crypto";

/** Makes a new trace id on each call: 32 hexadecimal digits, as W3C Trace Context has them. */
export type TraceIds = () => string;

/**
 * @param bytes source of randomness; a test passes its own
 * @returns a generator whose ids are never all zeros, which the standard calls invalid
 */
export function traceIds(bytes: (size: number) => Buffer = randomBytes): TraceIds {
  return () => {
    for (;;) {
      const id = bytes(16);
      if (id.some((byte) => byte !== 0)) return id.toString("hex");
    }
  };
}
