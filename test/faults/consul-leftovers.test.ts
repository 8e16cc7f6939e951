/** What an operator that was killed leaves in Consul: nothing that Consul does not take away by itself. */
import { afterAll, beforeAll, expect, test } from "vitest";

import { catalogRegistration, EXTERNAL_NODE } from "../support/consul-api.ts";
import { ConsulStage } from "../support/consul-stage.ts";

const ID = "web-1";
/** The longest that Consul grants. */
const DAY_SECONDS = 24 * 3_600;

interface Session {
  readonly ID: string;
  readonly Name: string;
  readonly TTL: string;
  readonly Behavior: string;
}

interface Key {
  readonly Key: string;
  readonly Session?: string;
}

let stage: ConsulStage;

beforeAll(async () => {
  stage = await ConsulStage.start();
});
afterAll(async () => {
  await stage.stop();
});

test("SIGKILL after an eviction: every key hangs on a session, and every session runs out and takes its keys along", async () => {
  const { api, fixture, operator } = stage;
  const pod = await stage.living((host) =>
    api.put("/v1/catalog/register", catalogRegistration({ id: ID, service: "web", host, status: "passing" })),
  );
  await fixture.confirmDeath(pod);
  await stage.until("it left", async () => !((await api.services(EXTERNAL_NODE)) ?? []).includes(ID));
  await operator.kill();
  const keys = (await api.get("/v1/kv/?recurse")) as readonly Key[];
  const kinds = keys.map(({ Key: key }) => /^hygeia\/[^/]+\/(canary|lock|undo)\//.exec(key)?.[1] ?? key);
  expect(kinds.toSorted()).toEqual(["canary", "lock", "undo"]);
  const sessions = (await api.get("/v1/session/list")) as readonly Session[];
  for (const { Name, TTL, Behavior } of sessions) {
    expect(Name).toMatch(/^hygeia (canary|lock|undo records) of /);
    expect([Name, Behavior]).toEqual([Name, "delete"]);
    expect(TTL).toMatch(/^\d+s$/);
    expect(Number.parseInt(TTL)).toBeLessThanOrEqual(DAY_SECONDS);
  }
  const ids = sessions.map((session) => session.ID);
  for (const { Key: key, Session: session = "" } of keys) expect([key, ids.includes(session)]).toEqual([key, true]);
});
