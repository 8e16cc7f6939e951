import type { Clock, Timer } from "../clock/clock.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { RateLimiter } from "./rate-limiter.ts";
import { DelayHeap } from "./workqueue-delays.ts";
import { Lane } from "./workqueue-lane.ts";
import type { LaneEntry } from "./workqueue-lane.ts";
import { WorkQueueMetrics } from "./workqueue-metrics.ts";

/**
 * `High` for what an event brought (the fast path), `Low` for what a sweep brought: taken only when no `High` waits.
 * `Urgent` for what must come before all of them.
 */
export type Priority = "Urgent" | "High" | "Low";

const rank: Readonly<Record<Priority, number>> = { Urgent: 2, High: 1, Low: 0 };

/** A key handed to a worker, who owes a {@link WorkQueue.done} for it. */
export interface WorkItem<K> {
  readonly key: K;
  /** The highest priority it was added with while it waited. */
  readonly priority: Priority;
}

interface WorkQueueOptions<K> {
  /** Label of the queue's metrics. */
  readonly name: string;
  readonly clock: Clock;
  readonly rateLimiter: RateLimiter<K>;
  readonly metrics: Pick<Metrics, "workqueue" | "collect">;
}

interface Waiting<K> extends LaneEntry<K> {
  priority: Priority;
  readonly addedAt: number;
}

/**
 * client-go's work queue with three lanes. A key that waits is in it once, however often it is added; a key that is added
 * while it is worked on waits until that is done, so no two workers ever have the same key. Keys are compared by value,
 * hence strings. Memory is bounded by the number of different keys: nothing is kept of a key that is done, not delayed
 * and forgotten by the rate limiter.
 */
