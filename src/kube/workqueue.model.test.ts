import fc from "fast-check";
import { expect, test } from "vitest";

import { ManualClock } from "../../test/support/manual-clock.ts";
import { createMetrics } from "../telemetry/metrics.ts";
import { ExponentialBackoff } from "./rate-limiter.ts";
import { WorkQueue } from "./workqueue.ts";
import type { Priority } from "./workqueue.ts";

type Step =
  | { do: "add"; key: string; priority: Priority }
  | { do: "addAfter"; key: string; priority: Priority; delayMs: number }
  | { do: "addRateLimited"; key: string; priority: Priority }
  | { do: "forget"; key: string }
  | { do: "get" }
  | { do: "done"; which: number }
  | { do: "advance"; byMs: number }
  | { do: "shutdown"; drain: boolean };

/** Handed out first to last. */
const order: readonly Priority[] = ["Urgent", "High", "Low"];

/** The queue as one would explain it: plain lists, searched from the front, no care for speed. */
class Model {
  now = 0;
  /** Keys to hand out, in the order they became ready. */
  ready: { key: string; priority: Priority }[] = [];
  /** Keys to make ready when the work on them is done. */
  later: { key: string; priority: Priority }[] = [];
  working: string[] = [];
  delayed: { key: string; priority: Priority; at: number }[] = [];
  idleWorkers = 0;
  closed = false;
  drainRequested = false;
  failures = new Map<string, number>();
  /** Everything workers were told, in order. */
  told: string[] = [];

  add(key: string, priority: Priority): void {
    if (this.closed) return;
    const waiting = [...this.ready, ...this.later].find((entry) => entry.key === key);
    if (waiting === undefined) {
      (this.working.includes(key) ? this.later : this.ready).push({ key, priority });
    } else if (order.indexOf(priority) < order.indexOf(waiting.priority)) {
      waiting.priority = priority;
      if (this.ready.includes(waiting)) this.ready = [...this.ready.filter((entry) => entry !== waiting), waiting];
    }
    this.serve();
  }

  addAfter(key: string, priority: Priority, delayMs: number): void {
    if (this.closed) return;
    if (delayMs <= 0) {
      this.add(key, priority);
      return;
    }
    const known = this.delayed.find((entry) => entry.key === key);
    if (known === undefined) this.delayed.push({ key, priority, at: this.now + delayMs });
    else {
      known.at = Math.min(known.at, this.now + delayMs);
      if (order.indexOf(priority) < order.indexOf(known.priority)) known.priority = priority;
    }
  }

  addRateLimited(key: string, priority: Priority): void {
    if (this.closed) return;
    const failures = this.failures.get(key) ?? 0;
    this.failures.set(key, failures + 1);
    this.addAfter(key, priority, 5 * 2 ** failures);
  }

  get(): void {
    this.idleWorkers += 1;
    this.serve();
  }

  done(key: string): void {
    this.working = this.working.filter((entry) => entry !== key);
    const again = this.later.find((entry) => entry.key === key);
    if (again !== undefined) {
      this.later = this.later.filter((entry) => entry !== again);
      this.ready.push(again);
    }
    this.serve();
  }

  advance(byMs: number): void {
    this.now += byMs;
    const due = this.delayed.filter((entry) => entry.at <= this.now);
    this.delayed = this.delayed.filter((entry) => entry.at > this.now);
    for (const entry of due.sort((a, b) => a.at - b.at)) this.add(entry.key, entry.priority);
  }

  shutdown(drain: boolean): void {
    this.closed = true;
    this.drainRequested ||= drain;
    this.delayed = [];
    this.serve();
  }

  get drained(): boolean {
    return this.ready.length + this.later.length + this.working.length === 0;
  }

  private serve(): void {
    while (this.idleWorkers > 0) {
      const best = order.find((priority) => this.ready.some((entry) => entry.priority === priority));
      const next = this.ready.find((entry) => entry.priority === best);
      if (next === undefined && !this.closed) return;
      this.idleWorkers -= 1;
      if (next === undefined) this.told.push("(home)");
      else {
        this.ready = this.ready.filter((entry) => entry !== next);
        this.working.push(next.key);
        this.told.push(`${next.priority}:${next.key}`);
      }
    }
  }
}

const key = fc.constantFrom("a", "b", "c", "d");
const priority = fc.constantFrom(...order);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("add" as const), key, priority }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("addAfter" as const),
      key,
      priority,
      delayMs: fc.integer({ min: -1, max: 60 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("addRateLimited" as const), key, priority }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("forget" as const), key }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("get" as const) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("done" as const), which: fc.nat(3) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("advance" as const), byMs: fc.integer({ min: 0, max: 50 }) }) },
);
const steps = fc.tuple(
  fc.array(step, { maxLength: 60 }),
  fc.option(fc.boolean(), { nil: undefined }),
  fc.array(step, { maxLength: 20 }),
);

test("the queue does what its model does, step by step", async () => {
  const metrics = createMetrics({ version: "test" });
  await fc.assert(
    fc.asyncProperty(steps, async ([before, drain, after]) => {
      const clock = new ManualClock(0);
      const queue = new WorkQueue<string>({ name: "q", clock, rateLimiter: new ExponentialBackoff(), metrics });
      const model = new Model();
      const told: string[] = [];
      let drained = false;
      const close: Step[] = drain === undefined ? [] : [{ do: "shutdown", drain }];
      for (const next of [...before, ...close, ...after]) {
        switch (next.do) {
          case "add":
            queue.add(next.key, next.priority);
            model.add(next.key, next.priority);
            break;
          case "addAfter":
            queue.addAfter(next.key, next.delayMs, next.priority);
            model.addAfter(next.key, next.priority, next.delayMs);
            break;
          case "addRateLimited":
            queue.addRateLimited(next.key, next.priority);
            model.addRateLimited(next.key, next.priority);
            break;
          case "forget":
            queue.forget(next.key);
            model.failures.delete(next.key);
            break;
          case "get":
            void queue.get().then((item) => told.push(item === undefined ? "(home)" : `${item.priority}:${item.key}`));
            model.get();
            break;
          case "done": {
            const finished = model.working[next.which % Math.max(1, model.working.length)];
            if (finished === undefined) break;
            queue.done(finished);
            model.done(finished);
            break;
          }
          case "advance":
            await clock.advance(next.byMs);
            model.advance(next.byMs);
            break;
          case "shutdown":
            if (next.drain) void queue.shutdownWithDrain().then(() => (drained = true));
            else queue.shutdown();
            model.shutdown(next.drain);
            break;
        }
        await clock.advance(0);
        expect(told).toEqual(model.told);
        expect(queue.length).toBe(model.ready.length);
        for (const name of ["a", "b", "c", "d"]) expect(queue.retries(name)).toBe(model.failures.get(name) ?? 0);
        expect(drained).toBe(model.drainRequested && model.drained);
      }
      // One timer at most, and none that outlives the delays.
      expect(clock.pending).toBe(model.delayed.length > 0 ? 1 : 0);
    }),
    { numRuns: 2_000 },
  );
});
