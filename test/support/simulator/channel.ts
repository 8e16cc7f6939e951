import type { SeededRandom } from "./random.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** A stream from a server to the operator: keeps the order, loses nothing but all at once when it breaks. */
export class Channel {
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  #lastAt = -Infinity;
  #generation = 0;
  #slowUntil = -Infinity;
  #stalledUntil = -Infinity;

  constructor(time: VirtualTime, random: SeededRandom) {
    this.#time = time;
    this.#random = random;
  }

  /** Runs `receive` when the message arrives, never when the stream breaks before. */
  send(receive: () => void): void {
    const now = this.#time.monotonic();
    this.#lastAt = Math.max(this.#lastAt, this.#stalledUntil, now + this.#lag(now));
    const generation = this.#generation;
    this.#time.after(this.#lastAt - now, () => {
      if (generation === this.#generation) receive();
    });
  }

  /** What is under way is lost. */
  break(): void {
    this.#generation += 1;
    this.#lastAt = -Infinity;
  }

  /** Seconds of delay for each message until then. */
  slowFor(ms: number): void {
    this.#slowUntil = this.#time.monotonic() + ms;
  }

  /** Nothing arrives until then. */
  stallFor(ms: number): void {
    this.#stalledUntil = this.#time.monotonic() + ms;
  }

  #lag(now: number): number {
    return now < this.#slowUntil ? this.#random.between(300, 8_000) : this.#random.delay(1, 150);
  }
}
