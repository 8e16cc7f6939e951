import type { Clock, Timer } from "../../clock/clock.ts";
import { RegistryError } from "../errors.ts";
import type { Endpoint } from "../port.ts";

/** What a process registers. */
export interface MemoryRegistration {
  readonly id: string;
  readonly service: string;
  readonly instance: string;
  readonly endpoints: readonly Endpoint[];
  readonly metadata?: Readonly<Record<string, string>>;
  /** 0 = for ever. */
  readonly ttlMs: number;
}

/** A registration as it is held. */
export interface MemoryEntry {
  readonly registration: MemoryRegistration;
  readonly revision: number;
  /** Differs from process to process. */
  readonly lease: number;
}

/** What a connection is told. */
export interface MemoryListener {
  onChange(id: string, entry: MemoryEntry | undefined, revision: number): void;
  /** The connection broke. */
  onBroken(error: RegistryError): void;
}

interface Lease {
  expiresAt: number;
  timer: Timer | undefined;
}

/** A registry server inside the process: the in-memory adapter's other side, with the faults tests ask for. */
export class MemoryRegistry {
  readonly #clock: Clock;
  readonly #entries = new Map<string, MemoryEntry>();
  readonly #leases = new Map<number, Lease>();
  readonly #listeners = new Set<MemoryListener>();
  readonly #undo = new Map<string, string>();
  #revision = 1;
  #lastLease = 0;
  #data = 1;
  #isDown = false;
  /** What waits for the end of a hold, in order; undefined while nothing is held. */
  #held: (() => void)[] | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get revision(): number {
    return this.#revision;
  }

  /** Names the data; another one after {@link wipe}. */
  get dataId(): string {
    return `memory-${String(this.#data)}`;
  }

  /** Text of our undo records, by key. */
  get undoRecords(): ReadonlyMap<string, string> {
    return this.#undo;
  }

  entries(): readonly MemoryEntry[] {
    return [...this.#entries.values()];
  }

  get(id: string): MemoryEntry | undefined {
    return this.#entries.get(id);
  }

  /** A new process registers, in place of whoever had the id. */
  register(registration: MemoryRegistration): void {
    this.#lastLease++;
    this.#write(registration, this.#lastLease);
    this.keepAlive(registration.id);
  }

  /** The process that registered writes the same once more. */
  rewrite(id: string): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined) this.#write(entry.registration, entry.lease);
  }

  /** The process that registered says that it lives. */
  keepAlive(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.registration.ttlMs === 0) return;
    const { ttlMs } = entry.registration;
    const lease = this.#leases.get(entry.lease);
    lease?.timer?.cancel();
    const timer = this.#clock.setTimer(() => {
      if (this.#entries.get(id)?.lease === entry.lease) this.remove(id);
    }, ttlMs);
    this.#leases.set(entry.lease, { expiresAt: this.#clock.monotonic() + ttlMs, timer });
  }

  remove(id: string): void {
    if (!this.#entries.delete(id)) return;
    this.#revision++;
    this.#tell(id, undefined);
  }

  /** Removes exactly this revision and keeps an undo record. */
  removeIf(id: string, revision: number, undoKey: string, undo: string): boolean {
    if (this.#entries.get(id)?.revision !== revision) return false;
    this.#undo.set(undoKey, undo);
    this.remove(id);
    return true;
  }

  /** Milliseconds until the lease runs out; undefined without one. */
  remaining(lease: number): number | undefined {
    const known = this.#leases.get(lease);
    return known === undefined ? undefined : Math.max(0, known.expiresAt - this.#clock.monotonic());
  }

  /** All data is lost, as if another server had taken the address. */
  wipe(): void {
    this.#entries.clear();
    this.#revision = 1;
    this.#data++;
    this.#breakAll("the server was started anew");
  }

  /** From here on it refuses everybody, until {@link up}. */
  down(): void {
    this.#isDown = true;
    this.#breakAll("the server is down");
  }

  up(): void {
    this.#isDown = false;
  }

  /** Keeps connections, but answers and sends nothing until {@link release}. */
  hold(): void {
    this.#held ??= [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const deliver of held) deliver();
  }

  /**
   * One request's way to the server.
   * @throws RegistryError `Unreachable` or `TimedOut`, or the signal's reason
   */
  async reach(timeoutMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#isDown) throw new RegistryError("Unreachable", "the server is down");
    const held = this.#held;
    if (held === undefined) return;
    const answered = new AbortController();
    held.push(() => {
      answered.abort();
    });
    try {
      await this.#clock.sleep(timeoutMs, AbortSignal.any([signal, answered.signal]));
    } catch {
      signal.throwIfAborted();
      return;
    }
    throw new RegistryError("TimedOut", "no answer in time");
  }

  /** @returns what ends the connection */
  connect(listener: MemoryListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #write(registration: MemoryRegistration, lease: number): void {
    this.#revision++;
    const entry = { registration, revision: this.#revision, lease };
    this.#entries.set(registration.id, entry);
    this.#tell(registration.id, entry);
  }

  #tell(id: string, entry: MemoryEntry | undefined): void {
    const revision = this.#revision;
    for (const listener of this.#listeners) {
      const deliver = (): void => {
        if (this.#listeners.has(listener)) listener.onChange(id, entry, revision);
      };
      if (this.#held === undefined) deliver();
      else this.#held.push(deliver);
    }
  }

  #breakAll(message: string): void {
    const broken = [...this.#listeners];
    this.#listeners.clear();
    for (const listener of broken) listener.onBroken(new RegistryError("Unreachable", message));
  }
}
