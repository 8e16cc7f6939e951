import type { Clock } from "../../clock/clock.ts";
import { RegistryError } from "../errors.ts";
import type { Fence } from "../port.ts";
import { type ConsulClient, within } from "./client.ts";
import { readKey } from "./kv.ts";
import { destroySession, OwnSession } from "./own-session.ts";
import { transact, valueOf } from "./transaction.ts";

/** Consul forgets the lock one to two of these after its holder, seconds. */
const SESSION_TTL = 60;
/** Attempts to take the lock over from one holder after the other. */
const ATTEMPTS = 4;

export interface LockOptions {
  readonly key: string;
  readonly holder: string;
  readonly scope: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/**
 * The key that every deletion checks in its own transaction. Kubernetes says who leads; the lock makes Consul itself refuse
 * the writes of whoever led before: its session is ended by the next one.
 */
export class Lock {
  readonly #options: LockOptions;
  readonly #session: OwnSession;
  #held: string | undefined;

  constructor(options: LockOptions) {
    this.#options = options;
    const { clock, timeoutMs, holder } = options;
    this.#session = new OwnSession({
      name: `hygeia lock of ${holder}`,
      ttlSeconds: SESSION_TTL,
      refreshAfterMs: (SESSION_TTL * 1000) / 3,
      isKeptAlive: true,
      timeoutMs,
      clock,
    });
  }

  get key(): string {
    return this.#options.key;
  }

  /**
   * Takes the lock if it is not ours yet, also from another holder: the fence says that its time is over.
   * @returns the session that holds it; undefined when the fence is no longer valid
   * @throws RegistryError, or the signal's reason
   */
  async hold(client: ConsulClient, fence: Fence, signal: AbortSignal): Promise<string | undefined> {
    const { key, holder, scope, timeoutMs } = this.#options;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const session = await this.#session.id(client, signal);
      if (session === this.#held) return session;
      if (!fence.isValid()) return undefined;
      const KV = { ...scope, Verb: "lock", Key: key, Session: session, Value: valueOf(holder) };
      const outcome = await transact(client, [{ KV }], within(timeoutMs, signal));
      if (outcome.applied) {
        this.#held = session;
        return session;
      }
      const other = (await readKey(client, key, within(timeoutMs, signal)))?.session ?? "";
      if (other === "" || other === session) this.#session.forget();
      else if (!fence.isValid()) return undefined;
      else await destroySession(client, other, within(timeoutMs, signal));
    }
    throw new RegistryError("NotUnderstood", `the lock ${key} can not be had: others take it again and again`);
  }

  /** A transaction found it in other hands. */
  lost(): void {
    this.#held = undefined;
  }

  /** The data is another one. */
  forget(): void {
    this.#held = undefined;
    this.#session.forget();
  }

  /** Gives it back, as far as the server can be reached. */
  async end(client: ConsulClient, signal: AbortSignal): Promise<void> {
    this.#held = undefined;
    await this.#session.destroy(client, signal);
  }
}
