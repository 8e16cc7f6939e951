import type { Clock } from "../clock/clock.ts";
import { HygeiaError } from "../errors.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { traceIds } from "../telemetry/tracing.ts";
import type { TraceIds } from "../telemetry/tracing.ts";
import { ReconcileContext } from "./controller-context.ts";
import type { Trigger } from "./controller-context.ts";
import { defaultRateLimiter } from "./rate-limiter.ts";
import type { RateLimiter } from "./rate-limiter.ts";
import { WorkQueue } from "./workqueue.ts";
import type { Priority, WorkItem } from "./workqueue.ts";

export type { ReconcileContext, Trigger } from "./controller-context.ts";

/** A failure that trying again can not cure: it is logged and counted, and waits for the next event. */
export class TerminalError extends HygeiaError {
  constructor(message: string, options?: ErrorOptions) {
    super("Terminal", message, options);
  }
}

/**
 * What a reconciliation asks for: nothing, or to be run again after a while (more than 0 ms). With `keepTrigger` the
 * next run has the same trigger, because it goes on with the same matter; else it is a new one.
 */
export type Result = undefined | { readonly requeueAfterMs: number; readonly keepTrigger?: boolean };

export interface EnqueueOptions {
  /** Default `High`. */
  readonly priority?: Priority;
  /** Kept unless the key waits already with an earlier one. */
  readonly trace?: Trigger;
}

export interface ControllerOptions<K extends string> {
  /** Label of metrics and log lines. */
  readonly name: string;
  /** Keys that may be reconciled at the same time; the same key never is. Default 1. */
  readonly concurrency?: number;
  /**
   * Brings the world in line for one key, from what is true now (level-triggered). Whatever it throws is retried with
   * backoff, except TerminalError (also as a cause).
   */
  readonly reconcile: (key: K, context: ReconcileContext) => Promise<Result>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "workqueue" | "controller" | "collect">;
  /** Default client-go's: 5 ms to 1,000 s per key, 10 retries a second in all with bursts of 100. */
  readonly rateLimiter?: RateLimiter<K>;
  /** After so long the signal of a reconciliation aborts. Default 60 s. */
  readonly reconcileTimeoutMs?: number;
  /** How long a stop waits for reconciliations under way before it aborts them. Default 30 s, as controller-runtime. */
  readonly shutdownGraceMs?: number;
  readonly newTraceId?: TraceIds;
}

/** How long a stop waits for reconciliations to obey an aborted signal. */
const abortGraceMs = 1_000;

type Outcome = "success" | "error" | "requeue_after";

/**
 * Runs a reconcile function for keys that are enqueued, with controller-runtime's semantics and metrics: success
 * forgets earlier failures, an error comes back with backoff, a terminal error does not, and nothing that a reconcile
 * function throws ends the loop.
 */
export class Controller<K extends string> {
  readonly #options: ControllerOptions<K>;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #newId: TraceIds;
  readonly #queue: WorkQueue<K>;
  readonly #figures: ReturnType<typeof figuresOf>;
  /** First trigger of each key that waits. */
  readonly #triggers = new Map<K, Trigger>();
  readonly #running = new Set<AbortController>();
  #started = false;
  #stopping = false;

