import { KubeError } from "./http-errors.ts";

const newline = 0x0a;

/**
 * Cuts a byte stream into lines and parses each as JSON. Bytes are searched and copied once; a line that spans chunks is
 * joined only when its end arrives.
 */
export class JsonLines {
  readonly #what: string;
  readonly #maxLineBytes: number;
  #parts: Buffer[] = [];
  #partBytes = 0;

  /**
   * @param what names the stream in errors
   * @param maxLineBytes a longer line is refused, so that a broken peer cannot fill the memory
   */
  constructor(what: string, maxLineBytes: number) {
    this.#what = what;
    this.#maxLineBytes = maxLineBytes;
  }

  /**
   * The lines that end in this chunk, parsed; empty lines are left out.
   * @throws KubeError `BadResponse` for a line that is too long or is not JSON
   */
  push(chunk: Buffer): unknown[] {
    const lines: unknown[] = [];
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(newline, start);
      if (end === -1) break;
      const line = this.#line(chunk.subarray(start, end));
      if (line.length > 0) lines.push(this.#parse(line));
      start = end + 1;
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
    return lines;
  }

  /** Bytes of a line whose end has not come; more than 0 when the stream ends means that it was cut. */
  get pendingBytes(): number {
    return this.#partBytes;
  }

  #line(tail: Buffer): Buffer {
    if (this.#partBytes === 0) {
      this.#check(tail.length);
      return tail;
    }
    this.#keep(tail);
    const whole = Buffer.concat(this.#parts, this.#partBytes);
    this.#parts = [];
    this.#partBytes = 0;
    return whole;
  }

  #keep(part: Buffer): void {
    this.#check(this.#partBytes + part.length);
    this.#parts.push(part);
    this.#partBytes += part.length;
  }

  #check(bytes: number): void {
    if (bytes > this.#maxLineBytes)
      throw new KubeError("BadResponse", `${this.#what} sent a line of more than ${this.#maxLineBytes} bytes`);
  }

  #parse(line: Buffer): unknown {
    try {
      return JSON.parse(line.toString("utf8")) as unknown;
    } catch {
      // The parser's own message quotes the text, which may be a Secret.
      throw new KubeError("BadResponse", `${this.#what} sent a line of ${line.length} bytes that is not JSON`);
    }
  }
}
