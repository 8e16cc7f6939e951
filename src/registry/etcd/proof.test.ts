import { describe, expect, it } from "vitest";

import { Proof } from "./proof.ts";

describe("Proof", () => {
  it("is nothing until the canary came back and everything before it was delivered", () => {
    const proof = new Proof();
    expect(proof.beat({ startedAt: 100, revision: 10 })).toBe(false);
    expect(proof.sawCanary(10)).toBe(false);
    expect(proof.caughtUpTo).toBe(Number.NEGATIVE_INFINITY);
    expect(proof.deliveredUpTo(10)).toBe(true);
    expect(proof.caughtUpTo).toBe(100);
  });

  it("does not take an earlier revision for the canary's", () => {
    const proof = new Proof();
    proof.beat({ startedAt: 100, revision: 10 });
    proof.sawCanary(10);
    expect(proof.deliveredUpTo(9)).toBe(false);
    expect(proof.waitingSince).toBe(100);
  });

  it("holds for a canary whose answer comes after its event", () => {
    const proof = new Proof();
    proof.sawCanary(10);
    proof.deliveredUpTo(12);
    expect(proof.beat({ startedAt: 100, revision: 10 })).toBe(true);
    expect(proof.caughtUpTo).toBe(100);
  });

  it("settles several canaries at once, and only those", () => {
    const proof = new Proof();
    for (const [startedAt, revision] of [
      [100, 10],
      [200, 20],
      [300, 30],
    ] as const)
      proof.beat({ startedAt, revision });
    proof.sawCanary(30);
    proof.deliveredUpTo(25);
    expect(proof.caughtUpTo).toBe(200);
    expect(proof.waitingSince).toBe(300);
  });

  it("keeps what was proven when the stream breaks, and no claim on the next one", () => {
    const proof = new Proof();
    proof.beat({ startedAt: 100, revision: 10 });
    proof.sawCanary(10);
    proof.deliveredUpTo(10);
    proof.beat({ startedAt: 200, revision: 20 });
    proof.interrupt();
    expect(proof.caughtUpTo).toBe(100);
    expect(proof.waitingSince).toBeUndefined();
    expect(proof.delivered).toBe(0);
  });

  it("keeps nothing when the data is another one", () => {
    const proof = new Proof();
    proof.beat({ startedAt: 100, revision: 10 });
    proof.sawCanary(10);
    proof.deliveredUpTo(10);
    proof.reset();
    expect(proof.caughtUpTo).toBe(Number.NEGATIVE_INFINITY);
  });
});
