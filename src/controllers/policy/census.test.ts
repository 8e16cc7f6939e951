import { describe, expect, test } from "vitest";

import { ManualClock } from "../../../test/support/manual-clock.ts";
import type { PodRecord } from "../../cluster/types.ts";
import type { CompiledPolicy } from "../types.ts";
import { createLogger } from "../../telemetry/log.ts";
import { Census, type CensusParts, countPods } from "./census.ts";

const pods = (count: number): PodRecord[] => Array.from({ length: count }, (_, i) => ({ uid: `${i}` }) as PodRecord);
const named = (...names: string[]) => names.map((name) => ({ name }) as CompiledPolicy);

describe("counting pods", () => {
  test("gives each pod to its first policy, and tells the others who took it", async () => {
    const match = (pod: PodRecord) => (Number(pod.uid) < 3 ? named("high", "mid", "low") : named("mid", "low"));
    const counts = await countPods(pods(10), match, new ManualClock(), new AbortController().signal);
    expect(counts).toEqual(
      new Map([
        ["high", { matched: 3, lost: new Map() }],
        ["mid", { matched: 7, lost: new Map([["high", 3]]) }],
        [
          "low",
          {
            matched: 0,
            lost: new Map([
              ["high", 3],
              ["mid", 7],
            ]),
          },
        ],
      ]),
    );
  });

  test("lets others work between slices", async () => {
    const clock = new ManualClock();
    let pauses = 0;
    clock.sleep = () => {
      pauses++;
      return Promise.resolve();
    };
    const counts = await countPods(pods(2_000), () => named("a"), clock, new AbortController().signal);
    expect(counts.get("a")?.matched).toBe(2_000);
    expect(pauses).toBe(4);
  });

  test("ends when it is told to", async () => {
    const abort = new AbortController();
    const counting = countPods(pods(2_000), () => named("a"), new ManualClock(), abort.signal);
    abort.abort(new Error("stop"));
    await expect(counting).rejects.toThrow("stop");
  });
});

describe("a census", () => {
  function setUp() {
    const clock = new ManualClock();
    let fresh = false;
    let tell: () => void = () => undefined;
    let counts = 0;
    const present = [...pods(3)];
    const parts = {
      cluster: {
        freshness: () => ({ fresh, problem: undefined, caughtUpTo: 0 }),
        pods: () => present.map((pod) => ({ pod, createdAfter: 0, seenAt: 0 })),
        subscribe: (listener: () => void) => {
          tell = listener;
          return () => undefined;
        },
      } as unknown as CensusParts["cluster"],
      policies: {
        matching: () => named("a")[Symbol.iterator]() as ReturnType<CensusParts["policies"]["matching"]>,
        subscribe: () => () => undefined,
      },
      clock,
      log: createLogger({ level: "silent" }),
    };
    const census = new Census(parts);
    const abort = new AbortController();
    const running = census.run(() => counts++, abort.signal);
    return {
      clock,
      census,
      present,
      tell: () => tell(),
      counts: () => counts,
      becomeFresh: () => (fresh = true),
      stop: async () => {
        abort.abort();
        await running;
      },
    };
  }

  test("knows nothing before the cluster is known, and then counts without being asked", async () => {
    const { clock, census, becomeFresh, stop } = setUp();
    await clock.advance(10_000);
    expect(census.of("a")).toBeUndefined();
    becomeFresh();
    await clock.advance(2_000);
    expect(census.of("a")?.matched).toBe(3);
    expect(census.of("other")).toEqual({ matched: 0, lost: new Map() });
    await stop();
  });

  test("counts again when something changed, and only then", async () => {
    const { clock, census, present, tell, counts, becomeFresh, stop } = setUp();
    becomeFresh();
    await clock.advance(60_000);
    expect(counts()).toBe(1);
    present.pop();
    for (let i = 0; i < 100; i++) tell();
    await clock.advance(60_000);
    expect(counts()).toBe(2);
    expect(census.of("a")?.matched).toBe(2);
    await stop();
  });
});
