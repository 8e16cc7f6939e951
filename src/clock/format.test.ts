import { describe, expect, test } from "vitest";

import { microTime, secondTime } from "./format.ts";

describe("wall time as Kubernetes writes it", () => {
  const time = new Date(Date.UTC(2026, 10, 22, 16, 42, 7, 89));

  test("a MicroTime has exactly six digits", () => {
    expect(microTime(time)).toBe("2026-11-22T16:42:07.089000Z");
  });

  test("a Time has whole seconds, cut and not rounded", () => {
    expect(secondTime(new Date(Date.UTC(2026, 10, 22, 16, 42, 7, 999)))).toBe("2026-11-22T16:42:07Z");
  });
});
