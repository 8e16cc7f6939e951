/** What the adapter makes of a Nacos that is large, forgets, is split, or is changed in ways that lists do not show. */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";

import type { NacosScope } from "../../src/registry/nacos/options.ts";
import type { RegistryView } from "../../src/registry/view.ts";
import { type NacosServer, startNacos } from "../env/index.ts";
import { TcpProxy } from "../env/proxy/index.ts";
import { mapBounded } from "../support/concurrency.ts";
import { NacosApi } from "../support/nacos-api.ts";
import { eventually, fence, never } from "../support/registry-contract/stage.ts";
import { makeNacosAdapter, nacosId, runNacosAdapter } from "../support/registry-nacos.ts";

/** Services at once: more than one page. */
const SERVICES = 600;

let server: NacosServer;
let api: NacosApi;

beforeAll(async () => {
  server = await startNacos();
  api = new NacosApi(server.url);
});
afterAll(async () => {
  await server.stop();
});

function follow(endpoints: readonly string[], scope: Partial<NacosScope> = {}) {
  const whole = { namespace: "public", groups: [], servicePrefixes: [], ...scope };
  const { adapter, counted } = makeNacosAdapter({ connection: { endpoints }, scope: whole });
  return { adapter, counted, view: runNacosAdapter(adapter) };
}

async function isFresh(view: RegistryView): Promise<void> {
  const now = performance.now();
  await eventually(() => {
    expect(view.freshness().problem).toBeUndefined();
    expect(view.freshness().caughtUpTo).toBeGreaterThan(now);
  });
}

describe("the scope", () => {
  it("is one namespace, and in it the groups and the beginnings of names that are asked for", async () => {
    const at = { ip: "10.6.0.1", port: 80 };
    await api.register({ ...at, service: "shop-a" });
    await api.register({ ...at, service: "shop-a", group: "blue", ip: "10.6.0.2" });
    await api.register({ ...at, service: "other", group: "blue", ip: "10.6.0.3" });
    await api.register({ ...at, service: "shop-a", namespace: "elsewhere", ip: "10.6.0.4" });
    const whole = follow([server.url]);
    const blue = follow([server.url], { groups: ["blue"], servicePrefixes: ["shop-"] });
    const elsewhere = follow([server.url], { namespace: "elsewhere" });
    await Promise.all([whole, blue, elsewhere].map(({ view }) => isFresh(view)));
    const shown = ({ view }: { readonly view: RegistryView }): readonly string[] =>
      [...view.values()].map(({ service, endpoints }) => `${service} ${endpoints[0]?.host ?? ""}`).toSorted();
    expect(shown(whole)).toEqual(["blue@@other 10.6.0.3", "blue@@shop-a 10.6.0.2", "shop-a 10.6.0.1"]);
    expect(shown(blue)).toEqual(["blue@@shop-a 10.6.0.2"]);
    expect(shown(elsewhere)).toEqual(["shop-a 10.6.0.4"]);
    const id = nacosId({ ...at, service: "shop-a" });
    expect(await blue.adapter.read(id, never)).toBeUndefined();
    expect(await whole.adapter.read(id, never)).toEqual(whole.view.get(id));
  });
});

describe("a server that is started anew", () => {
  it("has lost its memory: nothing is taken for a death, and what comes back is not what was there", async () => {
    const own = await startNacos();
    onTestFinished(() => own.stop());
    const registry = new NacosApi(own.url);
    const ones = Array.from({ length: 10 }, (_, i) => ({ service: "web", ip: `10.7.0.${String(i + 1)}`, port: 80 }));
    const [first] = ones;
    if (first === undefined) throw new Error("ten were asked for");
    for (const one of ones) await registry.register(one);
    const { adapter, view } = follow([own.url]);
    await isFresh(view);
    const record = view.get(nacosId(first));
    if (record === undefined) throw new Error("not listed");
    const reasons = new Set<string>();
    view.subscribeState(() => reasons.add(view.freshness().problem?.reason ?? ""));

    await own.process.kill();
    await eventually(() => {
      expect(view.freshness().problem?.reason).toBe("Unreachable");
    });
    expect(view.size).toBe(10);
    await own.process.start();
    await isFresh(view);
    expect(reasons).toContain("WentBack");
    expect(view.size).toBe(0);
    await registry.register(first);
    await isFresh(view);
    const again = view.get(record.id);
    expect(again?.seenAt).toBeGreaterThan(record.seenAt);
    expect(again?.version).not.toBe(record.version);
    expect(await adapter.deregister(record, fence(), never)).toEqual({ outcome: "Changed" });
    expect(await registry.publishers("web")).toHaveLength(1);
  });
});

