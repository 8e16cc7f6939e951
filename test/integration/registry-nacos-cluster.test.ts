/** A real cluster of three Nacos servers, with the adapter's own timing: what one takes reaches the others in its own time. */
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";

import type { InstanceRecord, LifeReading, RestorePayload } from "../../src/registry/port.ts";
import type { RegistryView } from "../../src/registry/view.ts";
import { type NacosServer, startNacosCluster } from "../env/index.ts";
import { NacosApi, type NacosRegistration } from "../support/nacos-api.ts";
import { startGrpcRegistrant } from "../support/nacos-registrants.ts";
import { eventually, fence, never } from "../support/registry-contract/stage.ts";
import { makeNacosAdapter, nacosId, runNacosAdapter } from "../support/registry-nacos.ts";

const BEAT_EVERY_MS = 500;
/** Servers find one another, choose leaders, and one that was killed comes back: on a busy machine not within 20 s. */
const LONG = 60_000;

let servers: readonly [NacosServer, NacosServer, NacosServer];
let apis: readonly [NacosApi, NacosApi, NacosApi];
let counter = 0;
/** Not registered yet. */
let one: NacosRegistration;

beforeAll(async () => {
  const kept = new Set<string>();
  servers = (await startNacosCluster(3)) as [NacosServer, NacosServer, NacosServer];
  apis = servers.map(({ url }) => new NacosApi(url)) as [NacosApi, NacosApi, NacosApi];
  // A server is ready before it knows the others.
  const first = { service: "first", ip: "10.13.1.1", port: 8080 };
  await eventually(async () => {
    await Promise.all(apis.map((api) => api.register({ ...first, ephemeral: false })));
    await eachSays("first", ["10.13.1.1:8080#false"]);
  }, LONG);
  await eventually(async () => {
    for (const port of [1, 2, 3, 4, 5, 6, 7, 8]) {
      const keepers = await Promise.all(apis.map((api) => api.keeper("10.13.1.1", port)));
      expect(new Set(keepers).size).toBe(1);
      kept.add(keepers[0] ?? "");
    }
    expect(kept.size).toBe(3);
  }, LONG);
});
afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
});
beforeEach(() => {
  counter++;
  one = { service: `cluster-${String(counter)}`, ip: `10.13.0.${String(counter)}`, port: 8080 };
});

/** @param turn which of the servers is asked first */
function follow(turn = 0) {
  const urls = servers.map(({ url }) => url);
  return followAt([...urls.slice(turn), ...urls.slice(0, turn)]);
}

function followAt(endpoints: readonly string[]) {
  const scope = { namespace: "public", groups: [], servicePrefixes: [one.service] };
  const { adapter } = makeNacosAdapter({ connection: { endpoints }, scope, timing: { pollEvery: 200 } });
  return { adapter, view: runNacosAdapter(adapter) };
}

/** The record once the view holds everything that was written before now. */
async function current(view: RegistryView, registration = one): Promise<InstanceRecord> {
  const now = performance.now();
  await eventually(() => {
    expect(view.freshness().problem).toBeUndefined();
    expect(view.freshness().caughtUpTo).toBeGreaterThan(now);
    expect(view.get(nacosId(registration))).toBeDefined();
  }, LONG);
  const record = view.get(nacosId(registration));
  if (record === undefined) throw new Error("it is not listed");
  return record;
}

