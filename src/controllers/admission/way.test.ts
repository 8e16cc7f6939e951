import { expect, test } from "vitest";

import type { AdmissionMode } from "../../admission/settings.ts";
import { type Availability, type Way, wayOf } from "./way.ts";

type Row = readonly [
  mode: AdmissionMode,
  isInstalled: boolean | undefined,
  mutating: Availability | undefined,
  way: Way,
];

test.each(
  Object.entries<Row>({
    "none is none, whatever there is": ["none", true, "Usable", "None"],
    "the webhook is asked for": ["webhook", undefined, undefined, "Webhook"],
    "the API server's policies are asked for": ["policy", true, "Usable", "Policy"],
    "they are asked for and not served": ["policy", false, "NotServed", "NotServed"],
    "they are asked for and may not be written": ["policy", false, "NotAllowed", "NotAllowed"],
    "they are asked for and nothing is known": ["policy", undefined, undefined, "NotKnownYet"],
    "auto takes the webhook where it is installed": ["auto", true, "Usable", "Webhook"],
    "auto takes it before anything is known of the API server": ["auto", true, undefined, "Webhook"],
    "auto takes the policies where there is no webhook": ["auto", false, "Usable", "Policy"],
    "auto does nothing where neither is there": ["auto", false, "NotServed", "None"],
    "auto does nothing where the policies may not be written": ["auto", false, "NotAllowed", "None"],
    "auto waits until it knows of the webhook": ["auto", undefined, "Usable", "NotKnownYet"],
    "auto waits until it knows of the API server": ["auto", false, undefined, "NotKnownYet"],
  }),
)("%s", (_, [mode, isInstalled, mutating, way]) => {
  const served = mutating === undefined ? undefined : ({ mutating, validating: "Usable" } as const);
  expect(wayOf(mode, isInstalled, served)).toBe(way);
});
