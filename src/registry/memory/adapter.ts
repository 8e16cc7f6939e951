import type { Clock } from "../../clock/clock.ts";
import { Breaker, type BreakerRules } from "../breaker.ts";
import { RegistryError } from "../errors.ts";
import type {
  Capabilities,
  Fence,
  InstanceRecord,
  LifeReading,
  RegistryAdapter,
  RegistrySink,
  Removal,
  RestorePayload,
  WriteResult,
} from "../port.ts";
import type { ViewProblem } from "../../kube/types.ts";
import type { MemoryEntry, MemoryRegistration, MemoryRegistry } from "./registry.ts";

export interface MemoryAdapterOptions {
  readonly name: string;
  readonly registry: MemoryRegistry;
  readonly clock: Clock;
  readonly breaker: BreakerRules;
  /** Milliseconds between two proofs that the view is current. */
  readonly canaryEvery: number;
  /** Deadline of every call, milliseconds. */
  readonly callTimeout: number;
}

const notRemovable: Removal = {
  effective: "No",
  reason: "HeldByConnection",
  message: "it hangs on its registrant's connection: a delete is answered and does nothing",
};

interface Undo {
  readonly restore: RestorePayload;
  readonly reason: string;
  readonly traceId: string;
  readonly time: string;
}

/** The port on a registry inside the process. Same promises as the real adapters, and no waiting for a network. */
export class MemoryAdapter implements RegistryAdapter {
  readonly name: string;
  readonly type = "Memory";
  readonly capabilities: Capabilities;
  readonly #options: MemoryAdapterOptions;
  readonly #breaker: Breaker;
  readonly #known = new Map<string, { readonly entry: MemoryEntry; readonly record: InstanceRecord }>();
  #dataId = "";
  #caughtUpTo = Number.NEGATIVE_INFINITY;
  #synced = false;
  #problem: ViewProblem | undefined;

  constructor(options: MemoryAdapterOptions) {
    this.name = options.name;
    this.#options = options;
    this.#breaker = new Breaker(options.breaker);
    const quarantine = options.registry.canQuarantine;
    this.capabilities = { guardedDelete: true, exactGuard: true, undoInTransaction: true, quarantine };
  }

  async run(sink: RegistrySink, signal: AbortSignal): Promise<void> {
    const { clock, canaryEvery } = this.#options;
    while (!signal.aborted) {
      const error = await this.#follow(sink, signal);
      if (error === undefined) return;
      this.#failed(sink, error);
      await clock.sleep(canaryEvery, signal).catch(() => undefined);
    }
  }

  async read(id: string, signal: AbortSignal): Promise<InstanceRecord | undefined> {
    await this.#reach(signal);
    const entry = this.#options.registry.get(id);
    return entry === undefined ? undefined : this.#recordOf(entry, this.#options.clock.monotonic());
  }

  async readLife(record: InstanceRecord, signal: AbortSignal): Promise<LifeReading> {
    const { registry, clock } = this.#options;
    const startedAt = clock.monotonic();
    await this.#reach(signal);
    const lease = this.#known.get(record.id)?.entry.lease;
    const remainingMs = lease === undefined ? undefined : registry.remaining(lease);
    if (lease === undefined || remainingMs === undefined) return { kind: "None" };
    const endedAt = clock.monotonic();
    return { kind: "Lease", lease: String(lease), grantedMs: record.ttlMs, remainingMs, startedAt, endedAt };
  }

  async deregister(record: InstanceRecord, fence: Fence, signal: AbortSignal): Promise<WriteResult> {
    const { registry, clock } = this.#options;
    await this.#reach(signal);
    if (!fence.isValid()) return { outcome: "Fenced" };
    const { reason, traceId, clusterUid } = fence;
    const undoKey = `${clusterUid}/${record.id}/${record.version}`;
    const entry = registry.get(record.id);
    if (entry === undefined || this.#versionOf(entry) !== record.version) {
      const undo = registry.undoRecords.get(undoKey);
      const done = undo === undefined ? undefined : (JSON.parse(undo) as Undo);
      if (done?.traceId === traceId) return { outcome: "Done", restore: done.restore };
      return { outcome: entry === undefined ? "Gone" : "Changed" };
    }
    const restore: RestorePayload = { ...this.#restoreOf(record, entry), undoKey };
    const undo: Undo = { restore, reason, traceId, time: clock.wall().toISOString() };
    registry.removeIf(record.id, entry.revision, undoKey, JSON.stringify(undo));
    return { outcome: "Done", restore };
  }

  async quarantine(record: InstanceRecord, fence: Fence, signal: AbortSignal): Promise<WriteResult> {
    return await this.#setQuarantined(record, true, fence, signal);
  }

  async release(record: InstanceRecord, fence: Fence, signal: AbortSignal): Promise<WriteResult> {
    return await this.#setQuarantined(record, false, fence, signal);
  }

  async put(payload: RestorePayload, signal: AbortSignal): Promise<boolean> {
    const { registry } = this.#options;
    await this.#reach(signal);
    if (registry.get(payload.id) !== undefined) return false;
    registry.register(JSON.parse(payload.value) as MemoryRegistration);
    return true;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #setQuarantined(
    record: InstanceRecord,
    quarantined: boolean,
    fence: Fence,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    const { registry } = this.#options;
    await this.#reach(signal);
    if (!fence.isValid()) return { outcome: "Fenced" };
    const entry = registry.get(record.id);
    if (entry === undefined) return { outcome: "Gone" };
    if (this.#versionOf(entry) !== record.version || entry.quarantined === quarantined) return { outcome: "Changed" };
    registry.setQuarantined(record.id, quarantined);
    return { outcome: "Done", restore: this.#restoreOf(record, entry) };
  }

  #restoreOf({ id, format }: InstanceRecord, { registration }: MemoryEntry): RestorePayload {
    const value = JSON.stringify(registration);
    return { registry: this.name, id, format, value, encoding: "utf8", ttlMs: registration.ttlMs };
  }

  /** @returns what broke, or undefined when the signal aborted */
  async #follow(sink: RegistrySink, signal: AbortSignal): Promise<RegistryError | undefined> {
    try {
      return await this.#followUntilBroken(sink, signal);
    } catch (error) {
      if (signal.aborted) return undefined;
      return error instanceof RegistryError ? error : new RegistryError("NotUnderstood", String(error));
    }
  }

  async #followUntilBroken(sink: RegistrySink, signal: AbortSignal): Promise<never> {
    const { registry, clock, canaryEvery } = this.#options;
    let startedAt = clock.monotonic();
    await this.#reach(signal);
    const broken = new AbortController();
    const disconnect = registry.connect({
      onChange: (id, entry) => {
        if (!signal.aborted) this.#changed(sink, id, entry);
      },
      onBroken: (error) => {
        broken.abort(error);
      },
    });
    try {
      this.#snapshot(sink);
      const either = AbortSignal.any([signal, broken.signal]);
      for (;;) {
        this.#caughtUpTo = startedAt;
        this.#problem = undefined;
        this.#publish(sink);
        await clock.sleep(canaryEvery, either);
        startedAt = clock.monotonic();
        await this.#reach(either);
      }
    } finally {
      disconnect();
    }
  }

