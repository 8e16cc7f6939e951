import { describe, expect, test } from "vitest";

import { ManualClock } from "../../test/support/manual-clock.ts";
import { createLogger } from "../telemetry/log.ts";
import { createMetrics } from "../telemetry/metrics.ts";
import { LeaseElection } from "./leader-election-elector.ts";
import { electionIdentity, NoElection } from "./leader-election.ts";

describe("without an election", () => {
  test("the only replica leads from the start until its work has ended", async () => {
    const story: string[] = [];
    const finish = Promise.withResolvers<undefined>();
    const stop = new AbortController();
    const election = new NoElection({
      onStarted: (signal) => void story.push(`started ${String(signal.aborted)}`),
      onStopped: async () => {
        story.push("stopped");
        await finish.promise;
      },
    });
    expect([election.isLeader(), election.isValid(), election.validUntil()]).toEqual([false, false, -Infinity]);
    const running = election.run(stop.signal);
    expect([election.isLeader(), election.isValid(), election.validUntil()]).toEqual([true, true, Infinity]);
    stop.abort();
    await Promise.resolve();
    expect(election.isValid()).toBe(true);
    finish.resolve(undefined);
    await running;
    expect(story).toEqual(["started false", "stopped"]);
    expect([election.isLeader(), election.isValid(), election.validUntil()]).toEqual([false, false, -Infinity]);
  });

  test("nothing begins after a stop", async () => {
    const story: string[] = [];
    const election = new NoElection({ onStarted: () => void story.push("started"), onStopped: () => undefined });
    await election.run(AbortSignal.abort());
    expect(story).toEqual([]);
  });
});

describe("an election", () => {
  const times: Record<string, [number, number, number]> = {
    "a renew deadline as long as the lease": [15_000, 15_000, 2_000],
    "a retry period that jitter brings to the renew deadline": [15_000, 10_000, 8_334],
    "a lease of half seconds, which the API can not hold": [15_500, 10_000, 2_000],
    "no retry period": [15_000, 10_000, 0],
    "a time that is no number": [NaN, 10_000, 2_000],
  };
  for (const [what, [leaseDurationMs, renewDeadlineMs, retryPeriodMs]] of Object.entries(times)) {
    test(`is refused with ${what}`, () => {
      const create = (): unknown =>
        new LeaseElection({
          transport: { request: () => Promise.reject(new Error("not reached")) },
          ...{ namespace: "default", name: "x", identity: "a", leaseDurationMs, renewDeadlineMs, retryPeriodMs },
          callbacks: { onStarted: () => undefined, onStopped: () => undefined },
          clock: new ManualClock(),
          random: Math.random,
          log: createLogger({ level: "silent" }),
          metrics: createMetrics({ version: "test" }),
        });
      expect(create).toThrow(expect.objectContaining({ code: "BadElectionTimes" }));
    });
  }

  test("knows each process by another identity", () => {
    expect(electionIdentity()).not.toBe(electionIdentity());
    expect(electionIdentity()).toMatch(/^.+_[0-9a-f-]{36}$/);
  });
});
