import type { Clock } from "../clock/clock.ts";
import type { Logger } from "../telemetry/log.ts";
import type { ClusterReader } from "./types.ts";

const LOOK_EVERY_MS = 1_000;

/**
 * Says in the log, once each time, that the cluster is not known well enough to conclude anything, and when that is
 * over. Freshness is lost by nothing happening, so it is looked at again and again, until the signal aborts.
 */
export async function logFreshness(
  view: Pick<ClusterReader, "freshness">,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  signal: AbortSignal,
): Promise<void> {
  // That nothing is known at the start is no news.
  let before: string | undefined = "NotSynced";
  while (!signal.aborted) {
    const { problem } = view.freshness(clock.monotonic());
    if (problem?.reason !== before) {
      before = problem?.reason;
      if (problem === undefined) log.info("the cluster is known completely and is current");
      else log.warn({ reason: problem.reason }, `nothing is concluded of any instance: ${problem.message}`);
    }
    await clock.sleep(LOOK_EVERY_MS, signal).catch(() => undefined);
  }
}
