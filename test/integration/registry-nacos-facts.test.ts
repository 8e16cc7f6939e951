/** What Nacos itself does, as far as decisions rest on it: docs/registries.md and docs/decisions/nacos-adapter.md say it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { type NacosServer, startNacos } from "../env/index.ts";
import { NacosApi } from "../support/nacos-api.ts";
import { startGrpcRegistrant } from "../support/nacos-registrants.ts";
import { eventually, never } from "../support/registry-contract/stage.ts";
import { makeNacosAdapter, nacosId, runNacosAdapter } from "../support/registry-nacos.ts";

let server: NacosServer;
let api: NacosApi;

beforeAll(async () => {
  server = await startNacos();
  api = new NacosApi(server.url);
});
afterAll(async () => {
  await server.stop();
});

describe("a service with a protectThreshold", () => {
  it("has callers told that a silent instance is healthy; the adapter is told the truth", async () => {
    const service = "protected";
    const metadata = {
      "preserved.heart.beat.interval": "1000",
      "preserved.heart.beat.timeout": "2000",
      "preserved.ip.delete.timeout": "600000",
    };
    const silent = { service, ip: "10.13.0.1", port: 80, metadata };
    await api.createService(service, 1);
    await api.register(silent);
    const { adapter } = makeNacosAdapter({ connection: { endpoints: [server.url] } });
    const view = runNacosAdapter(adapter);
    await eventually(async () => {
      expect(await api.list(service)).toMatchObject([{ healthy: false }]);
      expect(view.get(nacosId(silent))).toBeDefined();
    });
    const record = view.get(nacosId(silent));
    if (record === undefined) throw new Error("it is not listed");
    expect(await api.consumerList(service)).toMatchObject([{ ip: silent.ip, healthy: true }]);
    await eventually(async () => {
      const reading = await adapter.readLife(record, never);
      expect(reading).toMatchObject({ kind: "Heartbeat", silentSince: expect.any(Number) as number });
    });
  });
});

describe("reloadClient", () => {
  it("has a client that lives connect anew, and is no way to end one that is frozen", async () => {
    const live = await startGrpcRegistrant(server, "reloaded", ["10.13.1.1:80"]);
    const frozen = await startGrpcRegistrant(server, "not-reloaded", ["10.13.1.2:80"]);
    const [before = ""] = await api.publishers("reloaded");
    await api.reloadClient(before);
    await eventually(async () => {
      const [after = before] = await api.publishers("reloaded");
      expect(after).not.toBe(before);
      expect(await api.consumerList("reloaded")).toMatchObject([{ ip: "10.13.1.1" }]);
    });
    expect(live.running).toBe(true);

    const connections = await api.publishers("not-reloaded");
    expect(connections).toHaveLength(1);
    frozen.pause();
    // Answered with ok, after three seconds in which the server waited for the client.
    await api.reloadClient(connections[0] ?? "");
    expect(await api.publishers("not-reloaded")).toEqual(connections);
    expect(await api.consumerList("not-reloaded")).toMatchObject([{ ip: "10.13.1.2", healthy: true }]);
  });
});
