import type { Clock, Random } from "../clock/clock.ts";
import { Backoff } from "./backoff.ts";
import { KubeError } from "./http-errors.ts";
import type { KubeTransport } from "./transport.ts";

const DEADLINE_MS = 10_000;
/** A server is upgraded now and then while we run. */
const AGAIN_EVERY_MS = 3_600_000;

interface ServerVersionParts {
  readonly transport: Pick<KubeTransport, "request">;
  readonly clock: Clock;
  readonly random: Random;
}

/** The version of the API server, asked when run() begins, until it is known, and again from time to time. */
export class ServerVersion {
  readonly #parts: ServerVersionParts;
  readonly #listeners = new Set<() => void>();
  #minor: number | undefined;

  constructor(parts: ServerVersionParts) {
    this.#parts = parts;
  }

  /** 36 for v1.36.3; undefined until it is known. */
  get minor(): number | undefined {
    return this.#minor;
  }

  /** Called when the version changed. @returns takes the subscription back */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Works until the signal aborts, then resolves. Failures are tried again, with growing waits. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const backoff = new Backoff(this.#parts);
    try {
      for (;;) await clock.sleep(await this.#ask(backoff, signal), signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** @returns milliseconds until it is to be asked again */
  async #ask(backoff: Backoff, signal: AbortSignal): Promise<number> {
    try {
      const request = { method: "GET", path: "/version", deadlineMs: DEADLINE_MS, signal } as const;
      const minor = minorOf((await this.#parts.transport.request(request)).body);
      if (minor !== this.#minor) {
        this.#minor = minor;
        for (const listener of this.#listeners) listener();
      }
      return AGAIN_EVERY_MS;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof KubeError)) throw error;
      return backoff.next(error.retryAfterMs);
    }
  }
}

/** Some providers write `29+`. @throws KubeError `BadResponse` */
function minorOf(body: unknown): number {
  const { major, minor } = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const digits = typeof minor === "string" ? /^\d{1,4}/.exec(minor)?.[0] : undefined;
  if (major !== "1" || digits === undefined) throw new KubeError("BadResponse", "/version does not say a version 1.x");
  return Number(digits);
}
