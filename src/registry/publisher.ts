import type { ViewProblem } from "../kube/types.ts";
import type { Breaker } from "./breaker.ts";
import type { InstanceRecord, RegistrySink } from "./port.ts";

/** What an adapter knows of its registry. */
interface Table {
  records(): Iterable<InstanceRecord>;
  /** What was listed and is no instance, by reason. */
  readonly totals: Readonly<Record<string, number>>;
}

/** Tells the sink what changed: records, freshness, and what was ignored. Nothing after {@link end}. */
export class Publisher {
  readonly #table: Table;
  readonly #breaker: Breaker;
  #sink: RegistrySink | undefined;
  #synced = false;
  #problem: ViewProblem | undefined;
  #caughtUpTo = Number.NEGATIVE_INFINITY;
  #ignored = "";
  serverVersion = "";
  /** What is wrong with this very version of the server, for a person; undefined when nothing is known. */
  defect: string | undefined;
  /** Which server does not answer while enough others do, and what that means, for a person; undefined when all do. */
  absence: string | undefined;
  clusterId = "";

  constructor(table: Table, breaker: Breaker) {
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
      ...(this.defect === undefined ? {} : { defect: this.defect }),
      ...(this.absence === undefined ? {} : { absence: this.absence }),
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
