import type { Clock, Random } from "../../clock/clock.ts";
import { RegistryError } from "../errors.ts";
import { type ConsulClient, within } from "./client.ts";
import { modifyIndexIn, readKey } from "./kv.ts";
import { destroySession, OwnSession } from "./own-session.ts";
import { type Operation, transact, valueOf } from "./transaction.ts";

export interface CanaryOptions {
  readonly key: string;
  readonly holder: string;
  readonly timeoutMs: number;
  /** See ConsulTiming.canarySessionTtl, milliseconds. */
  readonly sessionTtlMs: number;
  readonly clock: Clock;
  readonly random: Random;
  /** Which part of Consul our keys are in. */
  readonly scope: Readonly<Record<string, string>>;
}

/** A canary that Consul has accepted: a write through Raft, and so a barrier. */
export interface Beat {
  /** Local monotonic milliseconds at which the write began. */
  readonly startedAt: number;
  /** Its place in the one order of all writes, to keys and catalog alike. */
  readonly index: number;
}

/**
 * Writes our key again and again, each time over exactly the canary before. So a store that was wiped or restored from a
 * snapshot is noticed, however far its indexes have come.
 */
export class Canary {
  readonly #options: CanaryOptions;
  readonly #session: OwnSession;
  #highest = 0;
  #last: number | undefined;
  /** Values whose answers were lost since the last canary that is known: one of them may be what lies there. */
  #lost: string[] = [];
  #count = 0;
  #isContinuous = false;

  constructor(options: CanaryOptions) {
    this.#options = options;
    const { clock, timeoutMs, sessionTtlMs, holder } = options;
    this.#session = new OwnSession({
      name: `hygeia canary of ${holder}`,
      ttlSeconds: sessionTtlMs / 1000,
      refreshAfterMs: sessionTtlMs / 3,
      isKeptAlive: true,
      timeoutMs,
      clock,
    });
  }

  /** False from the first sign that the data is not what it was, until {@link restart}. */
  get isContinuous(): boolean {
    return this.#isContinuous;
  }

  /** Whether there is a canary in the data as it is now. */
  get isWritten(): boolean {
    return this.#last !== undefined;
  }

  /** The highest index known now: a consistent read that begins now sees all of it. */
  get highest(): number {
    return this.#highest;
  }

  /** Nothing shows any more that the data is what it was. */
  doubt(): void {
    this.#isContinuous = false;
    this.#last = undefined;
    this.#lost = [];
    this.#highest = 0;
    this.#session.forget();
  }

  /** Whatever is read from now on counts as the beginning. */
  restart(): void {
    this.#isContinuous = true;
  }

  /** @throws RegistryError, or the signal's reason */
  async beat(client: ConsulClient, signal: AbortSignal): Promise<Beat> {
    const { clock, holder, random, timeoutMs } = this.#options;
    this.#count++;
    const value = `${holder} ${String(this.#count)} ${random().toString(36).slice(2)}`;
    const session = await this.#session.id(client, signal);
    const startedAt = clock.monotonic();
    const floor = this.#highest;
    this.#lost.push(value);
    const outcome = await transact(client, this.#operations(value, session), within(timeoutMs, signal));
    if (!outcome.applied) return await this.#conflicted(client, signal);
    const index = modifyIndexIn(outcome.results.at(-1)?.["KV"]);
    this.#lost = [];
    if (index === undefined) throw new RegistryError("NotUnderstood", "a transaction is answered without an index");
    if (index <= floor) {
      throw this.#broken(
        "WentBack",
        `the index went back from ${String(floor)} to ${String(index)}: wiped, or restored from a backup`,
      );
    }
    this.#last = index;
    this.#highest = index;
    return { startedAt, index };
  }

  /** Takes the canary away, as far as the server can be reached. */
  async end(client: ConsulClient, signal: AbortSignal): Promise<void> {
    this.#last = undefined;
    await this.#session.destroy(client, signal);
  }

  #operations(value: string, session: string): readonly Operation[] {
    const { key: Key, scope } = this.#options;
    const write = { ...scope, Key, Value: valueOf(value) };
    // The first one takes the key for our session; the key then goes with the session.
    if (this.#last === undefined) return [{ KV: { ...write, Verb: "lock", Session: session } }];
    return [
      { KV: { ...scope, Verb: "check-session", Key, Session: session } },
      { KV: { ...write, Verb: "cas", Index: this.#last } },
    ];
  }

  /** What lies there is not our last canary: a lost answer hid one, it ran out, or the data is another. */
  async #conflicted(client: ConsulClient, signal: AbortSignal): Promise<Beat> {
    const lying = await readKey(client, this.#options.key, within(this.#options.timeoutMs, signal));
    if (this.#last !== undefined && lying !== undefined && this.#lost.includes(lying.value)) {
      if (lying.index > this.#last) {
        this.#last = lying.index;
        this.#highest = Math.max(this.#highest, lying.index);
        this.#lost = [];
        return await this.beat(client, signal);
      }
    }
    if (this.#last === undefined) {
      // Nothing is lost yet but time: the session was gone before it was used, or a restored store holds an older one of
      // ours, which has the key.
      if (lying !== undefined && lying.session !== "")
        await destroySession(client, lying.session, within(this.#options.timeoutMs, signal));
      this.doubt();
      throw new RegistryError("LeaseNotFound", "the session of our canary is gone: it is written anew");
    }
    if (lying === undefined)
      throw this.#broken("LeaseNotFound", "our canary is gone: its session ran out, or the data was wiped");
    throw this.#broken("WentBack", "another canary than our last one lies there: the data was restored from a backup");
  }

  #broken(code: "WentBack" | "LeaseNotFound", message: string): RegistryError {
    this.doubt();
    return new RegistryError(code, message);
  }
}
