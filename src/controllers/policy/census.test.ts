import { describe, expect, test } from "vitest";

import { ManualClock } from "../../../test/support/manual-clock.ts";
import type { PodRecord } from "../../cluster/types.ts";
import type { CompiledPolicy } from "../types.ts";
import { countPods } from "./census.ts";

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
    let looked = 0;
    const match = () => (looked++, named("a"));
    const counting = countPods(pods(2_000), match, clock, new AbortController().signal);
    expect(looked).toBe(500);
    await clock.advance(1);
    expect((await counting).get("a")?.matched).toBe(2_000);
  });

  test("ends when it is told to", async () => {
    const abort = new AbortController();
    const counting = countPods(pods(2_000), () => named("a"), new ManualClock(), abort.signal);
    abort.abort(new Error("stop"));
    await expect(counting).rejects.toThrow("stop");
  });
});
