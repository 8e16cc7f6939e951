import type { Clock, Random, Timer } from "../../clock/clock.ts";
import type { Trigger } from "../../kube/controller.ts";
import type { InstanceRecord } from "../../registry/port.ts";

/** Unexplained zombies of one such window take their turns in one random order. */
const WINDOW_MS = 1_000;
/** A turn that was not used by then is taken again. */
const TURN_LASTS_MS = 60_000;

/** What waits for its turn. */
interface Waiting {
  readonly key: string;
  readonly record: InstanceRecord;
  readonly trigger: Trigger;
}

export interface TurnsParts {
  readonly clock: Clock;
  readonly random: Random;
  /** Puts them in a random order, spread over groups (plan/spread.ts). */
  readonly spread: <T>(items: readonly T[], groupOf: (item: T) => string, random: Random) => readonly T[];
  /** Called for each when its turn has come, in order. */
  readonly enqueue: (key: string, trigger: Trigger) => void;
}

/**
 * The order in which unexplained zombies may go. They tend to fall due together, sorted by address or service, and a
 * budget that cut off such a line would wipe out one service first. So those that fall due within a window are
 * collected and queued again in a random order that is spread over services.
 */
export class Turns {
  readonly #parts: TurnsParts;
  readonly #waiting = new Map<string, Waiting>();
  readonly #granted = new Map<string, { readonly version: string; readonly at: number }>();
  #timer: Timer | undefined;

  constructor(parts: TurnsParts) {
    this.#parts = parts;
  }

  /** True once, when the record's turn has come; false puts it in line. */
  mayGo(key: string, record: InstanceRecord, trigger: Trigger): boolean {
    const { clock } = this.#parts;
    const turn = this.#granted.get(key);
    this.#granted.delete(key);
    if (turn?.version === record.version && clock.monotonic() - turn.at < TURN_LASTS_MS) return true;
    this.#waiting.set(key, { key, record, trigger });
    this.#timer ??= clock.setTimer(() => this.#deal(), WINDOW_MS);
    return false;
  }

  clear(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#waiting.clear();
    this.#granted.clear();
  }

  #deal(): void {
    const { clock, random, spread, enqueue } = this.#parts;
    this.#timer = undefined;
    const at = clock.monotonic();
    for (const [key, turn] of this.#granted) if (at - turn.at >= TURN_LASTS_MS) this.#granted.delete(key);
    const dealt = spread([...this.#waiting.values()], serviceOf, random);
    this.#waiting.clear();
    for (const { key, record, trigger } of dealt) {
      this.#granted.set(key, { version: record.version, at });
      enqueue(key, trigger);
    }
  }
}

function serviceOf({ record }: Waiting): string {
  return `${record.registry}\n${record.service}`;
}
