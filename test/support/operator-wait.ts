import { setTimeout as delay } from "node:timers/promises";

const POLL_EVERY_MS = 50;

/** What a probe may return for "not yet". */
type NotYet = undefined | null | false;

/**
 * Asks again and again until the probe returns something, and returns that. A probe that throws has not succeeded yet.
 * @param what is awaited, for the message
 * @param within milliseconds; default 30,000
 * @throws Error that says what was awaited, and what the probe threw last
 */
export async function eventually<T>(
  what: string,
  probe: () => T | NotYet | Promise<T | NotYet>,
  within = 30_000,
): Promise<T> {
  const deadline = performance.now() + within;
  let failure: unknown;
  for (;;) {
    try {
      const found = await probe();
      if (found !== undefined && found !== null && found !== false) return found;
      failure = undefined;
    } catch (error) {
      failure = error;
    }
    if (performance.now() >= deadline) throw new Error(`not within ${within / 1000} s: ${what}`, { cause: failure });
    await delay(POLL_EVERY_MS);
  }
}
