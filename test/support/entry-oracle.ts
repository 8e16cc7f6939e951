import { stateAt, type TruthLog } from "./truth.ts";

/** An entry that left a registry. */
export interface EntryDeparture {
  readonly id: string;
  /** Monotonic milliseconds (`performance.now()`) when we heard of it. */
  readonly at: number;
}

/**
 * The independent recorder for a registry that keeps no history. It is told by a watch of its own which entries leave,
 * knows from the truth log which pods live, and remembers as a violation every entry that left, or is missing, while a
 * pod that registered it lives. {@link verify} throws them.
 */
export class EntryOracle {
  readonly #truth: TruthLog;
  readonly #list: () => Promise<ReadonlySet<string>>;
  /** UIDs of the pods whose processes registered an id, all of them. */
  readonly #writers = new Map<string, Set<string>>();
  readonly #departures: EntryDeparture[] = [];
  readonly #violations: string[] = [];
  readonly #listeners = new Set<() => void>();
  #isLost = false;

  /** @param list everything that is registered now, consistently read */
  constructor(truth: TruthLog, list: () => Promise<ReadonlySet<string>>) {
    this.#truth = truth;
    this.#list = list;
  }

  get departures(): readonly EntryDeparture[] {
    return this.#departures;
  }

  /** A pod's process is about to register itself under this id. */
  registering(id: string, podUid: string): void {
    const writers = this.#writers.get(id);
    if (writers === undefined) this.#writers.set(id, new Set([podUid]));
    else writers.add(podUid);
  }

  /** The watch has seen the entry leave. */
  left(id: string): void {
    const at = performance.now();
    if (this.#isLost || !this.#writers.has(id)) return;
    this.#departures.push({ id, at });
    const living = this.#livingWriter(id, at);
    if (living !== undefined) this.#violations.push(`${id} was taken away while its pod ${living} lived`);
    for (const listener of this.#listeners) listener();
  }

  /** The test itself takes the registry's data away: what leaves from here on says nothing, until {@link registered} again. */
  registryLost(): void {
    this.#isLost = true;
    this.#writers.clear();
  }

  /** The registry runs again, empty; what is registered from now on counts. */
  registryBack(): void {
    this.#isLost = false;
  }

  /**
   * Waits until the entry has left.
   * @param timeout milliseconds
   * @throws Error when it is still there by then
   */
  async departure(id: string, timeout = 30_000): Promise<EntryDeparture> {
    const found = (): EntryDeparture | undefined => this.#departures.findLast((departure) => departure.id === id);
    const { promise, resolve, reject } = Promise.withResolvers<EntryDeparture>();
    const look = (): void => {
      const departure = found();
      if (departure !== undefined) resolve(departure);
    };
    const timer = setTimeout(() => {
      reject(new Error(`${id} has not left the registry after ${String(timeout / 1000)} s`));
    }, timeout);
    this.#listeners.add(look);
    try {
      look();
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#listeners.delete(look);
    }
  }

  /** @throws Error that names every entry that left, or is missing, while its pod lives */
  async verify(): Promise<void> {
    const listed = await this.#list();
    const now = performance.now();
    for (const id of this.#writers.keys()) {
      const living = listed.has(id) ? undefined : this.#livingWriter(id, now);
      if (living !== undefined) this.#violations.push(`${id} is missing while its pod ${living} lives`);
    }
    if (this.#violations.length === 0) return;
    throw new Error(
      `the oracle saw ${String(this.#violations.length)} violations:\n${[...new Set(this.#violations)].join("\n")}`,
    );
  }

  #livingWriter(id: string, at: number): string | undefined {
    for (const uid of this.#writers.get(id) ?? []) {
      const pod = this.#truth.pod(uid);
      if (pod !== undefined && stateAt(pod, at) !== "Dead") return `${pod.namespace}/${pod.name} (${uid})`;
    }
    return undefined;
  }
}
