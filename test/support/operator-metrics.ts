/** One line of a scrape. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** One scrape of /metrics. */
export class MetricsReading {
  readonly #samples: readonly Sample[];
  /** Monotonic milliseconds (`performance.now()`) before which the scrape had not begun. */
  readonly startedAt: number;

  /** @param text in the text format of Prometheus */
  constructor(text: string, startedAt: number) {
    this.#samples = text
      .split("\n")
      .map(parseSample)
      .filter((sample) => sample !== undefined);
    this.startedAt = startedAt;
  }

  /** Sum of all series of this name that have these labels; 0 when there is none. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    return this.#matching(name, labels).reduce((sum, { value }) => sum + value, 0);
  }

  /** False when no series of this name has these labels. */
  has(name: string, labels: Readonly<Record<string, string>> = {}): boolean {
    return this.#matching(name, labels).length > 0;
  }

  /** Every series of this name that has these labels; without a name, every series there is. */
  samples(name?: string, labels: Readonly<Record<string, string>> = {}): readonly Sample[] {
    return name === undefined ? this.#samples : this.#matching(name, labels);
  }

  #matching(name: string, labels: Readonly<Record<string, string>>): readonly Sample[] {
    return this.#samples.filter(
      (sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
    );
  }
}

const samplePattern = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const labelPattern = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;

function parseSample(line: string): Sample | undefined {
  const [, name, labelText = "", valueText = ""] = samplePattern.exec(line) ?? [];
  if (name === undefined) return undefined;
  const labels = Object.fromEntries(
    Array.from(labelText.matchAll(labelPattern), ([, key = "", value = ""]) => [key, value.replace(/\\(.)/g, "$1")]),
  );
  const value = valueText === "+Inf" ? Infinity : valueText === "-Inf" ? -Infinity : Number(valueText);
  return { name, labels, value };
}
