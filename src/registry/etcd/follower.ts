import { Backoff } from "../../kube/backoff.ts";
import { RegistryError } from "../errors.ts";
import type { RegistrySink } from "../port.ts";
import type { EtcdClient } from "./client.ts";
import { type Position, Session, type SessionOptions } from "./session.ts";

/** A reconnect this long after the last trouble begins with the shortest wait again, milliseconds. */
const FORGIVE_AFTER = 30_000;

/** Follows etcd for as long as it is asked to: one session after another, over one member after another. */
export class Follower {
  readonly #options: SessionOptions;
  readonly #client: () => EtcdClient;
  readonly #backoff: Backoff;
  readonly #position: Position = { revisions: undefined, cause: "Start", removed: new Map() };
  #session = new AbortController();

  /** @param client the one in use now; asked for at the start of each session */
  constructor(options: SessionOptions, client: () => EtcdClient) {
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
    while (!signal.aborted) await this.#runSession(signal);
    publisher.end();
  }

  /** Begins a new session at once: there is another client to use. */
  restart(): void {
    this.#session.abort(new RegistryError("Unreachable", "the connection was configured anew"));
  }

  async #runSession(signal: AbortSignal): Promise<void> {
    this.#session = new AbortController();
    const restarted = this.#session.signal;
    const client = this.#client();
    try {
      await new Session(this.#options, client, this.#position, AbortSignal.any([signal, restarted])).run();
    } catch (error) {
      if (signal.aborted || restarted.aborted) return;
      this.#failed(error);
      client.rotate();
      await this.#wait(AbortSignal.any([signal, restarted]));
    }
  }

  #failed(error: unknown): void {
    const { state, publisher } = this.#options;
    if (!state.canary.isContinuous) {
      this.#position.revisions = undefined;
      if (error instanceof RegistryError) this.#position.cause = error.code;
      state.proof.reset();
      publisher.unsynced();
    }
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