async function readingsFor(
  ms: number,
  read: () => Promise<readonly LifeReading[]>,
  check: (reading: LifeReading) => void,
): Promise<void> {
  for (const until = performance.now() + ms; performance.now() < until;) {
    for (const reading of await read()) check(reading);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function eachSays(service: string, publishers: readonly string[]): Promise<void> {
  for (const api of apis) expect((await api.publishers(service)).toSorted()).toEqual(publishers);
}

async function eachLists(expected: object): Promise<void> {
  for (const api of apis) expect(await api.list(one.service)).toMatchObject([expected]);
}

/** Who keeps what is at a port depends on it: among six ports each server keeps some. */
function atSixPorts(ephemeral: boolean, metadata = {}): readonly NacosRegistration[] {
  return [1, 2, 3, 4, 5, 6].map((n) => ({ ...one, port: 8080 + n, ephemeral, metadata }));
}

const addresses = (all: readonly NacosRegistration[], kind: string): readonly string[] =>
  all.map(({ ip, port }) => `${ip}:${String(port)}#${kind}`);

describe("what HTTP registered", () => {
  it.each([
    ["ephemeral, through the first server", 0, true],
    ["ephemeral, through the third server", 2, true],
    ["persistent, through the second server", 1, false],
  ] as const)(
    "%s, leaves all of them and is back at all of them",
    { timeout: 120_000 },
    async (_name, through, ephemeral) => {
      const all = atSixPorts(ephemeral, { "preserved.ip.delete.timeout": "600000" });
      await Promise.all(all.map((registration) => apis[through].register(registration)));
      const { adapter, view } = follow((through + 1) % 3);
      const records = await Promise.all(all.map((registration) => current(view, registration)));
      const restores = await Promise.all(
        records.map(async (record) => {
          let restore: RestorePayload | undefined;
          // On a busy machine servers tell each other later than they are given time for: then it is asked for again.
          await eventually(async () => {
            const result = await adapter.deregister(record, fence({ traceId: record.id }), never);
            expect(result.outcome).toBe("Done");
            if (result.outcome === "Done") ({ restore } = result);
          }, LONG);
          return restore;
        }),
      );
      // One that does not keep it shows it again for a moment when it is told of the registration after the removal.
      await eventually(() => eachSays(one.service, []), LONG);
      for (const restore of restores) if (restore !== undefined) expect(await adapter.put(restore, never)).toBe(true);
      await eventually(() => eachSays(one.service, addresses(all, String(ephemeral))), LONG);
    },
  );

  it("is heard of by whichever server it beats, and silent after", { timeout: 120_000 }, async () => {
    const all = atSixPorts(true, {
      "preserved.heart.beat.interval": "1000",
      "preserved.heart.beat.timeout": "4000",
      "preserved.ip.delete.timeout": "600000",
    });
    const [, , third] = apis;
    await Promise.all(all.map((registration) => third.register(registration)));
    const { adapter, view } = follow();
    const records = await Promise.all(all.map((registration) => current(view, registration)));
    const read = (): Promise<readonly LifeReading[]> =>
      Promise.all(records.map((record) => adapter.readLife(record, never)));
    const beats = setInterval(() => {
      for (const registration of all) third.beat(registration).catch(() => undefined);
    }, BEAT_EVERY_MS);
    onTestFinished(() => {
      clearInterval(beats);
    });
    await eventually(async () => {
      for (const reading of await read()) expect(reading).toMatchObject({ silentSince: undefined });
    });
    // Servers tell each other every five seconds whom they keep.
    await readingsFor(6_000, read, (reading) => {
      expect(reading).toMatchObject({ kind: "Heartbeat", silentSince: undefined });
    });
    clearInterval(beats);
    await eventually(async () => {
      for (const reading of await read()) expect(reading).toMatchObject({ silentSince: expect.any(Number) as number });
    }, LONG);
    await readingsFor(11_000, read, (reading) => {
      expect(reading).toMatchObject({ kind: "Heartbeat", silentSince: expect.any(Number) as number });
    });
  });
});

describe("what hangs on a connection to one of them", () => {
  it.each([
    ["that one", 0],
    ["another one", 1],
  ])("goes out of rotation and back at all of them, %s asked first", { timeout: 120_000 }, async (_name, turn) => {
    await startGrpcRegistrant(servers[0], one.service, [`${one.ip}:${String(one.port)}`]);
    const { adapter, view } = follow(turn);
    const listed = await current(view);
    expect(listed.format).toBe("GRPC");
    await expect(adapter.deregister(listed, fence(), never)).rejects.toMatchObject({ code: "PermissionDenied" });
    expect((await adapter.quarantine(listed, fence(), never)).outcome).toBe("Done");
    await eachLists({ enabled: false, weight: 3, metadata: { owner: "registrant" } });
    const switchedOff = await current(view);
    expect(switchedOff.quarantined).toBe(true);
    expect((await adapter.release(switchedOff, fence({ traceId: "back" }), never)).outcome).toBe("Done");
    await eachLists({ enabled: true, weight: 3, metadata: { owner: "registrant" } });
    expect(view.freshness().problem).toBeUndefined();
  });
});

describe("while one of them is not among the endpoints", () => {
  it("the view goes on, nothing is taken out, and its address is named", { timeout: 60_000 }, async () => {
    await apis[1].register({ ...one, metadata: { "preserved.ip.delete.timeout": "600000" } });
    const [first, second, third] = servers;
    for (const endpoints of [[first.url, second.url], [second.url]]) {
      const { adapter, view } = followAt(endpoints);
      const record = await current(view);
      const problem = /^the server 127\.0\.0\.1:\d+ of its cluster is none of spec\.endpoints; nothing is taken out/;
      expect(view.freshness().absence).toMatch(problem);
      if (endpoints.length === 2) expect(view.freshness().absence).toContain(new URL(third.url).host);
      for (const write of [adapter.deregister.bind(adapter), adapter.quarantine.bind(adapter)]) {
        await expect(write(record, fence(), never)).rejects.toMatchObject({
          code: "Unreachable",
          message: expect.stringMatching(problem) as string,
        });
      }
    }
    await eachLists({ enabled: true });
  });
});

describe("while one of them is gone", () => {
  it("nothing is taken out, and it is when that one is back with an empty memory", { timeout: 180_000 }, async () => {
    const [, , third] = servers;
    const beating = { ...one, metadata: { "preserved.ip.delete.timeout": "600000" } };
    await apis[0].register(beating);
    const { adapter, view } = follow();
    const before = await current(view);
    await third.process.kill();
    await eventually(() => {
      expect(view.freshness().absence).toContain(third.url);
    }, LONG);
    const meanwhile = await current(view);
    expect(meanwhile.version).toBe(before.version);
    await expect(adapter.deregister(meanwhile, fence(), never)).rejects.toMatchObject({ code: "Unreachable" });
    await expect(adapter.quarantine(meanwhile, fence(), never)).rejects.toMatchObject({ code: "Unreachable" });

    await third.process.start();
    await eventually(() => {
      expect(view.freshness().absence).toBeUndefined();
    }, LONG);
    // It learns from the others what they know, and the view is held back until it has.
    const after = await current(view);
    expect(after.version).toBe(before.version);
    await eventually(() => eachSays(one.service, [`${one.ip}:8080#true`]), LONG);
    // For a while they disagree on who keeps what, and nothing is sent.
    await eventually(async () => {
      expect((await adapter.deregister(after, fence({ traceId: "again" }), never)).outcome).toBe("Done");
    }, LONG);
    await eachSays(one.service, []);
  });
});
