/**
 * The API of Nacos 1.x and 2.x, as a 3.1 with its compatibility switches on answers it; only what a server says of its own
 * version is played.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import type { InstanceRecord } from "../../src/registry/port.ts";
import type { RegistryView } from "../../src/registry/view.ts";
import { type NacosServer, startNacos } from "../env/index.ts";
import { startHttpFront } from "../support/http-front.ts";
import { NacosApi, type NacosRegistration } from "../support/nacos-api.ts";
import { startGrpcRegistrant } from "../support/nacos-registrants.ts";
import { eventually, fence, never } from "../support/registry-contract/stage.ts";
import { makeNacosAdapter, nacosId, runNacosAdapter } from "../support/registry-nacos.ts";

let server: NacosServer;
let api: NacosApi;
let counter = 0;
let one: NacosRegistration;

beforeAll(async () => {
  const settings = ["admin", "console"].map((part) => `nacos.core.api.compatibility.${part}.enabled=true`);
  server = await startNacos({ settings });
  api = new NacosApi(server.url);
});
afterAll(async () => {
  await server.stop();
});
beforeEach(() => {
  counter++;
  one = { service: `old-${String(counter)}`, ip: `10.10.0.${String(counter)}`, port: 8080 };
});

/** An adapter that takes the server for one of this version. */
async function follow(version: string) {
  const front = await startHttpFront(server.url);
  front.answer("/nacos/v3/admin/core/state", 404, { status: 404 });
  front.answer("/nacos/v1/console/server/state", 200, { version, standalone_mode: "standalone" });
  const scope = { namespace: "public", groups: [], servicePrefixes: [one.service] };
  const { adapter } = makeNacosAdapter({ connection: { endpoints: [front.url] }, scope });
  return { adapter, front, view: runNacosAdapter(adapter) };
}

async function current(view: RegistryView): Promise<InstanceRecord> {
  const now = performance.now();
  await eventually(() => {
    expect(view.freshness().problem).toBeUndefined();
    expect(view.freshness().caughtUpTo).toBeGreaterThan(now);
    expect(view.get(nacosId(one))).toBeDefined();
  });
  const record = view.get(nacosId(one));
  if (record === undefined) throw new Error("not listed");
  return record;
}

describe.each(["1.4.7", "2.4.3"])("version %s", (version) => {
  it.each([
    ["HTTP", true],
    ["Persistent", false],
  ])("lists, removes and puts back (%s)", async (format, ephemeral) => {
    await api.register({ ...one, ephemeral, cluster: "c-2", group: "g.1" });
    Object.assign(one, { cluster: "c-2", group: "g.1" });
    const { adapter, front, view } = await follow(version);
    const record = await current(view);
    expect(record).toMatchObject({ format, removal: { effective: "Yes" }, service: `g.1@@${one.service}` });
    expect(view.freshness().serverVersion).toBe(version);
    expect(await adapter.read(record.id, never)).toEqual(record);
    const result = await adapter.deregister(record, fence(), never);
    if (result.outcome !== "Done") throw new Error(result.outcome);
    await eventually(async () => {
      expect(await api.list(one.service, "c-2")).toEqual([]);
    });
    expect(await adapter.put(result.restore, never)).toBe(true);
    expect((await current(view)).version).not.toBe(record.version);
    const asked = front.seen.map(({ url }) => url).filter((url) => url.startsWith("/nacos/v3/"));
    expect(asked.every((url) => url.startsWith("/nacos/v3/admin/core/state"))).toBe(true);
  });
});

describe("version 2.4.3", () => {
  it("tells what hangs on a gRPC connection, and takes it out of rotation and back", { timeout: 60_000 }, async () => {
    await startGrpcRegistrant(server, one.service, [`${one.ip}:${String(one.port)}`]);
    const { adapter, view } = await follow("2.4.3");
    const record = await current(view);
    expect(record).toMatchObject({ format: "GRPC", removal: { effective: "No" } });
    expect((await adapter.quarantine(record, fence(), never)).outcome).toBe("Done");
    expect(await api.list(one.service)).toMatchObject([
      { enabled: false, weight: 3, metadata: { owner: "registrant" } },
    ]);
    expect((await adapter.release(await current(view), fence(), never)).outcome).toBe("Done");
    expect(await api.list(one.service)).toMatchObject([{ enabled: true, weight: 3 }]);
  });
});

describe("version 2.2.3", () => {
  it("is named for its defect, and works", async () => {
    await api.register(one);
    const { view } = await follow("2.2.3");
    await current(view);
    expect(view.freshness().defect).toContain("upgrade Nacos");
  });
});

describe("an upgrade", () => {
  it("is noticed after the errors it brings along", async () => {
    await api.register(one);
    const { front, view } = await follow("2.4.3");
    await current(view);
    front.answer("/nacos/v3/admin/core/state", 200, { code: 0, data: { version: "3.1.0" } });
    front.refuseOnce(410, ({ url }) => url.startsWith("/nacos/v1/ns/catalog/services"));
    await eventually(() => {
      expect(view.freshness().serverVersion).toBe("3.1.0");
    });
    await current(view);
  });
});
