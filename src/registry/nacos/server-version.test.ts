import { expect, test } from "vitest";

import { defectOf } from "./server-version.ts";

test.each(["2.2.0", "2.2.4", "2.2.3-BETA"])("%s does not drop dead connections", (version) => {
  expect(defectOf(version)).toContain("upgrade Nacos");
});

test.each(["1.4.6", "2.1.2", "2.2.5", "2.3.0", "2.20.1", "3.1.0-bugfix", "", "12.2.1"])(
  "%s is not that one",
  (version) => {
    expect(defectOf(version)).toBeUndefined();
  },
);
