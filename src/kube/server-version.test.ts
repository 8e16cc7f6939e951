import { describe, expect, test } from "vitest";

import { ManualClock } from "../../test/support/manual-clock.ts";
import { KubeError } from "./http-errors.ts";
import { ServerVersion } from "./server-version.ts";

/** Answers in order; the last one again and again. */
function setUp(...answers: readonly (object | KubeError)[]) {
  const clock = new ManualClock();
  const asked: number[] = [];
  const told: (number | undefined)[] = [];
  const request = ({ path }: { readonly path: string }) => {
    expect(path).toBe("/version");
    const answer = answers[Math.min(asked.length, answers.length - 1)];
    asked.push(clock.monotonic());
    return answer instanceof KubeError
      ? Promise.reject(answer)
      : Promise.resolve({ status: 200, headers: {}, body: answer });
  };
  const version = new ServerVersion({ transport: { request }, clock, random: () => 0 });
  version.subscribe(() => told.push(version.minor));
  const stop = new AbortController();
  const running = version.run(stop.signal);
  return { clock, version, asked, told, stop, running };
}

describe("the version of the API server", () => {
  test.each([
    ["36", 36],
    ["29+", 29],
    ["9", 9],
  ])("with minor %s is %i", async (minor, expected) => {
    const { clock, version, stop, running } = setUp({ major: "1", minor });
    expect(version.minor).toBeUndefined();
    await clock.advance(0);
    expect(version.minor).toBe(expected);
    stop.abort();
    await running;
  });

  test.each([[{}], [{ major: "1", minor: "x" }], [{ major: "2", minor: "1" }], [{ major: "1", minor: 36 }]])(
    "is not known from %j",
    async (answer) => {
      const { clock, version, asked, stop, running } = setUp(answer);
      await clock.advance(10_000);
      expect(version.minor).toBeUndefined();
      expect(asked.length).toBeGreaterThan(1);
      stop.abort();
      await running;
    },
  );

  test("is asked for again after a failure, with growing waits, and no sooner than the server says", async () => {
    const busy = new KubeError("TooManyRequests", "busy", { status: 429, reason: "", retryAfterMs: 20_000 });
    const lost = new KubeError("ConnectionLost", "gone");
    const { clock, version, asked, stop, running } = setUp(lost, lost, busy, { major: "1", minor: "36" });
    await clock.advance(60_000);
    expect(asked).toEqual([0, 800, 2_400, 22_400].map((ms) => (asked[0] ?? 0) + ms));
    expect(version.minor).toBe(36);
    stop.abort();
    await running;
  });

  test("is known to have changed within the hour, and subscribers are told once", async () => {
    const { clock, version, told, stop, running } = setUp(
      { major: "1", minor: "35" },
      { major: "1", minor: "35" },
      new KubeError("ConnectionLost", "gone"),
      { major: "1", minor: "36" },
    );
    await clock.advance(3_600_000);
    expect(version.minor).toBe(35);
    await clock.advance(3_600_000);
    expect(version.minor).toBe(35);
    await clock.advance(1_000);
    expect(told).toEqual([35, 36]);
    stop.abort();
    await running;
  });

  test("a mistake of ours is not taken for a failure of the server", async () => {
    const version = new ServerVersion({
      transport: { request: () => Promise.reject(new TypeError("mistake")) },
      clock: new ManualClock(),
      random: () => 0,
    });
    await expect(version.run(new AbortController().signal)).rejects.toThrow("mistake");
  });
});
