import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";

import type { EtcdAdapter } from "../../src/registry/etcd/adapter.ts";
import type { InstanceRecord } from "../../src/registry/port.ts";
import { type EtcdServer, startEtcd } from "../env/index.ts";
import { EtcdSession } from "../support/registrants/index.ts";
import { eventually, fence, never } from "../support/registry-contract/stage.ts";
import { makeEtcdAdapter, runAdapter } from "../support/registry-etcd.ts";

const KEY = "/microservices/web/a";
const VALUE = `{"id":"a","name":"web","version":"v1","metadata":{},"endpoints":["grpc://10.0.0.1:9000"]}`;

/** A relay that can keep what flows in one direction, and pass it on later, in order. */
class Relay {
  readonly url: string;
  readonly #close: () => void;
  readonly #kept = { Requests: [] as (() => void)[], Answers: [] as (() => void)[] };
  readonly #keeps = { Requests: false, Answers: false };

  private constructor(port: number, close: () => void) {
    this.url = `http://127.0.0.1:${String(port)}`;
    this.#close = close;
  }

  static async start(target: string): Promise<Relay> {
    const { hostname, port } = new URL(target);
    const sockets = new Set<Socket>();
    const server = createServer((client) => {
      const upstream = connect({ host: hostname, port: Number(port) });
      for (const socket of [client, upstream]) {
        sockets.add(socket);
        socket.on("error", () => undefined);
        socket.on("close", () => {
          client.destroy();
          upstream.destroy();
        });
      }
      client.on("data", (bytes) => {
        relay.#pass("Requests", upstream, bytes);
      });
      upstream.on("data", (bytes) => {
        relay.#pass("Answers", client, bytes);
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const relay = new Relay((server.address() as AddressInfo).port, () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    onTestFinished(() => {
      relay.#close();
    });
    return relay;
  }

  keep(direction: "Requests" | "Answers"): void {
    this.#keeps[direction] = true;
  }

  passAll(): void {
    for (const direction of ["Requests", "Answers"] as const) {
      this.#keeps[direction] = false;
      for (const pass of this.#kept[direction].splice(0)) pass();
    }
  }

  #pass(direction: "Requests" | "Answers", to: Socket, bytes: Buffer): void {
    const pass = (): void => {
      if (!to.destroyed) to.write(bytes);
    };
    if (this.#keeps[direction]) this.#kept[direction].push(pass);
    else pass();
  }
}

describe("an eviction whose answer is lost", () => {
  let server: EtcdServer;
  let session: EtcdSession;

  beforeAll(async () => {
    server = await startEtcd();
    session = new EtcdSession({ endpoints: server.endpoints });
  });
  afterAll(async () => {
    await session.close();
    await server.stop();
  });

  async function listed(): Promise<{ relay: Relay; adapter: EtcdAdapter; record: InstanceRecord }> {
    await session.put(KEY, VALUE);
    const relay = await Relay.start(server.endpoints[0] ?? "");
    // The watch must not end meanwhile: this is about one call, not about the connection.
    const { adapter } = makeEtcdAdapter({
      connection: { endpoints: [relay.url] },
      timing: { canaryEvery: 60_000, callTimeout: 500 },
    });
    const view = runAdapter(adapter);
    await eventually(() => {
      expect(view.freshness().caughtUpTo).toBeGreaterThan(0);
    });
    const record = view.get(KEY);
    if (record === undefined) throw new Error("not listed");
    return { relay, adapter, record };
  }

  /** A fence that acts at the last moment before the transaction is sent. */
  function whenSent(act: () => void): ReturnType<typeof fence> {
    let asked = 0;
    return fence({
      traceId: crypto.randomUUID(),
      isValid: () => {
        if (++asked === 2) act();
        return true;
      },
    });
  }

  it("is found done when it was done", async () => {
    const { relay, adapter, record } = await listed();
    const eviction = adapter.deregister(
      record,
      whenSent(() => {
        relay.keep("Answers");
      }),
      never,
    );
    await eventually(async () => {
      expect(await session.get(KEY)).toBeUndefined();
    });
    // Past the call's deadline, while the adapter asks what became of it.
    await new Promise((resolve) => setTimeout(resolve, 600));
    relay.passAll();
    expect(await eviction).toMatchObject({ outcome: "Done", restore: { id: KEY, value: VALUE } });
  });

  it("is not claimed, nor sent again, when it never arrived", async () => {
    const { relay, adapter, record } = await listed();
    const eviction = adapter
      .deregister(
        record,
        whenSent(() => {
          relay.keep("Requests");
        }),
        never,
      )
      .catch((error: unknown) => error);
    expect(await eviction).toMatchObject({ code: "TimedOut" });
    expect(await session.get(KEY)).toBeDefined();
    // What was under way arrives at last: cancelled, or carried out whole with its undo record.
    const before = await session.list("/hygeia/c0ffee/undo/");
    relay.passAll();
    await adapter.read(KEY, never);
    const after = await session.list("/hygeia/c0ffee/undo/");
    const isGone = (await session.get(KEY)) === undefined;
    expect(after.keys.length - before.keys.length).toBe(isGone ? 1 : 0);
  });

  it("is told apart from what somebody else did meanwhile", async () => {
    const { relay, adapter, record } = await listed();
    const eviction = adapter.deregister(
      record,
      whenSent(() => {
        relay.keep("Requests");
      }),
      never,
    );
    await session.put(KEY, VALUE);
    await new Promise((resolve) => setTimeout(resolve, 600));
    relay.passAll();
    expect(await eviction).toEqual({ outcome: "Changed" });
    expect(await session.get(KEY)).toBeDefined();
  });

  it("is claimed again by the same decision, and by no other", async () => {
    const { adapter, record } = await listed();
    const decision = fence({ traceId: crypto.randomUUID() });
    const first = await adapter.deregister(record, decision, never);
    expect(first.outcome).toBe("Done");
    expect(await adapter.deregister(record, decision, never)).toEqual(first);
    const another = fence({ traceId: crypto.randomUUID() });
    expect(await adapter.deregister(record, another, never)).toEqual({ outcome: "Gone" });
  });

  it("is no different from a lost answer to a put: done once, and not claimed", async () => {
    const { relay, adapter, record } = await listed();
    const result = await adapter.deregister(record, fence({ traceId: crypto.randomUUID() }), never);
    if (result.outcome !== "Done") throw new Error(result.outcome);
    relay.keep("Answers");
    const putting = adapter.put({ ...result.restore, ttlMs: 0 }, never).catch((error: unknown) => error);
    await eventually(async () => {
      expect(await session.get(KEY)).toBeDefined();
    });
    await new Promise((resolve) => setTimeout(resolve, 600));
    relay.passAll();
    // Without a lease of ours nothing tells our own write from another's.
    expect(await putting).toMatchObject({ code: "TimedOut" });
    expect(await adapter.put(result.restore, never)).toBe(false);
  });
});
