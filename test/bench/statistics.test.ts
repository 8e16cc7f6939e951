import { describe, expect, test } from "vitest";

import { distributionOf } from "./statistics.ts";

describe("distributionOf", () => {
  test("a thousand values in any order have the ranks one expects", () => {
    const values = Array.from({ length: 1000 }, (_, i) => ((i * 7) % 1000) + 1);
    expect(distributionOf(values)).toEqual({ count: 1000, p50: 500, p99: 990, p999: 999, max: 1000 });
  });

  test("one value is every quantile", () => {
    expect(distributionOf([3])).toEqual({ count: 1, p50: 3, p99: 3, p999: 3, max: 3 });
  });

  test("no values give no figures", () => {
    expect(distributionOf([])).toEqual({ count: 0, p50: NaN, p99: NaN, p999: NaN, max: NaN });
  });
});
