import type { VirtualTime } from "./virtual-time.ts";

interface Line {
  readonly at: number;
  readonly topics: readonly string[];
  readonly text: string;
}

/** What happened in a simulated world, to be read by a person when a property broke. */
export class Story {
  readonly #time: VirtualTime;
  readonly #start: number;
  readonly #lines: Line[] = [];

  constructor(time: VirtualTime) {
    this.#time = time;
    this.#start = time.monotonic();
  }

  /** @param topics pods, keys, addresses and nodes that the line is about */
  tell(topics: readonly string[], text: string): void {
    this.#lines.push({ at: this.#time.monotonic(), topics, text });
  }

  /** The lines about any of these topics, oldest first, with seconds since the beginning. */
  about(topics: readonly string[]): string {
    const wanted = new Set(topics);
    const chosen = this.#lines.filter((line) => line.topics.length === 0 || line.topics.some((t) => wanted.has(t)));
    return chosen.map(({ at, text }) => `${((at - this.#start) / 1000).toFixed(3).padStart(9)} s  ${text}`).join("\n");
  }
}
