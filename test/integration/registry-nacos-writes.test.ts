/** What can be removed from Nacos, what can only be taken out of rotation, and what comes back. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import type { NacosAdapter } from "../../src/registry/nacos/adapter.ts";
import type { InstanceRecord } from "../../src/registry/port.ts";
import type { RegistryView } from "../../src/registry/view.ts";
import { type NacosServer, startNacos } from "../env/index.ts";
import { NacosApi, type NacosRegistration } from "../support/nacos-api.ts";
import { startGrpcRegistrant, startHttpRegistrant } from "../support/nacos-registrants.ts";
import { eventually, fence, never } from "../support/registry-contract/stage.ts";
import { makeNacosAdapter, nacosId, runNacosAdapter } from "../support/registry-nacos.ts";

let server: NacosServer;
let api: NacosApi;
let counter = 0;
/** Not registered yet. */
let one: NacosRegistration;

beforeAll(async () => {
  server = await startNacos();
  api = new NacosApi(server.url);
});
afterAll(async () => {
  await server.stop();
});
beforeEach(() => {
  counter++;
  one = { service: `web-${String(counter)}`, ip: `10.4.0.${String(counter)}`, port: 8080 };
});

function run(): { readonly adapter: NacosAdapter; readonly view: RegistryView } {
  const { adapter } = makeNacosAdapter({ connection: { endpoints: [server.url] } });
  return { adapter, view: runNacosAdapter(adapter) };
}

/** The record once the view holds everything that was written before now. */
async function current(view: RegistryView, id = nacosId(one)): Promise<InstanceRecord> {
  const now = performance.now();
  await eventually(() => {
    expect(view.freshness().caughtUpTo).toBeGreaterThan(now);
    expect(view.get(id)).toBeDefined();
  });
  const record = view.get(id);
  if (record === undefined) throw new Error(`${id} is not listed`);
  return record;
}

const address = ({ ip, port }: NacosRegistration): string => `${ip}:${String(port)}`;

describe("what an HTTP client registered", () => {
  it("comes back after a delete while its process beats: a sign of life", { timeout: 40_000 }, async () => {
    const { adapter, view } = run();
    await startHttpRegistrant(server, one);
    const record = await current(view);
    expect(record).toMatchObject({ format: "HTTP", ttlMs: 30_000, removal: { effective: "Yes" } });
    expect((await adapter.deregister(record, fence(), never)).outcome).toBe("Done");
    expect(view.get(record.id)).toBeUndefined();
    await eventually(() => {
      expect(view.get(record.id)).toBeDefined();
    });
    expect(view.get(record.id)?.version).not.toBe(record.version);
    expect(view.get(record.id)?.writtenAfter).toBeGreaterThan(record.seenAt);
  });

  it("tells of its silence, and of the beat that ends it", { timeout: 40_000 }, async () => {
    const { adapter, view } = run();
    const life = { "preserved.heart.beat.interval": "1000", "preserved.heart.beat.timeout": "2000" };
    const silent = { ...one, metadata: { ...life, "preserved.ip.delete.timeout": "600000" } };
    await api.register(silent);
    const record = await current(view);
    const reading = await adapter.readLife(record, never);
    expect(reading).toMatchObject({ kind: "Heartbeat", grantedMs: 2_000, silentSince: undefined });
    await eventually(async () => {
      const { silentSince } = (await adapter.readLife(record, never)) as { silentSince: number | undefined };
      expect(silentSince).toBeDefined();
    });
    await api.beat(silent);
    expect(await adapter.readLife(record, never)).toMatchObject({ silentSince: undefined });
    await eventually(() => {
      expect(view.get(record.id)?.touchedAfter).toBeGreaterThan(record.touchedAfter);
    });
  });

  it("is left alone when it was registered with other content in the meantime", async () => {
    const { adapter, view } = run();
    await api.register(one);
    const record = await current(view);
    await api.register({ ...one, metadata: { process: "another" } });
    expect(await adapter.deregister(record, fence(), never)).toEqual({ outcome: "Changed" });
    expect(await api.publishers(one.service)).toHaveLength(1);
  });

  it("is seen out of rotation when a person switched it off", async () => {
    const { view } = run();
    await api.register(one);
    await api.setEnabled(one, false);
    expect(await current(view)).toMatchObject({ quarantined: true });
  });
});

describe("what took the place of something in quarantine", () => {
  it("is seen with its own metadata when it is released, and not with those of the dead", async () => {
    const { adapter, view } = run();
    const own = (process: string): NacosRegistration => ({ ...one, weight: 3, metadata: { process } });
    await api.register(own("first"));
    const record = await current(view);
    expect((await adapter.quarantine(record, fence(), never)).outcome).toBe("Done");
    await api.register(own("second"));
    const heir = await current(view);
    expect(heir.quarantined).toBe(true);
    expect((await adapter.release(heir, fence({ traceId: "heir" }), never)).outcome).toBe("Done");
    expect(await api.list(one.service)).toMatchObject([{ enabled: true, weight: 3, metadata: { process: "second" } }]);
  });
});

