import { describe, expect, it } from "vitest";

import { Breaker } from "./breaker.ts";

describe("Breaker", () => {
  it("falls back after so many calls in a row without an answer, and not before", () => {
    const breaker = new Breaker({ slowAfterMs: 200, timeouts: 3 });
    breaker.timedOut();
    breaker.timedOut();
    expect(breaker.mode).toBe("Normal");
    breaker.timedOut();
    expect(breaker.mode).toBe("Fallback");
  });

  it("starts counting again after an answer, however slow", () => {
    const breaker = new Breaker({ slowAfterMs: 200, timeouts: 2 });
    breaker.timedOut();
    expect(breaker.answered(5_000)).toBe("Slow");
    breaker.timedOut();
    expect(breaker.mode).toBe("Normal");
  });

  it("leaves Fallback with the first answer", () => {
    const breaker = new Breaker({ slowAfterMs: 200, timeouts: 1 });
    breaker.timedOut();
    expect(breaker.answered(200)).toBe("OK");
    expect(breaker.mode).toBe("Normal");
  });
});