  constructor(options: ControllerOptions<K>) {
    this.#options = options;
    this.#clock = options.clock;
    this.#log = options.log.child({ controller: options.name });
    this.#newId = options.newTraceId ?? traceIds();
    this.#queue = new WorkQueue({
      name: options.name,
      clock: options.clock,
      metrics: options.metrics,
      rateLimiter: options.rateLimiter ?? defaultRateLimiter<K>(options.clock),
    });
    this.#figures = figuresOf(options.name, options.metrics);
    this.#figures.maxConcurrent.set(options.concurrency ?? 1);
  }

  /** Asks for a reconciliation of the key. May be called before {@link run}. */
  enqueue(key: K, options: EnqueueOptions = {}): void {
    this.#remember(key, options.trace);
    this.#queue.add(key, options.priority);
  }

  /** {@link enqueue} after a delay; of several delays of a key the one that ends first counts. */
  enqueueAfter(key: K, delayMs: number, options: EnqueueOptions = {}): void {
    this.#remember(key, options.trace);
    this.#queue.addAfter(key, delayMs, options.priority);
  }

  /**
   * Works until the signal aborts. Then no key is begun any more; what is under way may finish for the grace time, then
   * its signal aborts. Resolves when all workers have ended, or soon after that.
   * @throws HygeiaError `AlreadyStarted` at the second call: a stopped queue can not be used again
   */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#started) throw new HygeiaError("AlreadyStarted", `controller ${this.#options.name} was started before`);
    this.#started = true;
    this.#stopping = signal.aborted;
    const workers = Array.from({ length: this.#options.concurrency ?? 1 }, () => this.#work());
    const ended = Promise.all(workers).then(() => true);
    await aborted(signal);
    this.#stopping = true;
    this.#queue.shutdown();
    this.#triggers.clear();
    if (await this.#within(ended, this.#options.shutdownGraceMs ?? 30_000)) return;
    const reason = new HygeiaError("ShuttingDown", `controller ${this.#options.name} is stopped`);
    for (const running of this.#running) running.abort(reason);
    if (await this.#within(ended, abortGraceMs)) return;
    this.#log.error({ stuck: this.#running.size }, "reconciliations did not end when they were told to");
  }

  async #work(): Promise<void> {
    for (;;) {
      const item = await this.#queue.get();
      if (item === undefined) return;
      try {
        if (!this.#stopping) await this.#process(item);
      } finally {
        this.#queue.done(item.key);
      }
    }
  }

  async #process({ key, priority }: WorkItem<K>): Promise<void> {
    const trigger = this.#triggers.get(key);
    this.#triggers.delete(key);
    const abort = new AbortController();
    const context = new ReconcileContext({ key, trigger, newId: this.#newId, log: this.#log, signal: abort.signal });
    const startedAt = this.#clock.monotonic();
    const deadline = this.#startDeadline(abort, context);
    this.#running.add(abort);
    this.#figures.active.inc();
    let outcome: Outcome;
    try {
      const result = await this.#options.reconcile(key, context);
      outcome = this.#succeeded(key, priority, trigger, result);
    } catch (error) {
      outcome = "error";
      this.#failed(key, priority, trigger, context, error);
    }
    deadline.cancel();
    this.#running.delete(abort);
    this.#figures.active.dec();
    this.#figures.seconds.observe((this.#clock.monotonic() - startedAt) / 1000);
    this.#figures.results[outcome].inc();
  }

  #startDeadline(abort: AbortController, context: ReconcileContext) {
    const limitMs = this.#options.reconcileTimeoutMs ?? 60_000;
    return this.#clock.setTimer(() => {
      this.#figures.timeouts.inc();
      context.log.warn({ limitMs }, "the reconciliation is past its deadline and told to stop");
      abort.abort(new HygeiaError("ReconcileDeadline", `the reconciliation took longer than ${limitMs} ms`));
    }, limitMs);
  }

  #succeeded(key: K, priority: Priority, trigger: Trigger | undefined, result: Result): Outcome {
    this.#queue.forget(key);
    if (result === undefined || !(result.requeueAfterMs > 0)) return "success";
    if (result.keepTrigger === true) this.#restore(key, trigger);
    this.#queue.addAfter(key, result.requeueAfterMs, priority);
    return "requeue_after";
  }

  #failed(key: K, priority: Priority, trigger: Trigger | undefined, context: ReconcileContext, error: unknown): void {
    this.#figures.errors.inc();
    if (isMistake(error)) this.#figures.panics.inc();
    if (isTerminal(error)) {
      this.#figures.terminalErrors.inc();
      this.#queue.forget(key);
      context.log.error({ err: error }, "reconciliation failed for good; the next change of the object tries again");
      return;
    }
    this.#restore(key, trigger);
    this.#queue.addRateLimited(key, priority);
    const level = this.#stopping ? "info" : "error";
    context.log[level]({ err: error, retries: this.#queue.retries(key) }, "reconciliation failed; it is tried again");
  }

  #remember(key: K, trigger: Trigger | undefined): void {
    if (trigger === undefined || this.#queue.shuttingDown || this.#triggers.has(key)) return;
    this.#triggers.set(key, trigger);
  }

  /** Gives the trigger of a run to the next one: it is older than any that came meanwhile. */
  #restore(key: K, trigger: Trigger | undefined): void {
    if (trigger !== undefined && !this.#queue.shuttingDown) this.#triggers.set(key, trigger);
  }

  /** True when the promise resolves in time. */
  async #within(ended: Promise<boolean>, limitMs: number): Promise<boolean> {
    const limit = Promise.withResolvers<boolean>();
    const timer = this.#clock.setTimer(() => limit.resolve(false), limitMs);
    try {
      return await Promise.race([ended, limit.promise]);
    } finally {
      timer.cancel();
    }
  }
}

/** The metrics of one controller; every result begins at 0, so that rates are right from the first one on. */
function figuresOf(name: string, { controller }: Pick<Metrics, "controller">) {
  const labels = { controller: name };
  const result = (value: Outcome) => {
    const counter = controller.total.labels({ ...labels, result: value });
    counter.inc(0);
    return counter;
  };
  for (const counter of [controller.errors, controller.terminalErrors, controller.panics, controller.timeouts]) {
    counter.inc(labels, 0);
  }
  return {
    results: { success: result("success"), error: result("error"), requeue_after: result("requeue_after") },
    errors: controller.errors.labels(labels),
    terminalErrors: controller.terminalErrors.labels(labels),
    panics: controller.panics.labels(labels),
    timeouts: controller.timeouts.labels(labels),
    seconds: controller.seconds.labels(labels),
    active: controller.activeWorkers.labels(labels),
    maxConcurrent: controller.maxConcurrent.labels(labels),
  };
}

function isTerminal(error: unknown): boolean {
  const seen = new Set<unknown>();
  for (let cause = error; cause instanceof Error && !seen.has(cause); cause = cause.cause) {
    if (cause instanceof TerminalError) return true;
    seen.add(cause);
  }
  return false;
}

/** Errors that only a mistake in the program raises: what a panic is in Go. */
function isMistake(error: unknown): boolean {
  if (!(error instanceof Error)) return true;
  return error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
