import { performance } from "node:perf_hooks";
import { setImmediate as nextTurn, setTimeout as delay } from "node:timers/promises";

import type { Clock, Timer } from "./clock.ts";

/** Longest delay that Node's timers can hold; a longer one would fire at once. */
const longestTimerMs = 2 ** 31 - 1;

function setTimer(callback: () => void, delayMs: number): Timer {
  const due = performance.now() + delayMs;
  let handle: NodeJS.Timeout;
  const arm = (leftMs: number): void => {
    handle = setTimeout(
      () => {
        const left = due - performance.now();
        // Node rounds delays down to whole milliseconds, and long ones are cut into pieces.
        if (left > 0) arm(left);
        else callback();
      },
      Math.min(Math.max(Math.ceil(leftMs), 0), longestTimerMs),
    );
    handle.unref();
  };
  arm(delayMs);
  return { cancel: () => clearTimeout(handle) };
}

/** The machine's own clock. */
export const systemClock: Clock = {
  monotonic: () => performance.now(),
  wall: () => new Date(),
  setTimer,
  sleep: async (delayMs: number, signal?: AbortSignal): Promise<void> => {
    const due = performance.now() + delayMs;
    if (delayMs <= 0) await nextTurn();
    for (let left = delayMs; left > 0; left = due - performance.now()) {
      try {
        await delay(Math.min(Math.ceil(left), longestTimerMs), undefined, signal === undefined ? {} : { signal });
      } catch (error) {
        signal?.throwIfAborted();
        throw error;
      }
    }
    signal?.throwIfAborted();
  },
};
