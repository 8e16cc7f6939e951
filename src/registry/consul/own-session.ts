import type { Clock } from "../../clock/clock.ts";
import { CONSISTENT } from "./catalog.ts";
import { type ConsulCall, type ConsulClient, Refused, within } from "./client.ts";
import { CONSUL_SERVICE } from "./decode.ts";
import { healthEntriesIn } from "./model.ts";

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

interface Current {
  readonly id: Promise<string>;
  /** Local monotonic milliseconds at which it was made or renewed. */
  at: number;
  renewal: Promise<boolean> | undefined;
}

/**
 * A session for keys of ours. With it they leave by themselves, whatever becomes of this process: Consul deletes them with
 * the session.
 */
export class OwnSession {
  readonly #options: OwnSessionOptions;
  #current: Current | undefined;

  constructor(options: OwnSessionOptions) {
    this.#options = options;
  }

  /**
   * The session to write with now. Made and renewed by the first caller for all, who may give up waiting for it.
   * @throws RegistryError, or the signal's reason
   */
  async id(client: ConsulClient, signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => {
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([this.#valid(client), aborted]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
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

  async #valid(client: ConsulClient): Promise<string> {
    const { clock, refreshAfterMs, isKeptAlive } = this.#options;
    const known = this.#current;
    const isOld = known !== undefined && clock.monotonic() - known.at > refreshAfterMs;
    if (known === undefined || (isOld && !isKeptAlive)) return await this.#begin(client);
    const id = await known.id;
    if (!isOld) return id;
    known.renewal ??= this.#renew(client, id).finally(() => {
      known.renewal = undefined;
    });
    if (await known.renewal) {
      known.at = clock.monotonic();
      return id;
    }
    if (this.#current === known) this.#current = undefined;
    return await this.#valid(client);
  }

  async #begin(client: ConsulClient): Promise<string> {
    const current: Current = { id: this.#create(client), at: this.#options.clock.monotonic(), renewal: undefined };
    this.#current = current;
    current.id.catch(() => {
      if (this.#current === current) this.#current = undefined;
    });
    return await current.id;
  }

  async #create(client: ConsulClient): Promise<string> {
    const { name, ttlSeconds } = this.#options;
    const node = await this.#node(client);
    const { body } = await client.run("session.create", this.#call(), (consul, options) =>
      consul.session.create({
        ...options,
        name,
        ttl: `${String(ttlSeconds)}s`,
        behavior: "delete",
        // Whoever takes over must not wait, and no node's health is ours.
        lockdelay: "0s",
        checks: [],
        ...(node === undefined ? {} : { node }),
      }),
    );
    return (body as { readonly ID: string }).ID;
  }

  /** A session belongs to a node. The one that is asked is none of another datacenter: there a server's has to do. */
  async #node(client: ConsulClient): Promise<string | undefined> {
    if (!client.namesDatacenter) return undefined;
    const { body } = await client.run("health.service", this.#call(), (consul, options) =>
      consul.health.service({ ...options, ...CONSISTENT, service: CONSUL_SERVICE, passing: true }),
    );
    return healthEntriesIn(body)[0]?.node.Node;
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
