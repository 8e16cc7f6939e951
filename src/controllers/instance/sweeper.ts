import type { Random } from "../../clock/clock.ts";
import type { ClusterReader } from "../../cluster/types.ts";
import type { Logger } from "../../telemetry/log.ts";
import { registryProblemOf } from "../../verdict/gather.ts";
import { sweep, type SweepParts } from "./sweep.ts";

export interface SweeperParts extends SweepParts {
  readonly cluster: Pick<ClusterReader, "freshness">;
  readonly random: Random;
  readonly log: Logger;
  /** Time between two sweeps, give or take a tenth, milliseconds. */
  readonly sweepEveryMs: number;
  /** A view of a registry older than this decides nothing, milliseconds. */
  readonly freshForMs: number;
  /** Called after each sweep. */
  readonly swept: () => void;
}

/** Between two looks whether a sweep is wanted before its time, so that many reasons make one sweep, milliseconds. */
const LOOK_EVERY_MS = 100;
/** After a sweep that failed, milliseconds. */
const AFTER_FAILURE_MS = 1_000;

/** Sweeps from time to time, and before that when somebody asks or a view has become fresh. */
export class Sweeper {
  readonly #parts: SweeperParts;
  #isAsked = false;
  /** Names of registries whose records could be judged at the last look. */
  #judgeable: ReadonlySet<string> = new Set();

  constructor(parts: SweeperParts) {
    this.#parts = parts;
  }

  sweepSoon(): void {
    this.#isAsked = true;
  }

  /** Works until the signal aborts, then resolves. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, log, sweepEveryMs, swept } = this.#parts;
    for (;;) {
      try {
        // Before the sweep: what becomes fresh in the middle of it is swept once more.
        this.#judgeable = this.#judgeableNow();
        await sweep(this.#parts, signal);
        swept();
        await this.#untilNext(sweepEveryMs * (0.9 + 0.2 * random()), signal);
      } catch (error) {
        if (signal.aborted) return;
        log.error({ err: error }, "a sweep failed; the next one follows");
        await clock.sleep(AFTER_FAILURE_MS, signal).catch(() => undefined);
      }
      if (signal.aborted) return;
    }
  }

  async #untilNext(periodMs: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const until = clock.monotonic() + periodMs;
    while (clock.monotonic() < until) {
      await clock.sleep(Math.min(LOOK_EVERY_MS, until - clock.monotonic()), signal);
      const before = this.#judgeable;
      this.#judgeable = this.#judgeableNow();
      const hasGrown = !this.#judgeable.isSubsetOf(before);
      if (!this.#isAsked && !hasGrown) continue;
      this.#isAsked = false;
      return;
    }
  }

  #judgeableNow(): ReadonlySet<string> {
    const { cluster, registries, clock, freshForMs } = this.#parts;
    const now = clock.monotonic();
    const names = new Set<string>();
    if (!cluster.freshness(now).fresh) return names;
    for (const { name, view } of registries.values()) {
      if (registryProblemOf(view.freshness(), now, freshForMs) === undefined) names.add(name);
    }
    return names;
  }
}
