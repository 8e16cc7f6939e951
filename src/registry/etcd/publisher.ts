import type { ViewProblem } from "../../kube/types.ts";
import type { Breaker } from "../breaker.ts";
import type { RegistryError } from "../errors.ts";
import type { InstanceRecord, RegistrySink } from "../port.ts";
import type { Canary } from "./canary.ts";
import type { KeyTable, KeyValue } from "./key-table.ts";
import type { Proof } from "./proof.ts";
import type { Timeline } from "../timeline.ts";

/** What the adapter holds, shared by the parts that fill it and those that read it. */
export interface EtcdState {
  readonly table: KeyTable;
  readonly timeline: Timeline;
  readonly proof: Proof;
  readonly canary: Canary;
  readonly breaker: Breaker;
}

/** Tells the sink what changed: records, freshness, and what was ignored. Nothing after {@link end}. */
export class Publisher {
  readonly #state: EtcdState;
  #sink: RegistrySink | undefined;
  #synced = false;
  #problem: ViewProblem | undefined;
  #ignoredCount = -1;
  serverVersion = "";

  constructor(state: EtcdState) {
    this.#state = state;
  }

  begin(sink: RegistrySink): void {
    this.#sink = sink;
    this.freshness();
  }

  end(): void {
    this.#sink = undefined;
  }

  /** The view can not be trusted to be current from here on, until {@link solved}. */
  failed({ code, message }: RegistryError | { readonly code: string; readonly message: string }): void {
    this.#problem = { reason: code, message };
    this.freshness();
  }

  solved(): void {
    this.#problem = undefined;
    this.freshness();
  }

  /** What is listed is no longer what the registry holds. */
  unsynced(): void {
    this.#synced = false;
    this.freshness();
  }

  snapshot(): void {
    this.#sink?.snapshot([...this.#state.table.records()]);
    this.#ignored();
    this.#synced = true;
    this.freshness();
  }

  /** @param changed by id; undefined for what left */
  change(changed: ReadonlyMap<string, InstanceRecord | undefined>): void {
    const upserted: InstanceRecord[] = [];
    const removed: string[] = [];
    for (const [id, record] of changed) {
      if (record === undefined) removed.push(id);
      else upserted.push(record);
    }
    if (changed.size > 0) this.#sink?.change(upserted, removed);
    this.#ignored();
  }

  freshness(): void {
    const { proof, breaker, canary } = this.#state;
    this.#sink?.freshness({
      synced: this.#synced,
      caughtUpTo: proof.caughtUpTo,
      problem: this.#problem,
      mode: breaker.mode,
      serverVersion: this.serverVersion,
      clusterId: canary.clusterId,
    });
  }

  #ignored(): void {
    const { table } = this.#state;
    if (table.ignoredChanges === this.#ignoredCount) return;
    this.#ignoredCount = table.ignoredChanges;
    this.#sink?.ignored(table.totals);
  }
}

/** Takes keys into the table and gathers what changed, the last state of each id only. */
export class Batch {
  readonly changed = new Map<string, InstanceRecord | undefined>();
  readonly #table: KeyTable;
  readonly #now: number;

  constructor(table: KeyTable, now: number) {
    this.#table = table;
    this.#now = now;
  }

  put(entry: KeyValue): void {
    const { upserted, removed } = this.#table.put(entry, this.#now);
    if (upserted !== undefined) this.changed.set(upserted.id, upserted);
    if (removed !== undefined) this.changed.set(removed, undefined);
  }

  remove(id: string): void {
    if (this.#table.removeId(id)) this.changed.set(id, undefined);
  }
}
