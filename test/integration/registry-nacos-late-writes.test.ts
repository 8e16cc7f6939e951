/** A quarantine that reaches Nacos when the instance has left: who registers at the address next must not be out of rotation for good. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import type { NacosAdapter } from "../../src/registry/nacos/adapter.ts";
import type { InstanceRecord, WriteResult } from "../../src/registry/port.ts";
import type { RegistryView } from "../../src/registry/view.ts";
import { type NacosServer, startNacos } from "../env/index.ts";
import { NacosApi, type NacosRegistration } from "../support/nacos-api.ts";
import { startGrpcRegistrant } from "../support/nacos-registrants.ts";
import { type SlowFront, startSlowFront } from "../support/nacos-slow-front.ts";
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
  one = { service: `late-${String(counter)}`, ip: `10.11.0.${String(counter)}`, port: 8080 };
});

interface Running {
  readonly adapter: NacosAdapter;
  readonly view: RegistryView;
  readonly front: SlowFront;
}

/** @param callTimeout how long the adapter waits for an answer, milliseconds */
async function run(callTimeout: number): Promise<Running> {
  const front = await startSlowFront(server.url);
  const timing = { pollEvery: 150, callTimeout };
  const { adapter } = makeNacosAdapter({ connection: { endpoints: [front.url] }, timing });
  return { adapter, view: runNacosAdapter(adapter), front };
}

/** The record once the view holds everything that was written before now. */
async function current(view: RegistryView): Promise<InstanceRecord> {
  const now = performance.now();
  await eventually(() => {
    expect(view.freshness().caughtUpTo).toBeGreaterThan(now);
    expect(view.get(nacosId(one))).toBeDefined();
  });
  const record = view.get(nacosId(one));
  if (record === undefined) throw new Error("it is not listed");
  return record;
}

async function startRegistrant() {
  return await startGrpcRegistrant(server, one.service, [`${one.ip}:${String(one.port)}`]);
}

/** An instance that leaves while its quarantine is on its way. @returns what the quarantine comes to */
async function leaveMeanwhile({ adapter, view, front }: Running): Promise<{ readonly result: Promise<WriteResult> }> {
  const process = await startRegistrant();
  const record = await current(view);
  front.holdNext();
  const result = adapter.quarantine(record, fence(), never);
  result.catch(() => undefined);
  await eventually(() => {
    expect(front.isHolding).toBe(true);
  });
  await process.kill();
  await eventually(async () => {
    expect(await api.publishers(one.service)).toEqual([]);
  });
  return { result };
}

describe("a quarantine that arrives when the instance has left", { timeout: 90_000 }, () => {
  it("is taken back, and the next one at the address is in rotation", async () => {
    const running = await run(30_000);
    const { result } = await leaveMeanwhile(running);
    await running.front.release();
    expect(await result).toEqual({ outcome: "Gone" });
    await startRegistrant();
    expect(await current(running.view)).toMatchObject({ quarantined: false });
    expect(await api.consumerList(one.service)).toHaveLength(1);
  });

  it("after its sender gave up is no `Gone`: it stays open, and an heir can be released", async () => {
    const running = await run(3_000);
    const { adapter, view, front } = running;
    const { result } = await leaveMeanwhile(running);
    await expect(result).rejects.toMatchObject({ code: "TimedOut" });
    await front.release();
    await startRegistrant();
    const heir = await current(view);
    expect(heir.quarantined).toBe(true);
    expect((await adapter.release(heir, fence({ traceId: "heir" }), never)).outcome).toBe("Done");
    expect(await api.consumerList(one.service)).toHaveLength(1);
  });
});
