/** What Nacos itself does, as far as decisions rest on it: docs/registries.md and docs/decisions/nacos-adapter.md say it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { type NacosServer, startNacos } from "../env/index.ts";
import { NacosApi } from "../support/nacos-api.ts";
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
    const metadata = { "preserved.heart.beat.timeout": "2000", "preserved.ip.delete.timeout": "600000" };
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
