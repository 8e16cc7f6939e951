import type { RegistrySpec } from "../../api/v1alpha1/index.ts";
import type { Change, Sink } from "../../kube/types.ts";
import type { ManagedRegistry, RegistryChange, RegistrySet } from "../types.ts";
import type { RegistryObject } from "./registry-object.ts";
import { RegistryRunner, type RunnerParts } from "./runner.ts";

/** One Registry object, and what runs for it; `runner` is undefined where the spec is not understood. */
export interface RegistryEntry {
  readonly object: RegistryObject;
  readonly runner: RegistryRunner | undefined;
}

/** Starts, changes and stops what runs for each Registry object. One that fails disturbs no other. */
export class Registries implements RegistrySet, Sink<RegistryObject> {
  readonly #parts: RunnerParts;
  readonly #entries = new Map<string, RegistryEntry>();
  readonly #listeners = new Set<(change: RegistryChange) => void>();
  readonly #stateListeners = new Set<(registry: string) => void>();
  readonly #stopping = new Set<Promise<void>>();

  constructor(parts: RunnerParts) {
    this.#parts = parts;
  }

  apply(changes: readonly Change<RegistryObject>[]): void {
    for (const { type, object } of changes) {
      const before = this.#entries.get(object.name);
      if (type !== "Deleted") this.#put(object, before);
      else if (before?.object.uid === object.uid) this.#drop(before);
      this.#tellState(object.name);
    }
  }

  get(name: string): ManagedRegistry | undefined {
    return this.#entries.get(name)?.runner?.managed;
  }

  *values(): Generator<ManagedRegistry> {
    for (const { runner } of this.#entries.values()) if (runner?.managed !== undefined) yield runner.managed;
  }

  isInForce(name: string, uid: string): boolean {
    return this.get(name)?.uid === uid;
  }

  subscribe(listener: (change: RegistryChange) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Called with a name when anything that a status shows may have changed, but for the figures. */
  subscribeState(listener: (registry: string) => void): () => void {
    this.#stateListeners.add(listener);
    return () => void this.#stateListeners.delete(listener);
  }

  entry(name: string): RegistryEntry | undefined {
    return this.#entries.get(name);
  }

  entries(): Iterable<RegistryEntry> {
    return this.#entries.values();
  }

  /** Stops everything; resolves when nothing runs any more. */
  async close(): Promise<void> {
    for (const entry of [...this.#entries.values()]) this.#drop(entry);
    await Promise.all(this.#stopping);
  }

  #put(object: RegistryObject, before: RegistryEntry | undefined): void {
    const spec = object.deleting || !object.parsed.ok ? undefined : object.parsed.object;
    const isSameObject = before?.object.uid === object.uid;
    if (isSameObject && before.runner !== undefined && spec !== undefined && before.runner.serves(spec)) {
      this.#entries.set(object.name, { object, runner: before.runner });
      if (before.object.generation === object.generation) return;
      before.runner.update(spec);
      // Who owns what may have changed for every record.
      this.#tell({ registry: object.name, upserted: [], removed: [], whole: true });
      return;
    }
    if (before !== undefined) this.#drop(before);
    this.#entries.set(object.name, { object, runner: spec === undefined ? undefined : this.#start(object, spec) });
  }

  #start({ name, uid }: RegistryObject, spec: RegistrySpec): RegistryRunner {
    const runner = new RegistryRunner(name, uid, spec, this.#parts, () => this.#tellState(name));
    runner.view.subscribe(({ upserted, removed, whole }) => {
      // An adapter that is being stopped has nothing to say any more.
      if (this.#entries.get(name)?.runner !== runner) return;
      this.#tell({
        registry: name,
        upserted: upserted.map(({ record }) => record.id),
        removed: removed.map(({ id }) => id),
        whole,
      });
    });
    runner.view.subscribeState(() => this.#tellState(name));
    runner.start();
    return runner;
  }

  #drop({ object, runner }: RegistryEntry): void {
    this.#entries.delete(object.name);
    if (runner === undefined) return;
    const stopped = runner.stop().finally(() => this.#stopping.delete(stopped));
    this.#stopping.add(stopped);
    const removed = Array.from(runner.view.values(), ({ id }) => id);
    if (removed.length > 0) this.#tell({ registry: object.name, upserted: [], removed, whole: false });
  }

  #tell(change: RegistryChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  #tellState(registry: string): void {
    for (const listener of this.#stateListeners) listener(registry);
  }
}
