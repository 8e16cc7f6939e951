import { closeSync, existsSync, openSync, readSync } from "node:fs";

/** One line of the operator's log. */
export type LogLine = Readonly<Record<string, unknown>> & {
  /** `text` for a line that is not JSON: what a crash leaves behind. */
  readonly level: string;
  readonly msg: string;
};

const CHUNK = 1 << 20;

/** The log of an operator over all its restarts. */
export class OperatorLog {
  readonly #file: string;
  readonly #lines: LogLine[] = [];
  #offset = 0;
  #rest = Buffer.alloc(0);

  /** @param file to which the process appends */
  constructor(file: string) {
    this.#file = file;
  }

  /** All complete lines so far. */
  get lines(): readonly LogLine[] {
    this.#read();
    return this.#lines;
  }

  /** Lines that have all these fields. */
  having(fields: Readonly<Record<string, unknown>>): LogLine[] {
    const wanted = Object.entries(fields);
    return this.lines.filter((line) => wanted.every(([name, value]) => line[name] === value));
  }

  #read(): void {
    if (!existsSync(this.#file)) return;
    const file = openSync(this.#file, "r");
    const chunk = Buffer.alloc(CHUNK);
    try {
      for (;;) {
        const length = readSync(file, chunk, 0, CHUNK, this.#offset);
        if (length === 0) return;
        this.#offset += length;
        this.#rest = Buffer.concat([this.#rest, chunk.subarray(0, length)]);
        for (let end = this.#rest.indexOf(10); end >= 0; end = this.#rest.indexOf(10)) {
          this.#lines.push(parseLine(this.#rest.toString("utf8", 0, end)));
          this.#rest = this.#rest.subarray(end + 1);
        }
      }
    } finally {
      closeSync(file);
    }
  }
}

function parseLine(text: string): LogLine {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return { level: "text", msg: text };
  }
}
