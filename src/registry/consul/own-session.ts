import type { Clock } from "../../clock/clock.ts";
import { type ConsulCall, type ConsulClient, Refused, within } from "./client.ts";

export interface OwnSessionOptions {
  /** For a person who lists sessions. */
  readonly name: string;
  /** 10 s to 24 h. Consul forgets a silent session after one to two of these, and its keys with it. */
  readonly ttlSeconds: number;
  /** Milliseconds after which the session is renewed, or replaced where it is not kept alive. */
  readonly refreshAfterMs: number;
  /** False: a new session takes over, and the old one runs out with the keys it has. */
  readonly isKeptAlive: boolean;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/**
 * A session for keys of ours. With it they leave by themselves, whatever becomes of this process: Consul deletes them with
 * the session.
 */
export class OwnSession {
  readonly #options: OwnSessionOptions;
  #current: { readonly id: Promise<string>; at: number } | undefined;

  constructor(options: OwnSessionOptions) {
    this.#options = options;
  }

  /**
   * The session to write with now. Made by the first caller for all.
   * @throws RegistryError
   */
  async id(client: ConsulClient): Promise<string> {
    const { clock, refreshAfterMs, isKeptAlive } = this.#options;
    const now = clock.monotonic();
    const known = this.#current;
    if (known !== undefined && now - known.at <= refreshAfterMs) return await known.id;
    if (known === undefined || !isKeptAlive) return await this.#begin(client, now);
    const id = await known.id;
    if (!(await this.#renew(client, id))) {
      if (this.#current === known) this.#current = undefined;
      return await this.id(client);
    }
    known.at = now;
    return id;
  }

  /** The session is gone, or belongs to data that is no more. */
  forget(): void {
    this.#current = undefined;
  }

  /** Ends the session and all keys it holds, as far as the server can be reached. */
  async destroy(client: ConsulClient, signal: AbortSignal): Promise<void> {
    const known = this.#current;
    this.#current = undefined;
    if (known === undefined) return;
    await destroySession(client, await known.id, within(this.#options.timeoutMs, signal));
  }

  async #begin(client: ConsulClient, now: number): Promise<string> {
    const { name, ttlSeconds } = this.#options;
    const id = client
      .run("session.create", this.#call(), (consul, options) =>
        consul.session.create({
          ...options,
          name,
          ttl: `${String(ttlSeconds)}s`,
          behavior: "delete",
          // Whoever takes over must not wait, and no node's health is ours.
          lockdelay: "0s",
          checks: [],
        }),
      )
      .then(({ body }) => (body as { readonly ID: string }).ID);
    const current = { id, at: now };
    this.#current = current;
    id.catch(() => {
      if (this.#current === current) this.#current = undefined;
    });
    return await id;
  }

  async #renew(client: ConsulClient, id: string): Promise<boolean> {
    try {
      await client.run(
        "session.renew",
        this.#call(),
        (consul, options) => consul.session.renew({ ...options, id }),
        [404],
      );
      return true;
    } catch (error) {
      if (error instanceof Refused) return false;
      throw error;
    }
  }

  /** Shared by all callers, so that none of them may cancel it. */
  #call(): ConsulCall {
    return within(this.#options.timeoutMs, new AbortController().signal);
  }
}

/** Ends a session, ours or that of a predecessor. */
export async function destroySession(client: ConsulClient, id: string, call: ConsulCall): Promise<void> {
  await client.run("session.destroy", call, (consul, options) => consul.session.destroy({ ...options, id }));
}