describe("what is persistent", () => {
  it("is removed for good", async () => {
    const { adapter, view } = run();
    await api.register({ ...one, ephemeral: false });
    const record = await current(view);
    expect(record).toMatchObject({ format: "Persistent", ttlMs: 0, removal: { effective: "Yes" } });
    expect((await adapter.deregister(record, fence(), never)).outcome).toBe("Done");
    expect(await api.publishers(one.service)).toEqual([]);
    expect(await adapter.readLife(record, never)).toEqual({ kind: "None" });
  });

  it("is left alone when the very same was registered again", async () => {
    const { adapter, view } = run();
    await api.register({ ...one, ephemeral: false });
    const record = await current(view);
    await api.register({ ...one, ephemeral: false });
    expect(await adapter.deregister(record, fence(), never)).toEqual({ outcome: "Changed" });
    expect(await api.publishers(one.service)).toHaveLength(1);
    // And the view learns of the newer one, though no list shows it.
    await eventually(() => {
      expect(view.get(record.id)?.version).not.toBe(record.version);
    });
    const newer = await current(view);
    expect(newer.seenAt).toBeGreaterThan(record.seenAt);
    expect((await adapter.deregister(newer, fence(), never)).outcome).toBe("Done");
  });
});

describe("what hangs on a gRPC connection", { timeout: 60_000 }, () => {
  it("is not removed but quarantined, also when its process is frozen, and released again", async () => {
    const { adapter, view } = run();
    const process = await startGrpcRegistrant(server, one.service, [address(one)]);
    const record = await current(view);
    expect(record).toMatchObject({ format: "GRPC", ttlMs: 0, quarantined: false });
    expect(record.removal).toMatchObject({ effective: "No", reason: "GRPCConnection" });
    await expect(adapter.deregister(record, fence(), never)).rejects.toMatchObject({ code: "PermissionDenied" });
    process.pause();
    expect(await adapter.readLife(record, never)).toEqual({ kind: "None" });

    const { outcome } = await adapter.quarantine(record, fence(), never);
    expect(outcome).toBe("Done");
    expect(await api.consumerList(one.service)).toEqual([]);
    const [listed] = await api.list(one.service);
    expect(listed).toMatchObject({ enabled: false, healthy: true, weight: 3, metadata: { owner: "registrant" } });
    const quarantined = await current(view);
    expect(await adapter.read(record.id, never)).toEqual(quarantined);
    expect(quarantined).toMatchObject({ quarantined: true, seenAt: record.seenAt, touchedAfter: record.touchedAfter });
    expect(quarantined.version).not.toBe(record.version);
    // Neither again, nor by what was known before.
    expect(await adapter.quarantine(quarantined, fence(), never)).toEqual({ outcome: "Changed" });
    expect(await adapter.release(record, fence({ traceId: "other" }), never)).toEqual({ outcome: "Changed" });

    process.resume();
    expect((await adapter.release(quarantined, fence(), never)).outcome).toBe("Done");
    expect(await api.consumerList(one.service)).toMatchObject([{ enabled: true, weight: 3 }]);
    const released = await current(view);
    expect(released.quarantined).toBe(false);
    expect(await adapter.release(released, fence(), never)).toEqual({ outcome: "Changed" });
  });

  it("is not quarantined behind a fence, nor once it has left: nothing is written for who comes next", async () => {
    const { adapter, view } = run();
    const process = await startGrpcRegistrant(server, one.service, [address(one)]);
    const record = await current(view);
    expect(await adapter.quarantine(record, fence({ isValid: () => false }), never)).toEqual({ outcome: "Fenced" });
    let asked = 0;
    const closing = fence({ isValid: () => ++asked === 1 });
    expect(await adapter.quarantine(record, closing, never)).toEqual({ outcome: "Fenced" });
    await process.kill();
    await eventually(async () => {
      expect(await api.publishers(one.service)).toEqual([]);
    });
    expect(await adapter.quarantine(record, fence(), never)).toEqual({ outcome: "Gone" });
    await startGrpcRegistrant(server, one.service, [address(one)]);
    expect((await current(view)).quarantined).toBe(false);
  });

  it("bequeaths its quarantine to who registers at its address next; that is seen, and released", async () => {
    const { adapter, view } = run();
    const process = await startGrpcRegistrant(server, one.service, [address(one)]);
    const record = await current(view);
    expect((await adapter.quarantine(record, fence(), never)).outcome).toBe("Done");
    await process.kill();
    await startGrpcRegistrant(server, one.service, [address(one)]);
    const heir = await current(view);
    expect(heir).toMatchObject({ quarantined: true });
    expect(heir.seenAt).toBeGreaterThan(record.seenAt);
    expect(await api.consumerList(one.service)).toEqual([]);
    expect((await adapter.release(heir, fence({ traceId: "heir" }), never)).outcome).toBe("Done");
    expect(await api.consumerList(one.service)).toHaveLength(1);
  });

  it("is quarantined alone, where a batch hangs on one connection", async () => {
    const { adapter, view } = run();
    const other = { ...one, port: 9090 };
    await startGrpcRegistrant(server, one.service, [address(one), address(other)]);
    const record = await current(view);
    expect(await current(view, nacosId(other))).toMatchObject({ format: "GRPC" });
    expect((await adapter.quarantine(record, fence(), never)).outcome).toBe("Done");
    expect((await api.consumerList(one.service)).map(({ port }) => port)).toEqual([9090]);
  });

  it("is another record when another connection takes over the very same", async () => {
    const { adapter, view } = run();
    const old = await startGrpcRegistrant(server, one.service, [address(one)]);
    const record = await current(view);
    // Its kernel goes on answering: the connection stands.
    old.pause();
    await startGrpcRegistrant(server, one.service, [address(one)]);
    // No list shows it: a client came that has something in this service.
    await eventually(() => {
      expect(view.get(record.id)?.version).not.toBe(record.version);
    }, 5_000);
    expect(await adapter.quarantine(record, fence(), never)).toEqual({ outcome: "Changed" });
    expect(view.get(record.id)?.seenAt).toBeGreaterThan(record.seenAt);
    expect(await api.consumerList(one.service)).toHaveLength(1);
  });
});
