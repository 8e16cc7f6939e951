import type { Ledger } from "./ledger.ts";
import { add, holds, type PartOutcome, skip } from "./outcome.ts";
import type { ContainerShape, PodShape } from "./pod-shape.ts";
import type { PatchOperation, Site } from "./types.ts";

/** The sleep action is on by default from this minor version of Kubernetes on (KEP-3960, beta). */
const sleepSinceMinor = 30;

/** Raises the grace period, and never lowers it. @param wanted seconds */
export function mutateGracePeriod(wanted: number, pod: PodShape): PartOutcome {
  const part = "gracePeriod";
  if (pod.gracePeriod >= wanted) return holds(part);
  const patch = [add("/spec/terminationGracePeriodSeconds", wanted)];
  return { part, patch, set: [], applied: true, skipped: undefined };
}

/**
 * Gives containers without a preStop hook one that sleeps. Sidecars need none: they are told to end after the others.
 * @param seconds of sleep
 * @param gracePeriod seconds, as they will be
 */
export function mutatePreStop(
  seconds: number,
  gracePeriod: number,
  pod: PodShape,
  site: Site,
  ledger: Pick<Ledger, "isOurs">,
): PartOutcome {
  const part = "preStop";
  const ours = pod.containers.filter(
    ({ hasPreStop, preStopSleep }) =>
      !hasPreStop ||
      (preStopSleep !== undefined && (preStopSleep === seconds || ledger.isOurs("preStop", preStopSleep.toString()))),
  );
  if (ours.length === 0) return skip(part, "SetByAuthor", "every container has a preStop hook of its own");
  if (ours.every(({ preStopSleep }) => preStopSleep === seconds)) return holds(part);
  if (site.serverMinor < sleepSinceMinor) {
    const message = `the sleep action needs Kubernetes 1.${sleepSinceMinor}, this is 1.${site.serverMinor}`;
    return skip(part, "SleepActionUnknown", message);
  }
  if (gracePeriod <= seconds) {
    const message = `a sleep of ${seconds} s leaves nothing of the grace period of ${gracePeriod} s`;
    return skip(part, "GracePeriodTooShort", message);
  }
  return {
    part,
    patch: ours.flatMap((container) => patchOf(container, seconds)),
    set: [["preStop", seconds.toString()]],
    applied: true,
    skipped: undefined,
  };
}

function patchOf(container: ContainerShape, seconds: number): PatchOperation[] {
  if (container.preStopSleep === seconds) return [];
  const path = `${container.path}/lifecycle`;
  const preStop = { sleep: { seconds } };
  if (!container.hasLifecycle) return [add(path, { preStop })];
  if (!container.hasPreStop) return [add(`${path}/preStop`, preStop)];
  return [add(`${path}/preStop/sleep/seconds`, seconds)];
}