  #snapshot(sink: RegistrySink): void {
    const { registry, clock } = this.#options;
    if (this.#dataId !== registry.dataId) this.#known.clear();
    this.#dataId = registry.dataId;
    const now = clock.monotonic();
    const entries = registry.entries();
    const listed = new Set(entries.map(({ registration }) => registration.id));
    for (const id of [...this.#known.keys()]) if (!listed.has(id)) this.#known.delete(id);
    for (const entry of entries) this.#learn(entry, this.#recordOf(entry, now));
    sink.snapshot([...this.#known.values()].map(({ record }) => record));
    sink.ignored({});
    this.#synced = true;
  }

  #changed(sink: RegistrySink, id: string, entry: MemoryEntry | undefined): void {
    if (entry === undefined) {
      if (this.#known.delete(id)) sink.change([], [id]);
      return;
    }
    const now = this.#options.clock.monotonic();
    const record = this.#recordOf(entry, now, this.#caughtUpTo);
    this.#learn(entry, record);
    sink.change([record], []);
  }

  #learn(entry: MemoryEntry, record: InstanceRecord): void {
    this.#known.set(entry.registration.id, { entry, record });
  }

  /** @param after the write is known to have come later than this */
  #recordOf(entry: MemoryEntry, now: number, after = Number.NEGATIVE_INFINITY): InstanceRecord {
    const { registration, lease } = entry;
    const known = this.#known.get(registration.id);
    if (known?.entry.revision === entry.revision) return known.record;
    const isSameWriter = known?.entry.lease === lease && registration.ttlMs > 0;
    const isSameWrite = known?.entry.writtenAt === entry.writtenAt;
    const bounds = isSameWrite
      ? known.record
      : {
          seenAt: isSameWriter ? known.record.seenAt : now,
          writtenAfter: isSameWriter ? known.record.writtenAfter : after,
          touchedAfter: after,
        };
    return Object.freeze<InstanceRecord>({
      registry: this.name,
      id: registration.id,
      service: registration.service,
      instance: registration.instance,
      endpoints: registration.endpoints,
      format: "Memory",
      metadata: registration.metadata ?? {},
      version: this.#versionOf(entry),
      seenAt: bounds.seenAt,
      writtenAfter: bounds.writtenAfter,
      touchedAfter: bounds.touchedAfter,
      ttlMs: registration.ttlMs,
      managedBy: undefined,
      quarantined: entry.quarantined,
      removal: registration.removable === "No" ? notRemovable : { effective: "Yes" },
    });
  }

  #versionOf(entry: MemoryEntry): string {
    return `${this.#dataId}.${String(entry.revision)}.${String(entry.lease)}`;
  }

  async #reach(signal: AbortSignal): Promise<void> {
    const { registry, clock, callTimeout } = this.#options;
    const startedAt = clock.monotonic();
    try {
      await registry.reach(callTimeout, signal);
      this.#breaker.answered(clock.monotonic() - startedAt);
    } catch (error) {
      if (error instanceof RegistryError && error.code === "TimedOut") this.#breaker.timedOut();
      throw error;
    }
  }

  #failed(sink: RegistrySink, error: RegistryError): void {
    const { registry } = this.#options;
    this.#problem = { reason: error.code, message: error.message };
    if (this.#dataId !== registry.dataId) {
      this.#problem = { reason: "WentBack", message: "the data is another one" };
      this.#caughtUpTo = Number.NEGATIVE_INFINITY;
      this.#synced = false;
    }
    this.#publish(sink);
  }

  #publish(sink: RegistrySink): void {
    sink.freshness({
      synced: this.#synced,
      caughtUpTo: this.#caughtUpTo,
      problem: this.#problem,
      mode: this.#breaker.mode,
      serverVersion: "memory",
      clusterId: this.#dataId,
    });
  }
}
