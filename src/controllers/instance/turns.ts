import type { Clock, Random, Timer } from "../../clock/clock.ts";
import type { InstanceRecord } from "../../registry/port.ts";

/** Unexplained zombies of one such window take their turns in one random order. */
const WINDOW_MS = 1_000;
/** A turn that was not used by then is taken again. */
const TURN_LASTS_MS = 60_000;

/** Puts records in a random order, spread over services (plan/spread.ts). */
export type Spread = (records: readonly InstanceRecord[], random: Random) => readonly InstanceRecord[];

/**
 * The order in which unexplained zombies may go. They tend to fall due together, sorted by address or service, and a
 * budget that cut off such a line would wipe out one service first. So those that fall due within a window are
 * collected and queued again in a random order that is spread over services.
 */
export class Turns {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #spread: Spread;
  readonly #enqueue: (record: InstanceRecord) => void;
  readonly #waiting = new Map<string, InstanceRecord>();
  readonly #granted = new Map<string, { readonly version: string; readonly at: number }>();
  #timer: Timer | undefined;

  constructor(parts: { clock: Clock; random: Random; spread: Spread; enqueue: (record: InstanceRecord) => void }) {
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.#spread = parts.spread;
    this.#enqueue = parts.enqueue;
  }

  /** True once, when the record's turn has come; false puts it in line. */
  mayGo(key: string, record: InstanceRecord): boolean {
    const turn = this.#granted.get(key);
    this.#granted.delete(key);
    if (turn?.version === record.version && this.#clock.monotonic() - turn.at < TURN_LASTS_MS) return true;
    this.#waiting.set(key, record);
    this.#timer ??= this.#clock.setTimer(() => {
      this.#deal();
    }, WINDOW_MS);
    return false;
  }

  clear(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#waiting.clear();
    this.#granted.clear();
  }

  #deal(): void {
    this.#timer = undefined;
    const at = this.#clock.monotonic();
    for (const [key, turn] of this.#granted) if (at - turn.at >= TURN_LASTS_MS) this.#granted.delete(key);
    const keys = new Map([...this.#waiting].map(([key, record]) => [record, key]));
    this.#waiting.clear();
    for (const record of this.#spread([...keys.keys()], this.#random)) {
      const key = keys.get(record);
      if (key === undefined) continue;
      this.#granted.set(key, { version: record.version, at });
      this.#enqueue(record);
    }
  }
}
