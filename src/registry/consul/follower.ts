import { Backoff } from "../../kube/backoff.ts";
import { RegistryError } from "../errors.ts";
import type { RegistrySink } from "../port.ts";
import type { ConsulClient } from "./client.ts";
import { type Position, Stretch, type StretchOptions } from "./stretch.ts";

/** A reconnect this long after the last trouble begins with the shortest wait again, milliseconds. */
const FORGIVE_AFTER = 30_000;

/** Follows Consul for as long as it is asked to: one stretch after another, over one endpoint after another. */
export class Follower {
  readonly #options: StretchOptions;
  readonly #client: () => ConsulClient;
  readonly #backoff: Backoff;
  readonly #position: Position = { index: 0, complete: 0, cause: "Start", clusterId: "" };
  #stretch = new AbortController();

  /** @param client the one in use now; asked for at the start of each stretch */
  constructor(options: StretchOptions, client: () => ConsulClient) {
    this.#options = options;
    this.#client = client;
    const { clock, random, timing } = options;
    const { reconnectMin: firstMs, reconnectMax: maxMs } = timing;
    this.#backoff = new Backoff({ clock, random, firstMs, maxMs, resetAfterMs: FORGIVE_AFTER });
  }

  /** Ends only when the signal aborts. Never rejects. */
  async run(sink: RegistrySink, signal: AbortSignal): Promise<void> {
    const { publisher } = this.#options;
    publisher.begin(sink);
    while (!signal.aborted) await this.#runStretch(signal);
    publisher.end();
  }

  /** Begins a new stretch at once: there is another client to use. */
  restart(): void {
    this.#stretch.abort(new RegistryError("Unreachable", "the connection was configured anew"));
  }

  async #runStretch(signal: AbortSignal): Promise<void> {
    this.#stretch = new AbortController();
    const restarted = this.#stretch.signal;
    const client = this.#client();
    try {
      await new Stretch(this.#options, client, this.#position, AbortSignal.any([signal, restarted])).run();
    } catch (error) {
      if (signal.aborted || restarted.aborted) return;
      this.#failed(error);
      client.rotate();
      await this.#wait(AbortSignal.any([signal, restarted]));
    }
  }

  #failed(error: unknown): void {
    const { canary, publisher } = this.#options;
    this.#position.cause = error instanceof RegistryError ? error.code : "InternalError";
    if (!canary.isContinuous) publisher.reset();
    publisher.failed(
      error instanceof RegistryError ? error : { code: "InternalError", message: `a fault of ours: ${String(error)}` },
    );
  }

  async #wait(signal: AbortSignal): Promise<void> {
    try {
      await this.#options.clock.sleep(this.#backoff.next(), signal);
    } catch {
      // Aborted: the loop looks at the signal.
    }
  }
}
