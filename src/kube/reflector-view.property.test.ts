import fc from "fast-check";
import { expect, test } from "vitest";

import { BarrierLog } from "./barrier.ts";
import { FreshnessTracker } from "./reflector-freshness.ts";
import { type ListInProgress, ReflectorView } from "./reflector-view.ts";
import type { Change, ObjectIdentity } from "./types.ts";
import type { RawObject } from "./watch.ts";

/** One commit of the simulated API server; its index in the history plus one is its revision. */
interface Commit {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: RawObject;
  readonly at: number;
}

type Step =
  | { readonly do: "Create" | "Update" | "Delete"; readonly name: string }
  | { readonly do: "Deliver"; readonly count: number; readonly sinkThrows: boolean }
  | { readonly do: "Swallow" }
  | { readonly do: "Barrier" }
  | { readonly do: "ChangeProjection" }
  | { readonly do: "BeginList" | "Page" | "AbandonList" }
  | { readonly do: "FinishList"; readonly sinkThrows: boolean }
  | { readonly do: "Gap" };

/** What is kept of an object; `by` tells which projection made it. */
interface Kept extends ObjectIdentity {
  readonly by: number;
}

/** Every other new version makes the same of each object. */
function projectionOf(version: number): number {
  return Math.floor(version / 2);
}

/**
 * An API server with a history, a watch that delivers its events late, and lists of two objects a page, played against
 * the view and the tracker. Time moves with every step.
 */
class Simulation {
  now = 0;
  readonly history: Commit[] = [];
  readonly alive = new Map<string, RawObject>();
  readonly createdAt = new Map<string, number>();
  #uids = 0;
  readonly barriers = new BarrierLog();
  readonly tracker = new FreshnessTracker(this.barriers, () => undefined);
  readonly view = new ReflectorView<Kept>({
    project: (raw) => ({ ...(raw as ObjectIdentity), by: this.projection }),
    projectionVersion: () => this.#projectionVersion,
    barriers: this.barriers,
    selective: false,
  });
  readonly sink = new Map<string, Kept>();
  #projectionVersion = 0;
  /** Events before this index were delivered. */
  #delivered = 0;
  /** Some event was lost, or the sink refused changes, and no list has healed it yet. */
  impaired = false;
  #list: { readonly list: ListInProgress<Kept>; readonly items: RawObject[]; readonly revision: string } | undefined;

