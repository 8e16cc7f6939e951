/** What the demo shows: numbered steps, indented output of kubectl, and times. */
export class Screen {
  readonly #startedAt = performance.now();
  #step = 0;

  step(title: string): void {
    this.#step += 1;
    process.stdout.write(`\n[${this.#seconds()}] ${this.#step}. ${title}\n`);
  }

  say(text: string): void {
    process.stdout.write(`          ${text}\n`);
  }

  /** Prints a command as a person would type it, and what it answered. */
  command(line: string, output: string): void {
    this.say(`$ ${line}`);
    for (const row of output.trimEnd().split("\n")) this.say(row);
  }

  #seconds(): string {
    return `${((performance.now() - this.#startedAt) / 1000).toFixed(1).padStart(5)} s`;
  }
}

/** Something the demo promised did not come true. */
export class BrokenPromise extends Error {}

/** @throws BrokenPromise unless it holds */
export function promised(what: string, holds: boolean): void {
  if (!holds) throw new BrokenPromise(what);
}
