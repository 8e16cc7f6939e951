import { expect, test } from "vitest";

import { ManualClock } from "../../../test/support/manual-clock.ts";
import { AgentRoutes } from "./agents.ts";

function routesToOneNode(): { routes: AgentRoutes; clock: ManualClock; told: string[] } {
  const clock = new ManualClock();
  const told: string[] = [];
  const onChange = (node: string): void => void told.push(`${node} ${routes.routeTo(node).kind}`);
  const routes = new AgentRoutes({ port: 8500, serverName: undefined, clock, onChange });
  routes.learnAddresses([{ Node: "n", Address: "10.0.0.1" }]);
  return { routes, clock, told };
}

/** How long the node stays out of reach after the failure that just happened, milliseconds. */
async function brokenFor({ routes, clock }: ReturnType<typeof routesToOneNode>): Promise<number> {
  const startedAt = clock.monotonic();
  while (routes.routeTo("n").kind === "Broken") await clock.advance(500);
  return clock.monotonic() - startedAt;
}

test("an agent that did not answer is soon tried again, and less and less often when it goes on", async () => {
  const one = routesToOneNode();
  const times: number[] = [];
  for (let i = 0; i < 6; i++) {
    one.routes.broken("n", "no answer");
    times.push(Math.floor((await brokenFor(one)) / 5_000) * 5_000);
  }
  expect(times).toEqual([5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
});

test("requests that fail together count as one failure", async () => {
  const one = routesToOneNode();
  for (let i = 0; i < 5; i++) one.routes.broken("n", "no answer");
  expect(await brokenFor(one)).toBeLessThan(6_000);
});

test("an answer makes it as new", async () => {
  const one = routesToOneNode();
  one.routes.broken("n", "no answer");
  await brokenFor(one);
  one.routes.broken("n", "no answer");
  one.routes.answered("n");
  expect(one.routes.routeTo("n").kind).toBe("Open");
  one.routes.broken("n", "no answer");
  expect(await brokenFor(one)).toBeLessThan(6_000);
});

test("whoever shows the way is told when it breaks and when it may be tried again, though nothing else happens", async () => {
  const { routes, clock, told } = routesToOneNode();
  routes.broken("n", "no answer");
  routes.broken("n", "no answer");
  expect(told).toEqual(["n Broken"]);
  await clock.advance(5_000);
  expect(told).toEqual(["n Broken", "n Open"]);
});

test("nobody is told of an agent that answered in the meantime, or once all is over", async () => {
  const { routes, clock, told } = routesToOneNode();
  routes.broken("n", "no answer");
  routes.answered("n");
  routes.broken("n", "no answer");
  routes.close();
  await clock.advance(120_000);
  expect(told).toEqual(["n Broken", "n Broken"]);
});
