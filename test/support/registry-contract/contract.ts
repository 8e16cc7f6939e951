import { describe } from "vitest";

import { describeQuarantines } from "./quarantines.ts";
import { describeRemovals } from "./removals.ts";
import { type RegistryHarness, setStage } from "./stage.ts";
import { describeTrouble } from "./trouble.ts";
import { describeViews } from "./views.ts";

/** The promises of port.ts, kept by every adapter. */
export function describeRegistryContract(name: string, start: () => Promise<RegistryHarness>): void {
  describe(`${name} keeps the registry contract`, () => {
    const stage = setStage(start);
    describeViews(stage);
    describeRemovals(stage);
    describeQuarantines(stage);
    describeTrouble(stage);
  });
}