export class WorkQueue<K extends string> {
  readonly #clock: Clock;
  readonly #limiter: RateLimiter<K>;
  readonly #metrics: WorkQueueMetrics;
  readonly #lanes = {
    Urgent: new Lane<Waiting<K>>(),
    High: new Lane<Waiting<K>>(),
    Low: new Lane<Waiting<K>>(),
  };
  /** Keys to be handed out: those in a lane, and those that wait until work on them is done. */
  readonly #dirty = new Map<K, Waiting<K>>();
  /** Keys that workers have, with the monotonic time at which they got them. */
  readonly #processing = new Map<K, number>();
  readonly #delays = new DelayHeap<K, Priority>();
  readonly #idleWorkers: ((item: WorkItem<K> | undefined) => void)[] = [];
  readonly #drainWaiters: (() => void)[] = [];
  #timer: { readonly at: number; readonly handle: Timer } | undefined;
  #shuttingDown = false;

  constructor(options: WorkQueueOptions<K>) {
    this.#clock = options.clock;
    this.#limiter = options.rateLimiter;
    this.#metrics = new WorkQueueMetrics(options.name, options.metrics, options.clock, this.#processing);
  }

  /** Keys in the lanes. */
  get length(): number {
    const { Urgent, High, Low } = this.#lanes;
    return Urgent.length + High.length + Low.length;
  }

  get shuttingDown(): boolean {
    return this.#shuttingDown;
  }

  /** Adds a key unless it waits already; one that waits and is added with a higher priority moves to that lane. */
  add(key: K, priority: Priority = "High"): void {
    if (this.#shuttingDown) return;
    const known = this.#dirty.get(key);
    if (known !== undefined) {
      this.#raise(known, priority);
      return;
    }
    const waiting = { key, priority, addedAt: this.#clock.monotonic(), previous: undefined, next: undefined };
    this.#dirty.set(key, waiting);
    this.#metrics.added(this.#dirty.size);
    if (!this.#processing.has(key)) this.#offer(waiting);
  }

  /** Adds a key later. Of two delays of a key the one that ends first stays, and the higher priority. */
  addAfter(key: K, delayMs: number, priority: Priority = "High"): void {
    if (this.#shuttingDown) return;
    this.#metrics.retried();
    if (delayMs <= 0) {
      this.add(key, priority);
      return;
    }
    this.#delays.add(key, this.#clock.monotonic() + delayMs, priority, higher);
    this.#arm();
  }

  /** Adds a key after the delay that the rate limiter has for it. */
  addRateLimited(key: K, priority: Priority = "High"): void {
    if (this.#shuttingDown) return;
    this.addAfter(key, this.#limiter.when(key), priority);
  }

  /** The key's failures no longer count. Does not take it out of the queue. */
  forget(key: K): void {
    this.#limiter.forget(key);
  }

  /** How often the key was added by {@link addRateLimited} since it was last forgotten. */
  retries(key: K): number {
    return this.#limiter.retries(key);
  }

  /** The next key, as soon as there is one; undefined when the queue is shut down and empty. */
  get(): Promise<WorkItem<K> | undefined> {
    const { Urgent, High, Low } = this.#lanes;
    const waiting = Urgent.shift() ?? High.shift() ?? Low.shift();
    if (waiting !== undefined) return Promise.resolve(this.#take(waiting));
    if (this.#shuttingDown) return Promise.resolve(undefined);
    return new Promise((resolve) => this.#idleWorkers.push(resolve));
  }

  /** Ends the work on a key that {@link get} gave. */
  done(key: K): void {
    const startedAt = this.#processing.get(key);
    if (startedAt === undefined) return;
    this.#processing.delete(key);
    this.#metrics.done(this.#clock.monotonic() - startedAt);
    const again = this.#dirty.get(key);
    if (again !== undefined) this.#offer(again);
    else this.#checkDrained();
  }

  /** Takes no more keys and forgets delayed ones. What waits is still handed out; then workers get undefined. */
  shutdown(): void {
    this.#close();
    this.#endDrain();
  }

  /** {@link shutdown}, and resolves when the last key is done (or at a {@link shutdown} meanwhile). */
  async shutdownWithDrain(): Promise<void> {
    this.#close();
    await new Promise<void>((resolve) => {
      this.#drainWaiters.push(resolve);
      this.#checkDrained();
    });
  }

  #raise(waiting: Waiting<K>, priority: Priority): void {
    const before = waiting.priority;
    if (rank[before] >= rank[priority]) return;
    waiting.priority = priority;
    // A key that is worked on is in no lane yet.
    if (this.#processing.has(waiting.key)) return;
    this.#lanes[before].remove(waiting);
    this.#lanes[priority].push(waiting);
  }

  #offer(waiting: Waiting<K>): void {
    const worker = this.#idleWorkers.shift();
    if (worker === undefined) this.#lanes[waiting.priority].push(waiting);
    else worker(this.#take(waiting));
  }

  #take(waiting: Waiting<K>): WorkItem<K> {
    const now = this.#clock.monotonic();
    this.#dirty.delete(waiting.key);
    this.#processing.set(waiting.key, now);
    this.#metrics.taken(this.#dirty.size, now - waiting.addedAt);
    return { key: waiting.key, priority: waiting.priority };
  }

  /** Makes sure that a timer runs for the delay that ends first. */
  #arm(): void {
    const at = this.#delays.firstReadyAt;
    if (at === undefined || (this.#timer !== undefined && this.#timer.at <= at)) return;
    this.#timer?.handle.cancel();
    const handle = this.#clock.setTimer(() => this.#addReady(), at - this.#clock.monotonic());
    this.#timer = { at, handle };
  }

  #addReady(): void {
    this.#timer = undefined;
    const now = this.#clock.monotonic();
    for (let ready = this.#delays.take(now); ready !== undefined; ready = this.#delays.take(now)) {
      this.add(ready.key, ready.tag);
    }
    this.#arm();
  }

  #close(): void {
    this.#shuttingDown = true;
    this.#timer?.handle.cancel();
    this.#timer = undefined;
    this.#delays.clear();
    for (const worker of this.#idleWorkers.splice(0)) worker(undefined);
  }

  #checkDrained(): void {
    if (this.#shuttingDown && this.#dirty.size === 0 && this.#processing.size === 0) this.#endDrain();
  }

  #endDrain(): void {
    this.#metrics.close();
    for (const resolve of this.#drainWaiters.splice(0)) resolve();
  }
}

function higher(a: Priority, b: Priority): Priority {
  return rank[a] >= rank[b] ? a : b;
}
