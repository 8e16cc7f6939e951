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
  /** `No`: a delete is answered and does nothing, as for an instance that hangs on a connection. Default `Yes`. */
  readonly removable?: "Yes" | "No";
}

/** What kind of registry it plays. */
export interface MemoryRegistryOptions {
  /** It can take entries out of rotation without removing them. Default false. */
  readonly quarantine?: boolean;
}

/** A registration as it is held. */
export interface MemoryEntry {
  readonly registration: MemoryRegistration;
  readonly revision: number;
  /** Revision of the registrant's own last write: what takes it out of rotation, or puts it back, does not move it. */
  readonly writtenAt: number;
  /** Differs from process to process. */
  readonly lease: number;
  /** Taken out of rotation, by whomever. */
  readonly quarantined: boolean;
}

/** How long a flag outlives the last entry at its place, milliseconds: Nacos' `expired-metadata.expired-time`. */
const FLAG_LASTS_MS = 60_000;

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
  /**
   * Services and addresses that are out of rotation: the flag belongs to the place and not to the entry. The value is
   * when the last entry there left, on the local monotonic clock; undefined while there is one.
   */
  readonly #flags = new Map<string, number | undefined>();
  /** Entries can be taken out of rotation. */
  readonly canQuarantine: boolean;
  #revision = 1;
  #lastLease = 0;
  #data = 1;
  #isDown = false;
  /** What waits for the end of a hold, in order; undefined while nothing is held. */
  #held: (() => void)[] | undefined;

  constructor(clock: Clock, { quarantine = false }: MemoryRegistryOptions = {}) {
    this.#clock = clock;
    this.canQuarantine = quarantine;
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

  /**
   * A new process registers, in place of whoever had the id. Where the service's last entry at the address was out of
   * rotation less than a minute ago, the new one is so too.
   */
  register(registration: MemoryRegistration): void {
    this.#lastLease++;
    const before = this.#entries.get(registration.id);
    this.#entries.delete(registration.id);
    if (before !== undefined) this.#leave(before);
    this.#enter(registration);
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
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    this.#leave(entry);
    this.#revision++;
    this.#tell(id, undefined);
  }

  /** Removes exactly this revision and keeps an undo record. */
  removeIf(id: string, revision: number, undoKey: string, undo: string): boolean {
    if (this.#entries.get(id)?.revision !== revision) return false;
    this.#undo.set(undoKey, undo);
    if (this.#entries.get(id)?.registration.removable !== "No") this.remove(id);
    return true;
  }

  /** Takes what is listed under the id out of rotation, or puts it back; with all others of its service and address. */
  setQuarantined(id: string, quarantined: boolean): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    const place = placeOf(entry.registration);
    if (quarantined) this.#flags.set(place, undefined);
    else this.#flags.delete(place);
    this.#reflag(({ registration }) => placeOf(registration) === place);
  }

  /** The server starts anew with its entries and without its flags; connections break. */
  restart(): void {
    this.#flags.clear();
    this.#breakAll("the server was started anew");
    this.#reflag(() => true);
  }

  /** Milliseconds until the lease runs out; undefined without one. */
  remaining(lease: number): number | undefined {
    const known = this.#leases.get(lease);
    return known === undefined ? undefined : Math.max(0, known.expiresAt - this.#clock.monotonic());
  }

  /** All data is lost, as if another server had taken the address. */
  wipe(): void {
    this.#entries.clear();
    this.#flags.clear();
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
    const quarantined = this.#flags.has(placeOf(registration));
    this.#put({ registration, revision: this.#revision, writtenAt: this.#revision, lease, quarantined });
  }

  #put(entry: MemoryEntry): void {
    this.#entries.set(entry.registration.id, entry);
    this.#tell(entry.registration.id, entry);
  }

  /** Entries whose flag is another one now get a new revision. */
  #reflag(among: (entry: MemoryEntry) => boolean): void {
    for (const entry of this.entries().filter(among)) {
      const quarantined = this.#flags.has(placeOf(entry.registration));
      if (entry.quarantined === quarantined) continue;
      this.#revision++;
      this.#put({ ...entry, revision: this.#revision, quarantined });
    }
  }

  #enter(registration: MemoryRegistration): void {
    const place = placeOf(registration);
    const since = this.#flags.get(place);
    if (since !== undefined && this.#clock.monotonic() - since >= FLAG_LASTS_MS) this.#flags.delete(place);
    else if (this.#flags.has(place)) this.#flags.set(place, undefined);
  }

  #leave({ registration }: MemoryEntry): void {
    const place = placeOf(registration);
    if (!this.#flags.has(place)) return;
    const isLast = !this.entries().some((other) => placeOf(other.registration) === place);
    if (isLast) this.#flags.set(place, this.#clock.monotonic());
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

function placeOf({ service, endpoints }: MemoryRegistration): string {
  return JSON.stringify([service, endpoints]);
}
