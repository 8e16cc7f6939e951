import { describe, expect, it } from "vitest";

import { ordersProgress } from "./server-version.ts";

describe("ordersProgress", () => {
  const cases: Record<string, boolean> = {
    "3.3.27": false,
    "3.4.30": false,
    "3.4.31": true,
    "3.5.0": false,
    "3.5.12": false,
    "3.5.13": true,
    "3.5.21": true,
    "3.6.0": true,
    "3.6.8": true,
    "3.10.0": true,
    "4.0.0": true,
    "3.6.0-rc.1": true,
    "": false,
    unknown: false,
    "2.3.8": false,
  };
  for (const [version, answer] of Object.entries(cases)) {
    it(`${answer ? "trusts" : "does not trust"} ${version === "" ? "a server that tells no version" : version}`, () => {
      expect(ordersProgress(version)).toBe(answer);
    });
  }
});