  get projection(): number {
    return projectionOf(this.#projectionVersion);
  }

  get revision(): string {
    return String(this.history.length);
  }

  commit(type: Commit["type"], name: string): void {
    const before = this.alive.get(name);
    if ((before === undefined) !== (type === "ADDED")) return;
    const uid = before?.uid ?? `u${this.#uids++}`;
    const identity = { uid, namespace: "n", name, resourceVersion: String(this.history.length + 1) };
    const object = { ...identity, raw: identity };
    this.history.push({ type, object, at: this.now });
    if (type === "DELETED") this.alive.delete(name);
    else this.alive.set(name, object);
    if (type === "ADDED") this.createdAt.set(uid, this.now);
  }

  step(step: Step): void {
    this.now += 1;
    switch (step.do) {
      case "Create": {
        this.commit("ADDED", step.name);
        return;
      }
      case "Update": {
        this.commit("MODIFIED", step.name);
        return;
      }
      case "Delete": {
        this.commit("DELETED", step.name);
        return;
      }
      case "Deliver": {
        this.deliver(step.count, step.sinkThrows);
        return;
      }
      case "Swallow":
        if (this.tracker.reached === undefined || this.#delivered >= this.history.length) return;
        this.#delivered += 1;
        this.impaired = true;
        return;
      case "Barrier": {
        this.tracker.quorumRead(this.now, this.revision, this.tracker.highest, "a barrier");
        return;
      }
      case "ChangeProjection": {
        this.#projectionVersion += 1;
        return;
      }
      case "BeginList": {
        this.beginList();
        return;
      }
      case "Page":
        if (this.#list !== undefined) this.view.addPage(this.#list.list, this.#list.items.splice(0, 2));
        return;
      case "AbandonList":
        this.#list = undefined;
        {
          this.view.abandonList();
          return;
        }
      case "FinishList": {
        this.finishList(step.sinkThrows);
        return;
      }
      case "Gap": {
        this.tracker.gap();
        return;
      }
    }
  }

  deliver(count: number, sinkThrows: boolean): void {
    if (this.tracker.reached === undefined) return;
    const end = Math.min(this.history.length, this.#delivered + count);
    if (end === this.#delivered) return;
    const changes: Change<Kept>[] = [];
    for (const { type, object } of this.history.slice(this.#delivered, end)) this.view.event(type, object, changes);
    this.#delivered = end;
    if (!this.#apply(changes, sinkThrows)) {
      this.impaired = true;
      this.tracker.fail("Sink", "SinkFailed", "refused");
    }
    this.tracker.watchReached(String(end));
  }

  beginList(): void {
    if (this.#list !== undefined) return;
    this.#list = { list: this.view.beginList(), items: [...this.alive.values()], revision: this.revision };
    this.tracker.quorumRead(this.now, this.revision, this.tracker.highest, "a list");
  }

  finishList(sinkThrows: boolean): void {
    if (this.#list === undefined) return;
    const { list, items, revision } = this.#list;
    this.view.addPage(list, items);
    this.#list = undefined;
    if (!this.#apply(this.view.finishList(list, revision), sinkThrows, projectionOf(list.projectionVersion))) {
      this.view.abandonList();
      return;
    }
    this.view.listAccepted(list, revision);
    this.tracker.listApplied(revision);
    // A loss after the list's revision is not healed by it.
    if (this.#delivered <= Number(revision)) this.impaired = false;
    // The next watch begins where the view is; one that is open still delivers what the list already told.
    if (!this.#watching) this.#delivered = Number(this.tracker.reached);
    this.#watching = true;
  }

  #watching = false;

  /** After a gap a new watch begins. */
  closeWatch(): void {
    this.#watching = false;
  }

  /** @param projectedBy at least; a list that began before the projection changed may show an object as it came out then */
  #apply(changes: readonly Change<Kept>[], sinkThrows: boolean, projectedBy = this.projection): boolean {
    if (sinkThrows) {
      this.view.rollback();
      return false;
    }
    for (const change of changes) {
      const { uid, name } = change.object;
      if (change.type === "Added") {
        expect(this.sink.has(uid), `${uid} is added once`).toBe(false);
        expect(
          [...this.sink.values()].some((other) => other.name === name),
          `${name} has one owner`,
        ).toBe(false);
        expect(change.createdAfter, `${uid} was created after`).toBeLessThan(this.createdAt.get(uid) ?? -1);
      } else {
        expect(this.sink.has(uid), `${change.type} ${uid} is known`).toBe(true);
      }
      if (change.type === "Modified") {
        const before = this.sink.get(uid);
        expect(change.object, `${uid} is told of because it differs`).not.toEqual(before);
        expect(change.object.by, `${uid} is never projected as before`).toBeGreaterThanOrEqual(
          Math.min(before?.by ?? 0, projectedBy),
        );
      }
      if (change.type === "Deleted") this.sink.delete(uid);
      else this.sink.set(uid, change.object);
    }
    this.view.commit();
    return true;
  }

  /** What existed at a revision, as `uid@revision`. */
  truthAt(revision: number): string[] {
    const objects = new Map<string, string>();
    for (const { type, object } of this.history.slice(0, revision))
      if (type === "DELETED") objects.delete(object.uid);
      else objects.set(object.uid, `${object.uid}@${object.resourceVersion}`);
    return [...objects.values()].sort();
  }

  get sinkContent(): string[] {
    return [...this.sink.values()].map((object) => `${object.uid}@${object.resourceVersion}`).sort();
  }

  check(): void {
    expect(this.view.size).toBe(this.sink.size);
    const { caughtUpTo, synced } = this.tracker.freshness;
    if (!synced || this.impaired) return;
    const reached = this.tracker.reached;
    if (reached !== undefined) expect(this.sinkContent).toEqual(this.truthAt(Number(reached)));
    const committedBefore = this.history.filter((commit) => commit.at < caughtUpTo).length;
    if (reached !== undefined) expect(Number(reached)).toBeGreaterThanOrEqual(committedBefore);
  }
}

const name = fc.constantFrom("a", "b", "c");
const sinkThrows = fc.integer({ min: 0, max: 9 }).map((n) => n === 0);
const faultless: fc.Arbitrary<Step>[] = [
  fc.record({ do: fc.constantFrom("Create", "Update", "Delete"), name }),
  fc.record({ do: fc.constantFrom("Create", "Update", "Delete"), name }),
  fc.record({ do: fc.constant("Deliver"), count: fc.integer({ min: 1, max: 3 }), sinkThrows: fc.constant(false) }),
  fc.record({ do: fc.constantFrom("Barrier", "BeginList", "Page", "ChangeProjection") }),
  fc.record({ do: fc.constant("FinishList"), sinkThrows: fc.constant(false) }),
];
const faults: fc.Arbitrary<Step>[] = [
  fc.record({ do: fc.constantFrom("Swallow", "AbandonList", "Gap") }),
  fc.record({ do: fc.constant("Deliver"), count: fc.integer({ min: 1, max: 3 }), sinkThrows }),
  fc.record({ do: fc.constant("FinishList"), sinkThrows }),
];

function play(steps: readonly Step[]): Simulation {
  const simulation = new Simulation();
  for (const step of steps) {
    if (step.do === "Gap") simulation.closeWatch();
    simulation.step(step);
    simulation.check();
  }
  return simulation;
}

test("whatever way lists and events overlap, the sink holds exactly what existed at the revision reached", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(...faultless), { minLength: 20, maxLength: 60, size: "max" }), (steps) => {
      play(steps);
    }),
    { numRuns: 3000 },
  );
});

test("after lost events, gaps, broken lists and a sink that throws, one list brings the truth back", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(...faultless, ...faults), { minLength: 20, maxLength: 80, size: "max" }), (steps) => {
      const simulation = play(steps);
      simulation.step({ do: "AbandonList" });
      simulation.step({ do: "BeginList" });
      simulation.step({ do: "FinishList", sinkThrows: false });
      simulation.deliver(Infinity, false);
      expect(simulation.sinkContent).toEqual(simulation.truthAt(simulation.history.length));
      expect(simulation.tracker.reached).toBe(simulation.revision);
      for (const { by } of simulation.sink.values()) expect(by).toBe(simulation.projection);
    }),
    { numRuns: 3000 },
  );
});
