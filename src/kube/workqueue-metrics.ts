import type { Clock } from "../clock/clock.ts";
import type { Metrics } from "../telemetry/metrics.ts";

/** The figures of one queue, under client-go's names. */
export class WorkQueueMetrics {
  readonly #depth;
  readonly #adds;
  readonly #retries;
  readonly #queueSeconds;
  readonly #workSeconds;
  /** Ends the reading of work under way at each scrape. */
  readonly close: () => void;

  /**
   * @param processing when the work under way began, by key: read at each scrape
   */
  constructor(
    name: string,
    metrics: Pick<Metrics, "workqueue" | "collect">,
    clock: Clock,
    processing: ReadonlyMap<unknown, number>,
  ) {
    const { workqueue } = metrics;
    this.#depth = workqueue.depth.labels({ name });
    this.#adds = workqueue.adds.labels({ name });
    this.#retries = workqueue.retries.labels({ name });
    this.#queueSeconds = workqueue.queueDuration.labels({ name });
    this.#workSeconds = workqueue.workDuration.labels({ name });
    this.#depth.set(0);
    this.#adds.inc(0);
    this.#retries.inc(0);
    const unfinished = workqueue.unfinishedWork.labels({ name });
    const longest = workqueue.longestRunning.labels({ name });
    this.close = metrics.collect(() => {
      const now = clock.monotonic();
      let [sum, max] = [0, 0];
      for (const startedAt of processing.values()) {
        sum += now - startedAt;
        max = Math.max(max, now - startedAt);
      }
      unfinished.set(sum / 1000);
      longest.set(max / 1000);
    });
  }

  added(depth: number): void {
    this.#adds.inc();
    this.#depth.set(depth);
  }

  taken(depth: number, waitedMs: number): void {
    this.#depth.set(depth);
    this.#queueSeconds.observe(waitedMs / 1000);
  }

  done(workedMs: number): void {
    this.#workSeconds.observe(workedMs / 1000);
  }

  retried(): void {
    this.#retries.inc();
  }
}
