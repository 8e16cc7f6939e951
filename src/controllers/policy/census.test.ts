import { describe, expect, test } from "vitest";

import { ManualClock } from "../../../test/support/manual-clock.ts";
import type { PodRecord } from "../../cluster/types.ts";
import type { CompiledPolicy } from "../types.ts";
import { createLogger } from "../../telemetry/log.ts";
import { Census, type CensusParts, countPods } from "./census.ts";

const pods = (count: number): PodRecord[] =>
  Array.from({ length: count }, (_, i) => ({ uid: `${i}`, namespace: "shop", template: "{}" }) as PodRecord);
/** Judges no pod. */
const nobody = { judge: () => undefined };
const unknown = (count: number) => ({ compliant: 0, drifted: 0, exempt: 0, unknown: count, findings: [] });
const named = (...names: string[]) => names.map((name) => ({ name, plan: { mode: "Audit" } }) as CompiledPolicy);

describe("counting pods", () => {
  test("gives each pod to its first policy, and tells the others who took it", async () => {
    const match = (pod: PodRecord) => (Number(pod.uid) < 3 ? named("high", "mid", "low") : named("mid", "low"));
    const counts = await countPods(pods(10), match, nobody, new ManualClock(), new AbortController().signal);
    expect(counts).toEqual(
      new Map([
        ["high", { matched: 3, lost: new Map(), compliance: unknown(3) }],
        ["mid", { matched: 7, lost: new Map([["high", 3]]), compliance: unknown(7) }],
        [
          "low",
          {
            matched: 0,
            lost: new Map([
              ["high", 3],
              ["mid", 7],
            ]),
            compliance: unknown(0),
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
    const counts = await countPods(pods(2_000), () => named("a"), nobody, clock, new AbortController().signal);
    expect(counts.get("a")?.matched).toBe(2_000);
    expect(pauses).toBe(20);
  });

  test("ends when it is told to", async () => {
    const abort = new AbortController();
    const counting = countPods(pods(2_000), () => named("a"), nobody, new ManualClock(), abort.signal);
    abort.abort(new Error("stop"));
    await expect(counting).rejects.toThrow("stop");
  });
});

describe("a census", () => {
  function setUp() {
    const clock = new ManualClock();
    let fresh = false;
    let tell: () => void = () => undefined;
    let tellSites: () => void = () => undefined;
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
        values: () => [{ name: "a", generation: 4 } as CompiledPolicy],
      },
      sites: {
        siteOf: () => undefined,
        subscribe: (listener: () => void) => {
          tellSites = listener;
          return () => undefined;
        },
      },
      excluded: new Set<string>(),
      clock,
      log: createLogger({ level: "silent" }),
    };
    const census = new Census(parts);
    const abort = new AbortController();
    census.subscribe(() => counts++);
    const running = census.run(abort.signal);
    return {
      clock,
      census,
      present,
      tell: () => tell(),
      tellSites: () => tellSites(),
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
    expect(census.of("a")?.generation).toBe(4);
    const none = { matched: 0, lost: new Map(), compliance: unknown(0), generation: undefined };
    expect(census.of("other")).toEqual(none);
    await stop();
    expect(census.of("a")).toBeUndefined();
  });

  test("counts again when name servers or versions changed, of which the cluster view does not tell", async () => {
    const { clock, tellSites, counts, becomeFresh, stop } = setUp();
    becomeFresh();
    await clock.advance(60_000);
    tellSites();
    await clock.advance(60_000);
    expect(counts()).toBe(2);
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
