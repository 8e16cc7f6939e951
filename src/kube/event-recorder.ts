import { randomBytes } from "node:crypto";

import type { Clock, Random } from "../clock/clock.ts";
import { HygeiaError } from "../errors.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { dedupeKey, eventBody, namespaceOf } from "./event-recorder-body.ts";
import type { EventNote } from "./event-recorder-body.ts";
import { RecentKeys } from "./event-recorder-recent.ts";
import { KubeError } from "./http-errors.ts";
import { TokenBucket } from "./rate-limiter.ts";
import type { KubeTransport } from "./transport.ts";

export type { EventNote, ObjectReference } from "./event-recorder-body.ts";

interface EventRecorderOptions {
  readonly transport: Pick<KubeTransport, "request">;
  /** Which replica reports: the pod's name. */
  readonly reportingInstance: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "events">;
}

/** Why an Event was not written; label of `hygeia_events_dropped_total`. */
type DropCause = "RateLimited" | "QueueFull" | "Rejected" | "Unreachable" | "Closed" | "Invalid";

interface Queued {
  readonly path: string;
  readonly body: Record<string, unknown>;
  readonly key: string;
}

const reportingController = "hygeia.dev/operator";
/** karpenter's: the same news is told once in two minutes. */
const dedupeMs = 120_000;
/** client-go's correlator remembers as many. */
const dedupeLimit = 4096;
/** For each reason; a mass eviction needs no Event for every instance, the report has them. karpenter's figures. */
const perReason = { perSecond: 5, burst: 10 };
/** Reasons are constants of ours; a wrong use of them must not fill the memory. */
const reasonLimit = 256;
const queueLimit = 1000;
const maxAttempts = 5;
const firstRetryMs = 500;
const lastRetryMs = 15_000;
const callDeadlineMs = 10_000;

/**
 * Writes `events.k8s.io/v1` Events. publish() never throws and never waits: Events are sent one after the other in the
 * background, retried a few times, and dropped and counted where they are too many or can not be written.
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #recent: RecentKeys;
  readonly #buckets = new Map<string, TokenBucket>();
  readonly #queue: Queued[] = [];
  readonly #stop = new AbortController();
  #sending: Promise<void> | undefined;
  #closed = false;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#recent = new RecentKeys(options.clock, dedupeMs, dedupeLimit);
  }

  /** Tells of an event, unless the same was told within two minutes. */
  publish(event: EventNote): void {
    try {
      const key = dedupeKey(event);
      if (this.#recent.has(key)) return;
      const obstacle = this.#obstacle(event.reason);
      if (obstacle !== undefined) {
        this.#drop(obstacle, event.reason);
        return;
      }
      const suffix = randomBytes(8).toString("hex");
      const reporter = { controller: reportingController, instance: this.#options.reportingInstance };
      const body = eventBody(event, reporter, suffix, this.#options.clock.wall());
      const namespace = encodeURIComponent(namespaceOf(event));
      this.#recent.add(key);
      this.#queue.push({ path: `/apis/events.k8s.io/v1/namespaces/${namespace}/events`, body, key });
      this.#sending ??= this.#send();
    } catch (error) {
      this.#drop("Invalid", event.reason, error);
    }
  }

  /** Takes no more events and waits at most `graceMs` for those on their way; the rest is dropped. */
  async close(graceMs: number): Promise<void> {
    this.#closed = true;
    const grace = this.#options.clock.setTimer(
      () => this.#stop.abort(new HygeiaError("ShuttingDown", "the event recorder is closed")),
      graceMs,
    );
    await this.#sending;
    grace.cancel();
  }

  #obstacle(reason: string): DropCause | undefined {
    if (this.#closed) return "Closed";
    if (this.#queue.length >= queueLimit) return "QueueFull";
    return this.#bucketOf(reason).tryTake() ? undefined : "RateLimited";
  }

  #bucketOf(reason: string): TokenBucket {
    const known = this.#buckets.get(reason);
    if (known !== undefined) return known;
    const [oldest] = this.#buckets.keys();
    if (oldest !== undefined && this.#buckets.size >= reasonLimit) this.#buckets.delete(oldest);
    const bucket = new TokenBucket(this.#options.clock, perReason);
    this.#buckets.set(reason, bucket);
    return bucket;
  }

  async #send(): Promise<void> {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      // What was not told is still news.
      if ((await this.#post(next)) !== undefined) this.#recent.delete(next.key);
    }
    this.#sending = undefined;
  }

  /** @returns why it was given up, undefined when it was written */
  async #post({ path, body }: Queued): Promise<DropCause | undefined> {
    const { transport, clock } = this.#options;
    const reason = String(body["reason"]);
    for (let attempt = 1; ; attempt++) {
      try {
        this.#stop.signal.throwIfAborted();
        const signal = this.#stop.signal;
        await transport.request({ method: "POST", path, body, deadlineMs: callDeadlineMs, signal });
        return undefined;
      } catch (error) {
        // An earlier attempt arrived and only its answer was lost: the name is ours alone.
        if (error instanceof KubeError && error.isAlreadyExists) return undefined;
        if (this.#stop.signal.aborted) return this.#drop("Closed", reason);
        if (!isPassing(error)) return this.#drop("Rejected", reason, error);
        if (attempt === maxAttempts) return this.#drop("Unreachable", reason, error);
        await clock.sleep(this.#retryDelay(attempt, error), this.#stop.signal).catch(() => undefined);
      }
    }
  }

  #retryDelay(attempt: number, error: unknown): number {
    const backoff = Math.min(firstRetryMs * 2 ** (attempt - 1), lastRetryMs) * (0.5 + this.#options.random() / 2);
    const asked = error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0;
    return Math.max(backoff, Math.min(asked, lastRetryMs));
  }

  #drop(cause: DropCause, reason: string, error?: unknown): DropCause {
    this.#options.metrics.events.dropped.inc({ cause });
    if (error === undefined) this.#options.log.debug({ cause, reason }, "an Event was dropped");
    else this.#options.log.warn({ cause, reason, err: error }, "an Event could not be written");
    return cause;
  }
}

/** True for failures that may be gone at the next attempt. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof KubeError)) return false;
  return error.status === 0 || error.isTooManyRequests || error.status >= 500;
}
