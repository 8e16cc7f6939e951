import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";

import type { Clock, Timer } from "./clock.ts";

/** The machine's own clock. */
export const systemClock: Clock = {
  monotonic: () => performance.now(),
  wall: () => new Date(),
  setTimer: (callback: () => void, delayMs: number): Timer => {
    const handle = setTimeout(callback, delayMs);
    handle.unref();
    return {
      cancel: () => {
        clearTimeout(handle);
      },
    };
  },
  sleep: async (delayMs: number, signal?: AbortSignal): Promise<void> => {
    try {
      await delay(delayMs, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
};
