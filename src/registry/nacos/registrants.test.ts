import { describe, expect, test } from "vitest";

import { instanceIn, type NacosInstance, type Publisher, type ServiceRef } from "./model.ts";
import { Registrants } from "./registrants.ts";

const RECHECK_MS = 30_000;
const CONNECTION = "1700000000000_10.0.0.1_40001";
const OTHER_CONNECTION = "1700000000000_10.0.0.9_40002";

function listed(service: string, ip: string): NacosInstance {
  const item = { ip, port: 80, healthy: true, enabled: true, ephemeral: true };
  return instanceIn(item, { group: "DEFAULT_GROUP", service });
}

function publisher(clientId: string, ip: string): Publisher {
  return { clientId, ip, port: 80, cluster: "DEFAULT" };
}

const web = listed("web", "10.0.0.1");
const api = listed("api", "10.0.0.1");
const far = listed("far", "10.0.0.9");

/** Rounds one second apart over a list that stays as it is; what registered it is as the test says. */
function makeRounds(instances: readonly NacosInstance[]) {
  const registrants = new Registrants(RECHECK_MS);
  const truth = {
    publishers: new Map<string, readonly Publisher[]>(),
    published: new Map<string, readonly ServiceRef[]>(),
  };
  let now = 0;
  const round = async (clients: readonly string[]): Promise<readonly string[]> => {
    const asked: string[] = [];
    now += 1_000;
    await registrants.refresh({
      api: {
        publishers: ({ service }) => {
          asked.push(service);
          return Promise.resolve(truth.publishers.get(service) ?? []);
        },
        published: (id) => Promise.resolve(truth.published.get(id) ?? []),
        client: () => Promise.resolve(undefined),
      },
      instances,
      clients: new Set(clients),
      call: { signal: new AbortController().signal, timeoutMs: 1_000 },
      now: () => now,
    });
    return asked.toSorted();
  };
  return { registrants, truth, round };
}

/** Everything was registered over connections that live on, and is known. */
async function makeKnown() {
  const rounds = makeRounds([web, api, far]);
  const { publishers } = rounds.truth;
  for (const service of ["web", "api"]) publishers.set(service, [publisher(CONNECTION, "10.0.0.1")]);
  publishers.set("far", [publisher(OTHER_CONNECTION, "10.0.0.9")]);
  const clients = [CONNECTION, OTHER_CONNECTION];
  expect(await rounds.round(clients)).toEqual(["api", "far", "web"]);
  expect(await rounds.round(clients)).toEqual([]);
  return { ...rounds, clients };
}

describe("a client that comes while the list stays as it is", () => {
  test("over HTTP has the services at its address asked about at once, though the connection before it lives on", async () => {
    const { registrants, truth, round, clients } = await makeKnown();
    const heir = "10.0.0.1:80#true";
    truth.publishers.set("web", [publisher(heir, "10.0.0.1")]);
    expect(await round([...clients, heir])).toEqual(["api", "web"]);
    expect(registrants.of(web)?.writers.ids).toEqual([heir]);
    expect(registrants.of(api)?.writers.ids).toEqual([CONNECTION]);
    expect(await round([...clients, heir])).toEqual([]);
  });

  test("persistently does so too", async () => {
    const { round, clients } = await makeKnown();
    expect(await round([...clients, "10.0.0.9:80#false"])).toEqual(["far"]);
  });

  test("at an address where nothing is listed has nothing asked about", async () => {
    const { round, clients } = await makeKnown();
    expect(await round([...clients, "10.0.0.2:80#true", "10.0.0.1:81#true"])).toEqual([]);
  });

  test("over a connection has the services asked about that it registered, as long as it is young", async () => {
    const { truth, round, clients } = await makeKnown();
    const young = "1700000009999_10.0.0.1_40003";
    expect(await round([...clients, young])).toEqual([]);
    truth.published.set(young, [web]);
    expect(await round([...clients, young])).toEqual(["web"]);
    for (let i = 0; i < 9; i++) await round([...clients, young]);
    expect(await round([...clients, young])).toEqual([]);
  });
});

test("a client that leaves has the services asked about in which it has something", async () => {
  const { round } = await makeKnown();
  expect(await round([OTHER_CONNECTION])).toEqual(["api", "web"]);
});
