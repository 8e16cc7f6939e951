import { expect, test } from "vitest";

import { ManualClock } from "../../test/support/manual-clock.ts";
import type { ViewProblem } from "../kube/types.ts";
import { createLogger } from "../telemetry/log.ts";
import { logFreshness } from "./freshness-log.ts";

const forbidden: ViewProblem = { reason: "Forbidden", message: "pods are 13 s old: the list of pods is forbidden" };

test("the log says once each time why the cluster is not known, and when it is again", async () => {
  const clock = new ManualClock();
  const said: string[] = [];
  const log = createLogger({
    destination: {
      write: (line) => {
        const { level, reason, msg } = JSON.parse(line) as Record<string, string>;
        said.push([level, reason, msg].filter((part) => part !== undefined).join(" | "));
      },
    },
  });
  let problem: ViewProblem | undefined = { reason: "NotSynced", message: "pods have not been listed completely yet" };
  const view = { freshness: () => ({ fresh: problem === undefined, problem, caughtUpTo: 0 }) };
  const stop = new AbortController();
  const done = logFreshness(view, { clock, log }, stop.signal);
  for (const next of [undefined, undefined, forbidden, { ...forbidden, message: "pods are 14 s old" }, undefined]) {
    await clock.advance(1_000);
    problem = next;
  }
  await clock.advance(1_000);
  stop.abort();
  await done;
  expect(said).toEqual([
    "info | the cluster is known completely and is current",
    `warn | Forbidden | nothing is concluded of any instance: ${forbidden.message}`,
    "info | the cluster is known completely and is current",
  ]);
  expect(clock.pending).toBe(0);
});