describe("an instance that left and is registered again before the list has shown that it had left", () => {
  it("is known again soon, though the list never changed", async () => {
    const one = { service: "quick", ip: "10.7.1.1", port: 80 };
    await api.register(one);
    const { adapter, view, counted } = follow([server.url], { servicePrefixes: ["quick"] });
    const rounds = (): number => counted.calls.get("client.list OK") ?? 0;
    await isFresh(view);
    for (let round = 0; round < 3; round++) {
      const record = view.get(nacosId(one));
      if (record === undefined) throw new Error("not listed");
      // Our own delete has the service asked about at once, in which nobody is found then.
      expect(await adapter.deregister(record, fence(), never)).toMatchObject({ outcome: "Done" });
      const before = rounds();
      await eventually(() => {
        expect(rounds()).toBeGreaterThan(before + 1);
      });
      expect(view.get(record.id)).toBeUndefined();
      await api.register(one);
      await eventually(() => {
        expect(view.get(record.id)?.version).not.toBe(record.version);
        expect(view.get(record.id)).toBeDefined();
      }, 8_000);
    }
  });
});

describe("several servers", () => {
  let other: NacosServer;
  beforeAll(async () => {
    other = await startNacos();
  });
  afterAll(async () => {
    await other.stop();
  });

  it("that disagree are said to be split, until they agree", async () => {
    const one = { service: "split", ip: "10.8.0.1", port: 80 };
    const { adapter, view } = follow([server.url, other.url], { servicePrefixes: ["split"] });
    await isFresh(view);
    await api.register(one);
    await eventually(() => {
      expect(view.freshness().problem).toMatchObject({
        reason: "SplitView",
        message: expect.stringContaining(nacosId(one)) as string,
      });
    });
    const provenUpTo = view.freshness().caughtUpTo;
    const record = view.get(nacosId(one));
    if (record === undefined) throw new Error("not listed");
    // Neither knows the other, so each says that it keeps the address.
    await expect(adapter.deregister(record, fence(), never)).rejects.toMatchObject({ code: "SplitView" });
    expect(await adapter.quarantine(record, fence(), never)).toEqual({ outcome: "Changed" });
    expect(await api.publishers(one.service)).toHaveLength(1);
    expect(view.freshness().caughtUpTo).toBe(provenUpTo);
    await new NacosApi(other.url).register(one);
    await isFresh(view);
  });

  it("must answer by more than half", async () => {
    const proxies = await Promise.all(
      [0, 1, 2].map(async () => {
        const { hostname: host, port } = new URL(server.url);
        return await TcpProxy.start({ host, port: Number(port) });
      }),
    );
    for (const proxy of proxies) onTestFinished(() => proxy.stop());
    const { view } = follow(proxies.map(({ port }) => `http://127.0.0.1:${String(port)}`));
    await isFresh(view);
    await proxies[0]?.refuse();
    await isFresh(view);
    await proxies[1]?.refuse();
    await eventually(() => {
      expect(view.freshness().problem?.reason).toBe("Unreachable");
    });
  });
});

describe(`${String(SERVICES)} services`, () => {
  it(
    "are known completely, cost little while nothing changes, and one change is seen soon",
    { timeout: 120_000 },
    async () => {
      const ones = Array.from({ length: SERVICES }, (_, i) => {
        const ip = `10.9.${String(Math.floor(i / 200))}.${String((i % 200) + 1)}`;
        const life = { "preserved.heart.beat.timeout": "600000", "preserved.ip.delete.timeout": "600000" };
        return { service: `many-${String(i)}`, ip, port: 80, metadata: life };
      });
      await mapBounded(ones, 16, (one) => api.register(one));
      const { view, counted } = follow([server.url], { servicePrefixes: ["many-"] });
      await isFresh(view);
      expect(view.size).toBe(SERVICES);
      await isFresh(view);
      const asked = (): number => counted.calls.get("client.publisherList OK") ?? 0;
      const before = asked();
      await isFresh(view);
      await isFresh(view);
      expect(asked()).toBe(before);
      const [first, second] = ones;
      if (first === undefined || second === undefined) throw new Error("many were asked for");
      await api.remove(first);
      await api.register({ ...second, port: 81 });
      await isFresh(view);
      expect(view.get(nacosId(first))).toBeUndefined();
      expect(view.get(nacosId({ ...second, port: 81 }))).toBeDefined();
      expect(asked() - before).toBeLessThan(20);
    },
  );
});
