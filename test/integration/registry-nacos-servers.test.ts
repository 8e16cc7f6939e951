/** Several servers of one Nacos: what each of them says counts, before a write, after it, and of a heartbeat. */
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";

import type { InstanceRecord } from "../../src/registry/port.ts";
import type { RegistryView } from "../../src/registry/view.ts";
import { type NacosServer, startNacos } from "../env/index.ts";
import { TcpProxy } from "../env/proxy/index.ts";
import { NacosApi, type NacosRegistration } from "../support/nacos-api.ts";
import { eventually, fence, never } from "../support/registry-contract/stage.ts";
import { makeNacosAdapter, nacosId, runNacosAdapter } from "../support/registry-nacos.ts";

const BEAT_EVERY_MS = 500;

/** Two that know nothing of each other, as those of a cluster that is cut in two. */
let first: NacosServer;
let second: NacosServer;
let apis: readonly [NacosApi, NacosApi];
let counter = 0;
/** Not registered yet. */
let one: NacosRegistration;

beforeAll(async () => {
  [first, second] = await Promise.all([startNacos(), startNacos()]);
  apis = [new NacosApi(first.url), new NacosApi(second.url)];
});
afterAll(async () => {
  await Promise.all([first.stop(), second.stop()]);
});
beforeEach(() => {
  counter++;
  one = { service: `several-${String(counter)}`, ip: `10.12.0.${String(counter)}`, port: 8080 };
});

function follow(endpoints: readonly string[]) {
  const scope = { namespace: "public", groups: [], servicePrefixes: [one.service] };
  const { adapter } = makeNacosAdapter({ connection: { endpoints }, scope });
  return { adapter, view: runNacosAdapter(adapter) };
}

/** The record once the view holds everything that was written before now. */
async function current(view: RegistryView): Promise<InstanceRecord> {
  const now = performance.now();
  await eventually(() => {
    expect(view.freshness().problem).toBeUndefined();
    expect(view.freshness().caughtUpTo).toBeGreaterThan(now);
    expect(view.get(nacosId(one))).toBeDefined();
  });
  const record = view.get(nacosId(one));
  if (record === undefined) throw new Error("it is not listed");
  return record;
}

async function proxyTo({ url }: NacosServer): Promise<TcpProxy> {
  const { hostname: host, port } = new URL(url);
  const proxy = await TcpProxy.start({ host, port: Number(port) });
  onTestFinished(() => proxy.stop());
  return proxy;
}

const urlOf = ({ port }: TcpProxy): string => `http://127.0.0.1:${String(port)}`;

describe("a write that one server took and another one goes on to contradict", () => {
  it("is no removal: nothing is sent where servers do not agree on who keeps it", async () => {
    for (const api of apis) await api.register(one);
    const { adapter, view } = follow([first.url, second.url]);
    const record = await current(view);
    await expect(adapter.deregister(record, fence(), never)).rejects.toMatchObject({
      code: "SplitView",
      message: expect.stringContaining("the servers disagree on who keeps") as string,
    });
    for (const api of apis) expect(await api.publishers(one.service)).toHaveLength(1);
  });

  it("is no quarantine", async () => {
    for (const api of apis) await api.register(one);
    const { adapter, view } = follow([first.url, second.url]);
    const record = await current(view);
    await expect(adapter.quarantine(record, fence(), never)).rejects.toMatchObject({ code: "NotUnderstood" });
    expect(await apis[0].list(one.service)).toMatchObject([{ enabled: false }]);
    expect(await apis[1].list(one.service)).toMatchObject([{ enabled: true }]);
  });
});

describe("while one of three servers does not answer", () => {
  it("the view goes on, nothing is taken out, and what is out of rotation can be put back", async () => {
    const proxies = await Promise.all([proxyTo(first), proxyTo(first), proxyTo(first)]);
    const { adapter, view } = follow(proxies.map(urlOf));
    const silent = proxies[2];
    await apis[0].register(one);
    await silent.refuse();
    const record = await current(view);
    expect(view.freshness().absence).toContain(urlOf(silent));
    await expect(adapter.deregister(record, fence(), never)).rejects.toMatchObject({ code: "Unreachable" });
    await expect(adapter.quarantine(record, fence(), never)).rejects.toMatchObject({ code: "Unreachable" });
    await expect(adapter.readLife(record, never)).rejects.toMatchObject({ code: "Unreachable" });
    expect(await adapter.read(record.id, never)).toEqual(record);
    expect(await apis[0].list(one.service)).toMatchObject([{ enabled: true }]);

    await apis[0].setEnabled(one, false);
    const switchedOff = await current(view);
    expect(switchedOff.quarantined).toBe(true);
    expect((await adapter.release(switchedOff, fence({ traceId: "release" }), never)).outcome).toBe("Done");
    expect(await apis[0].list(one.service)).toMatchObject([{ enabled: true }]);

    const again = await current(view);
    await silent.listen();
    expect((await adapter.deregister(again, fence({ traceId: "again" }), never)).outcome).toBe("Done");
    expect(await apis[0].publishers(one.service)).toEqual([]);
    await eventually(() => {
      expect(view.freshness().absence).toBeUndefined();
    });
  });
});

describe("a heartbeat that only one server hears", () => {
  it("is a sign of life, whatever the others say", { timeout: 60_000 }, async () => {
    const metadata = {
      "preserved.heart.beat.interval": "1000",
      "preserved.heart.beat.timeout": "2000",
      "preserved.ip.delete.timeout": "600000",
    };
    const silent = { ...one, metadata };
    for (const api of apis) await api.register(silent);
    const [{ adapter, view }, [api, other]] = [follow([first.url, second.url]), apis];
    const record = await current(view);
    const beating = setInterval(() => void other.beat(silent).catch(() => undefined), BEAT_EVERY_MS);
    onTestFinished(() => {
      clearInterval(beating);
    });
    await eventually(async () => {
      expect(await api.list(one.service)).toMatchObject([{ healthy: false }]);
    });
    for (let reading = 0; reading < 3; reading++) {
      expect(await adapter.readLife(record, never)).toMatchObject({ kind: "Heartbeat", silentSince: undefined });
    }
    expect(await api.list(one.service)).toMatchObject([{ healthy: false }]);
    clearInterval(beating);
    await eventually(async () => {
      const { silentSince } = (await adapter.readLife(record, never)) as { silentSince: number | undefined };
      expect(silentSince).toBeDefined();
    });
  });
});
