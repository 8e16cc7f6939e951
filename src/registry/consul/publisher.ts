import type { ViewProblem } from "../../kube/types.ts";
import type { Breaker } from "../breaker.ts";
import type { InstanceRecord, RegistrySink } from "../port.ts";
import type { CatalogTable } from "./table.ts";

/** Tells the sink what changed: records, freshness, and what was ignored. Nothing after {@link end}. */
export class Publisher {
  readonly #table: CatalogTable;
  readonly #breaker: Breaker;
  #sink: RegistrySink | undefined;
  #synced = false;
  #problem: ViewProblem | undefined;
  #caughtUpTo = Number.NEGATIVE_INFINITY;
  #ignored = "";
  serverVersion = "";
  clusterId = "";

  constructor(table: CatalogTable, breaker: Breaker) {
    this.#table = table;
    this.#breaker = breaker;
  }

  begin(sink: RegistrySink): void {
    this.#sink = sink;
    this.freshness();
  }

  end(): void {
    this.#sink = undefined;
  }

  /** The view can not be trusted to be current from here on, until it is {@link proven} again. */
  failed({ code, message }: { readonly code: string; readonly message: string }): void {
    this.#problem = { reason: code, message };
    this.freshness();
  }

  /** Everything committed before this moment is in the view, and nothing speaks against it. */
  proven(upTo: number): void {
    this.#caughtUpTo = Math.max(this.#caughtUpTo, upTo);
    this.#problem = undefined;
    this.freshness();
  }

  /** What is listed is no longer what the registry holds, and nothing that was proven is about it. */
  reset(): void {
    this.#synced = false;
    this.#caughtUpTo = Number.NEGATIVE_INFINITY;
    this.freshness();
  }

  /** A complete list has been taken in. */
  listed(changed: ReadonlyMap<string, InstanceRecord | undefined>): void {
    if (this.#synced) this.change(changed);
    else {
      this.#sink?.snapshot([...this.#table.records()]);
      this.#tellIgnored();
      this.#synced = true;
    }
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
    this.#tellIgnored();
  }

  freshness(): void {
    this.#sink?.freshness({
      synced: this.#synced,
      caughtUpTo: this.#caughtUpTo,
      problem: this.#problem,
      mode: this.#breaker.mode,
      serverVersion: this.serverVersion,
      clusterId: this.clusterId,
    });
  }

  #tellIgnored(): void {
    const { totals } = this.#table;
    const text = JSON.stringify(totals);
    if (text === this.#ignored) return;
    this.#ignored = text;
    this.#sink?.ignored(totals);
  }
}
