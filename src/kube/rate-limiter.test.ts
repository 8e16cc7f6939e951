import { describe, expect, test } from "vitest";

import { ManualClock } from "../../test/support/manual-clock.ts";
import { defaultRateLimiter, ExponentialBackoff, TokenBucket } from "./rate-limiter.ts";

describe("backoff of a key", () => {
  test("starts at 5 ms, doubles, and stays at 1,000 s", () => {
    const backoff = new ExponentialBackoff<string>();
    const delays = Array.from({ length: 20 }, () => backoff.when("a"));
    expect(delays.slice(0, 5)).toEqual([5, 10, 20, 40, 80]);
    expect(delays.slice(17)).toEqual([655_360, 1_000_000, 1_000_000]);
  });

  test("stays at its limit however often the key fails", () => {
    const backoff = new ExponentialBackoff<string>(1, 60_000);
    let last = 0;
    for (let i = 0; i < 5_000; i++) last = backoff.when("a");
    expect(last).toBe(60_000);
  });

  test("is one key's own, and begins anew when the key is forgotten", () => {
    const backoff = new ExponentialBackoff<string>();
    backoff.when("a");
    backoff.when("a");
    expect(backoff.when("b")).toBe(5);
    expect(backoff.retries("a")).toBe(2);
    backoff.forget("a");
    expect(backoff.retries("a")).toBe(0);
    expect(backoff.when("a")).toBe(5);
  });
});

describe("the token bucket", () => {
  test("gives its burst at once, then promises tokens of the future one interval apart", () => {
    const bucket = new TokenBucket(new ManualClock(), { perSecond: 10, burst: 3 });
    expect(Array.from({ length: 6 }, () => bucket.reserve())).toEqual([0, 0, 0, 100, 200, 300]);
  });

  test("refills with time and never beyond its size", async () => {
    const clock = new ManualClock();
    const bucket = new TokenBucket(clock, { perSecond: 10, burst: 2 });
    expect([bucket.tryTake(), bucket.tryTake(), bucket.tryTake()]).toEqual([true, true, false]);
    await clock.advance(99);
    expect(bucket.tryTake()).toBe(false);
    await clock.advance(1);
    expect(bucket.tryTake()).toBe(true);
    await clock.advance(3_600_000);
    expect([bucket.tryTake(), bucket.tryTake(), bucket.tryTake()]).toEqual([true, true, false]);
  });
});

describe("the default limiter", () => {
  test("lets the longer of both delays count, and forgets only the key's", () => {
    const limiter = defaultRateLimiter<string>(new ManualClock(), { perSecond: 10, burst: 2 });
    expect([limiter.when("a"), limiter.when("b"), limiter.when("c"), limiter.when("a")]).toEqual([5, 5, 100, 200]);
    limiter.forget("a");
    expect(limiter.retries("a")).toBe(0);
    expect(limiter.when("a")).toBe(300);
  });

  test("can do without the bucket", () => {
    const limiter = defaultRateLimiter<string>(new ManualClock(), "Off");
    const delays = Array.from({ length: 500 }, (_, i) => limiter.when(`key-${i}`));
    expect(new Set(delays)).toEqual(new Set([5]));
  });
});
