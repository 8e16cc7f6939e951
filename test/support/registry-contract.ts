import { setTimeout as delay } from "node:timers/promises";

import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";

import { RegistryError } from "../../src/registry/errors.ts";
import type {
  Fence,
  InstanceRecord,
  RegistryAdapter,
  RegistryFreshness,
  WriteResult,
} from "../../src/registry/port.ts";
import { RegistryView } from "../../src/registry/view.ts";

/** What one service process registers. */
export interface ContractInstance {
  readonly service: string;
  /** Names the process; ids are made from it. */
  readonly instance: string;
  readonly host: string;
  readonly port: number;
  /** Seconds; 0 = for ever. */
  readonly ttl: number;
}

/** One registry, its adapter, and hands on both sides of the network between them. */
export interface RegistryHarness {
  /** A further adapter on the same registry, over the same network. */
  adapter(): RegistryAdapter;
  /** Milliseconds within which an adapter over a good network proves that its view is current. */
  readonly freshWithin: number;
  /** How the registry hears that a process with a ttl lives, and forgets it; without it by a lease that runs down. */
  readonly life?: "Lease" | "Heartbeat" | "None";

  /** The processes' side, which the network below does not touch. */
  /** Registers, in place of whoever has the id. @returns the record's id */
  register(instance: ContractInstance): Promise<string>;
  /** The process that registered writes the same once more. */
  rewrite(id: string): Promise<void>;
  /** The process that registered says that it lives. */
  keepAlive(id: string): Promise<void>;
  /** The process that registered goes in good order. */
  remove(id: string): Promise<void>;
  isListed(id: string): Promise<boolean>;
  /** Texts of the operator's undo records. */
  undoRecords(): Promise<readonly string[]>;

  /** The adapters' network. */
  /** Connections stay, nothing flows. */
  hold(): void;
  release(): void;
  /** Connections break and can be made again at once. */
  cut(): void;
  /** Connections break, and new ones are refused. */
  refuse(): Promise<void>;
  accept(): Promise<void>;

  close(): Promise<void>;
}

/** An adapter that runs, with its view and everything it said of its freshness. */
interface Running {
  readonly adapter: RegistryAdapter;
  readonly view: RegistryView;
  readonly states: RegistryFreshness[];
  stop(): Promise<void>;
}

/** A view that keeps what it was told. */
class RecordingView extends RegistryView {
  readonly states: RegistryFreshness[] = [];
  /** Called at every word about freshness. */
  onState: (state: RegistryFreshness) => void = () => undefined;

  override freshness(): RegistryFreshness;
  override freshness(state: RegistryFreshness): void;
  override freshness(state?: RegistryFreshness): RegistryFreshness {
    if (state === undefined) return super.freshness();
    this.states.push(state);
    super.freshness(state);
    this.onState(state);
    return state;
  }
}

export const never = new AbortController().signal;

export function fence(overrides: Partial<Fence> = {}): Fence {
  return { isValid: () => true, clusterUid: "c0ffee", reason: "DeathConfirmed", traceId: "trace-1", ...overrides };
}

/** Waits until `check` throws no more. */
export async function eventually(check: () => void | Promise<void>, timeout = 20_000): Promise<void> {
  const until = performance.now() + timeout;
  for (;;) {
    try {
      await check();
      return;
    } catch (error) {
      if (performance.now() > until) throw error;
      await delay(10);
    }
  }
}

async function quarantine(adapter: RegistryAdapter, ...call: WriteCall): Promise<WriteResult | undefined> {
  return await adapter.quarantine?.(...call);
}

async function release(adapter: RegistryAdapter, ...call: WriteCall): Promise<WriteResult | undefined> {
  return await adapter.release?.(...call);
}

type WriteCall = Parameters<RegistryAdapter["deregister"]>;

let counter = 0;

/** The promises of port.ts, kept by every adapter. */
export function describeRegistryContract(name: string, start: () => Promise<RegistryHarness>): void {
  describe(`${name} keeps the registry contract`, () => {
    let harness: RegistryHarness;
    let one: ContractInstance;

    beforeAll(async () => {
      harness = await start();
    });

    /** Time after which the registry forgets a process with a ttl of so many seconds by itself, milliseconds. */
    function forgottenAfter(seconds: number): number {
      return harness.life === "None" ? 0 : seconds * 1000;
    }
    afterAll(async () => {
      await harness.close();
    });
    beforeEach(() => {
      counter++;
      const unique = String(counter);
      one = { service: `service-${unique}`, instance: `i${unique}`, host: `10.1.0.${unique}`, port: 8080, ttl: 60 };
      onTestFinished(async () => {
        harness.release();
        await harness.accept();
      });
    });

    /** Runs an adapter until the end of the test. */
    function run(): Running & { readonly view: RecordingView } {
      const adapter = harness.adapter();
      const view = new RecordingView(adapter.name);
      const running = new AbortController();
      const ended = adapter.run(view, running.signal);
      const stop = async (): Promise<void> => {
        running.abort();
        await ended;
        await adapter.close();
      };
      onTestFinished(stop);
      return { adapter, view, states: view.states, stop };
    }

    /** Waits until the view holds everything that was committed before now. */
    async function caughtUp(view: RegistryView): Promise<void> {
      const now = performance.now();
      await eventually(() => {
        expect(view.freshness().problem).toBeUndefined();
        expect(view.freshness().caughtUpTo).toBeGreaterThan(now);
      });
    }

    async function registered(running: Running, instance = one): Promise<InstanceRecord> {
      const id = await harness.register(instance);
      await caughtUp(running.view);
      const record = running.view.get(id);
      if (record === undefined) throw new Error(`${id} is not listed`);
      return record;
    }

    describe("watching", () => {
      it("lists what is there, and then every change", async () => {
        const early = await harness.register(one);
        const { view } = run();
        await caughtUp(view);
        expect(view.get(early)).toMatchObject({
          registry: view.name,
          id: early,
          service: one.service,
          endpoints: [{ host: one.host, isIp: true, port: one.port }],
          quarantined: false,
          removal: { effective: "Yes" },
        });
        const late = await harness.register({ ...one, instance: `${one.instance}-late`, host: "10.2.0.1" });
        await eventually(() => {
          expect(view.byHost("10.2.0.1").map(({ id }) => id)).toEqual([late]);
        });
        await harness.remove(early);
        await eventually(() => {
          expect(view.get(early)).toBeUndefined();
        });
      });

      it("freezes its records", async () => {
        const record = await registered(run());
        expect(Object.isFrozen(record)).toBe(true);
        expect(Object.isFrozen(record.endpoints)).toBe(true);
      });

      for (const how of ["cut", "refuse"] as const) {
        it(`goes on after connections were lost (${how})`, async () => {
          const running = run();
          const leaves = await registered(running);
          if (how === "refuse") {
            await harness.refuse();
            await eventually(() => {
              expect(running.view.freshness().problem?.reason).toBe("Unreachable");
            });
          } else harness.cut();
          await harness.remove(leaves.id);
          const comes = await harness.register({ ...one, instance: `${one.instance}-comes` });
          await harness.accept();
          await caughtUp(running.view);
          expect(running.view.get(leaves.id)).toBeUndefined();
          expect(running.view.get(comes)).toBeDefined();
        });
      }

      it("keeps the last good view while nothing answers", async () => {
        const running = run();
        const record = await registered(running);
        await harness.refuse();
        await eventually(() => {
          expect(running.view.freshness().problem).toBeDefined();
        });
        expect(running.view.get(record.id)).toBe(record);
        expect(running.view.freshness().synced).toBe(true);
      });
    });

    describe("freshness", () => {
      it("is proven soon, and again and again", async () => {
        const { view } = run();
        await eventually(() => {
          expect(view.freshness().synced).toBe(true);
          expect(view.freshness().caughtUpTo).toBeGreaterThan(0);
        }, harness.freshWithin);
        const first = view.freshness().caughtUpTo;
        await eventually(() => {
          expect(view.freshness().caughtUpTo).toBeGreaterThan(first);
        }, harness.freshWithin);
        expect(view.freshness().serverVersion).not.toBe("");
        expect(view.freshness().clusterId).not.toBe("");
      });

      it("stops where the network stops, says so, and falls back", async () => {
        const { view } = run();
        await caughtUp(view);
        harness.hold();
        const heldAt = performance.now();
        await eventually(() => {
          expect(view.freshness().problem).toBeDefined();
          expect(view.freshness().mode).toBe("Fallback");
        });
        expect(view.freshness().caughtUpTo).toBeLessThan(heldAt);
        harness.release();
        await caughtUp(view);
        expect(view.freshness().mode).toBe("Normal");
      });

      it("is never claimed for a moment whose changes are not in the view", async () => {
        const { view } = run();
        await caughtUp(view);
        const committed = new Map<string, number>();
        let lies = 0;
        view.onState = ({ caughtUpTo }) => {
          for (const [id, at] of committed) if (caughtUpTo > at && view.get(id) === undefined) lies++;
        };
        for (let i = 0; i < 60; i++) {
          if (i % 20 === 5) harness.hold();
          if (i % 20 === 10) harness.release();
          if (i % 20 === 15) harness.cut();
          const id = await harness.register({ ...one, instance: `${one.instance}-${String(i)}` });
          committed.set(id, performance.now());
          await delay(20);
        }
        harness.release();
        await caughtUp(view);
        expect(lies).toBe(0);
        for (const id of committed.keys()) expect(view.get(id)).toBeDefined();
      });
    });

    describe("times", () => {
      it("bounds a write from both sides", async () => {
        const running = run();
        await caughtUp(running.view);
        const before = performance.now();
        const id = await harness.register(one);
        const after = performance.now();
        await eventually(() => {
          expect(running.view.get(id)).toBeDefined();
        });
        const record = running.view.get(id);
        expect(record?.seenAt).toBeGreaterThanOrEqual(before);
        expect(record?.writtenAfter).toBeLessThanOrEqual(after);
        // A view that was current has a bound at all.
        expect(record?.writtenAfter).toBeGreaterThan(0);
      });

      it("knows no lower bound for what was there before", async () => {
        const id = await harness.register(one);
        const { view } = run();
        await caughtUp(view);
        expect(view.get(id)?.writtenAfter).toBe(Number.NEGATIVE_INFINITY);
      });

      it("keeps the first write of a process that writes again, under another version if the guard is exact", async () => {
        const running = run();
        const first = await registered(running);
        await caughtUp(running.view);
        await harness.rewrite(first.id);
        if (!running.adapter.capabilities.exactGuard) {
          await caughtUp(running.view);
          expect(running.view.get(first.id)).toEqual(first);
          return;
        }
        await eventually(() => {
          expect(running.view.get(first.id)?.version).not.toBe(first.version);
        });
        const again = running.view.get(first.id);
        expect(again?.seenAt).toBe(first.seenAt);
        expect(again?.writtenAfter).toBe(first.writtenAfter);
        expect(again?.touchedAfter).toBeGreaterThan(first.seenAt);
      });

      it("begins anew for another process under the same id", async () => {
        const running = run();
        const first = await registered(running);
        const before = performance.now();
        const second = await registered(running);
        expect(second.id).toBe(first.id);
        expect(second.version).not.toBe(first.version);
        expect(second.seenAt).toBeGreaterThanOrEqual(before);
      });
    });

    describe("reading", () => {
      it("gives what is listed, and undefined for what is not", async () => {
        const running = run();
        const record = await registered(running);
        expect(await running.adapter.read(record.id, never)).toEqual(record);
        await harness.remove(record.id);
        expect(await running.adapter.read(record.id, never)).toBeUndefined();
      });

      it("sees a silent lease run down and a refreshed one rise", async ({ skip }) => {
        if ((harness.life ?? "Lease") !== "Lease") skip();
        const running = run();
        const record = await registered(running, { ...one, ttl: 6 });
        const remaining = async (): Promise<number> => {
          const reading = await running.adapter.readLife(record, never);
          if (reading.kind !== "Lease") throw new Error("no lease");
          expect(reading.grantedMs).toBe(6_000);
          expect(reading.endedAt).toBeGreaterThanOrEqual(reading.startedAt);
          return reading.remainingMs;
        };
        const first = await remaining();
        await eventually(async () => {
          expect(await remaining()).toBeLessThan(first);
        });
        const low = await remaining();
        await harness.keepAlive(record.id);
        expect(await remaining()).toBeGreaterThan(low);
      });

      it("tells nothing of a record without a lease", async () => {
        const running = run();
        const record = await registered(running, { ...one, ttl: 0 });
        expect(await running.adapter.readLife(record, never)).toEqual({ kind: "None" });
        expect(record.ttlMs).toBe(0);
      });
    });

    describe("removing", () => {
      it("removes the version that was judged, and says how to put it back", async () => {
        const running = run();
        const record = await registered(running);
        const result = await running.adapter.deregister(record, fence(), never);
        expect(result).toMatchObject({ outcome: "Done", restore: { id: record.id, ttlMs: forgottenAfter(60) } });
        expect(await harness.isListed(record.id)).toBe(false);
        await eventually(() => {
          expect(running.view.get(record.id)).toBeUndefined();
        });
      });

      it("leaves an undo record that tells what, why and by which decision", async ({ skip }) => {
        const running = run();
        if (!running.adapter.capabilities.undoInTransaction) skip();
        const record = await registered(running);
        await running.adapter.deregister(record, fence({ reason: "PodFinished", traceId: "trace-undo" }), never);
        const undo = (await harness.undoRecords()).filter((text) => text.includes("trace-undo"));
        expect(undo).toHaveLength(1);
        expect(undo[0]).toContain("PodFinished");
        expect(undo[0]).toContain(record.id);
      });

      it("touches nothing when the record was written again", async () => {
        const running = run();
        const record = await registered(running);
        // Where the same written again leaves no trace, only another process's writing can be told.
        if (running.adapter.capabilities.exactGuard) await harness.rewrite(record.id);
        else await harness.register(one);
        expect(await running.adapter.deregister(record, fence(), never)).toEqual({ outcome: "Changed" });
        expect(await harness.isListed(record.id)).toBe(true);
      });

      it("says that the record had left", async () => {
        const running = run();
        const record = await registered(running);
        await harness.remove(record.id);
        expect(await running.adapter.deregister(record, fence(), never)).toEqual({ outcome: "Gone" });
        expect(await harness.undoRecords()).not.toContainEqual(expect.stringContaining(record.id));
      });

      it("claims what it removed when the same decision asks again, and nobody else's", async () => {
        const running = run();
        const record = await registered(running);
        const decision = fence({ traceId: "trace-again" });
        const first = await running.adapter.deregister(record, decision, never);
        expect(first.outcome).toBe("Done");
        expect(await running.adapter.deregister(record, decision, never)).toEqual(first);
        expect(await running.adapter.deregister(record, fence({ traceId: "another" }), never)).toEqual({
          outcome: "Gone",
        });
      });

      it("sends nothing behind a fence", async () => {
        const running = run();
        const record = await registered(running);
        const closed = fence({ isValid: () => false });
        expect(await running.adapter.deregister(record, closed, never)).toEqual({ outcome: "Fenced" });
        expect(await harness.isListed(record.id)).toBe(true);
      });

      it("asks the fence again when everything else is ready", async () => {
        const running = run();
        const record = await registered(running);
        const begun = performance.now();
        // Valid for the first moments only: the last question must come after what was fetched before.
        let asked = 0;
        const closing = fence({ isValid: () => ++asked === 1 && performance.now() - begun < 1_000 });
        const { outcome } = await running.adapter.deregister(record, closing, never);
        if (asked > 1) {
          expect(outcome).toBe("Fenced");
          expect(await harness.isListed(record.id)).toBe(true);
        } else expect(outcome).toBe("Done");
      });

      const timeout = 120_000;
      it("never takes a newborn that writes between read and delete (1,000 rounds)", { timeout }, async ({ skip }) => {
        const { adapter } = run();
        // Where the registry compares nothing, what is written between the last look and the delete is not seen.
        if (!adapter.capabilities.guardedDelete) skip();
        const outcomes = new Map<string, number>();
        for (let round = 0; round < 1_000; round++) {
          const id = await harness.register(one);
          const judged = await adapter.read(id, never);
          if (judged === undefined) throw new Error("not listed");
          const soon = round % 2 === 0 ? 0 : Math.random() * 4;
          const birth = (): Promise<string> =>
            soon === 0 ? harness.register(one) : delay(soon).then(() => harness.register(one));
          const [{ outcome }] = await Promise.all([adapter.deregister(judged, fence(), never), birth()]);
          outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
          expect(await harness.isListed(id)).toBe(true);
        }
        expect((outcomes.get("Done") ?? 0) + (outcomes.get("Changed") ?? 0)).toBe(1_000);
        expect(outcomes.get("Changed")).toBeGreaterThan(0);
      });
    });

    describe("quarantine", () => {
      const acts = {
        quarantine: { goal: true, call: quarantine },
        release: { goal: false, call: release },
      };

      /** A record that the act would change. */
      async function ready(running: Running, goal: boolean): Promise<InstanceRecord> {
        const record = await registered(running);
        if (goal) return record;
        await quarantine(running.adapter, record, fence(), never);
        return await listedAs(running, record, true);
      }

      async function listedAs(
        { view }: Running,
        { id }: InstanceRecord,
        quarantined: boolean,
      ): Promise<InstanceRecord> {
        await eventually(() => {
          expect(view.get(id)?.quarantined).toBe(quarantined);
        });
        const record = view.get(id);
        if (record === undefined) throw new Error(`${id} is not listed`);
        return record;
      }

      it("is taken for what an adapter can do when both of its calls are there", () => {
        const adapter = harness.adapter();
        const { capabilities } = adapter;
        expect(adapter.quarantine !== undefined && adapter.release !== undefined).toBe(capabilities.quarantine);
      });

      it("takes out of rotation what was judged, and back, and leaves it listed", async ({ skip }) => {
        const running = run();
        if (!running.adapter.capabilities.quarantine) skip();
        const record = await registered(running);
        expect(await quarantine(running.adapter, record, fence(), never)).toMatchObject({ outcome: "Done" });
        await caughtUp(running.view);
        const quarantined = running.view.get(record.id);
        expect(quarantined).toMatchObject({
          quarantined: true,
          endpoints: record.endpoints,
          metadata: record.metadata,
        });
        expect(await running.adapter.read(record.id, never)).toEqual(quarantined);
        if (quarantined === undefined) throw new Error("not listed");
        expect(await release(running.adapter, quarantined, fence(), never)).toMatchObject({ outcome: "Done" });
        expect(await running.adapter.read(record.id, never)).toMatchObject({
          quarantined: false,
          endpoints: record.endpoints,
          metadata: record.metadata,
        });
      });

      it("releases nothing that is in rotation", async ({ skip }) => {
        const running = run();
        if (!running.adapter.capabilities.quarantine) skip();
        const record = await registered(running);
        expect(await release(running.adapter, record, fence(), never)).toEqual({ outcome: "Changed" });
      });

      for (const [act, { goal, call }] of Object.entries(acts)) {
        it(`${act} is done to the version that was judged, which stays listed`, async ({ skip }) => {
          const running = run();
          if (!running.adapter.capabilities.quarantine) skip();
          const record = await ready(running, goal);
          expect(record.quarantined).toBe(!goal);
          const result = await call(running.adapter, record, fence(), never);
          expect(result).toMatchObject({ outcome: "Done", restore: { id: record.id } });
          expect((await running.adapter.read(record.id, never))?.quarantined).toBe(goal);
          await listedAs(running, record, goal);
        });

        it(`${act} is no sign of its registrant's life`, async ({ skip }) => {
          const running = run();
          if (!running.adapter.capabilities.quarantine) skip();
          const { seenAt, writtenAfter, touchedAfter } = await ready(running, goal);
          const record = [...running.view.byHost(one.host)][0];
          if (record === undefined) throw new Error("not listed");
          await caughtUp(running.view);
          await call(running.adapter, record, fence(), never);
          expect(await listedAs(running, record, goal)).toMatchObject({ seenAt, writtenAfter, touchedAfter });
        });

        it(`${act} touches nothing when another process has registered`, async ({ skip }) => {
          const running = run();
          if (!running.adapter.capabilities.quarantine) skip();
          // What a quarantine wrote can hide what another process registers.
          if (!goal && !running.adapter.capabilities.exactGuard) skip();
          const record = await ready(running, goal);
          await harness.register({ ...one, ttl: one.ttl + 1 });
          expect(await call(running.adapter, record, fence(), never)).toEqual({ outcome: "Changed" });
        });

        it(`${act} says that the record had left`, async ({ skip }) => {
          const running = run();
          if (!running.adapter.capabilities.quarantine) skip();
          const record = await ready(running, goal);
          await harness.remove(record.id);
          expect(await call(running.adapter, record, fence(), never)).toEqual({ outcome: "Gone" });
        });

        it(`${act} sends nothing when the fence is closed`, async ({ skip }) => {
          const running = run();
          if (!running.adapter.capabilities.quarantine) skip();
          const record = await ready(running, goal);
          const closed = fence({ isValid: () => false });
          expect(await call(running.adapter, record, closed, never)).toEqual({ outcome: "Fenced" });
          expect((await running.adapter.read(record.id, never))?.quarantined).toBe(!goal);
        });

        it(`${act} fails in time when nothing answers, and at once when it is aborted`, async ({ skip }) => {
          const running = run();
          if (!running.adapter.capabilities.quarantine) skip();
          const record = await ready(running, goal);
          harness.hold();
          const error = await call(running.adapter, record, fence(), never).catch((failure: unknown) => failure);
          expect(error).toBeInstanceOf(RegistryError);
          expect(["TimedOut", "Unreachable"]).toContain((error as RegistryError).code);
          const reason = new Error("no longer wanted");
          const controller = new AbortController();
          const pending = call(running.adapter, record, fence(), controller.signal);
          controller.abort(reason);
          await expect(pending).rejects.toBe(reason);
        });
      }
    });

    describe("putting back", () => {
      it("restores what was removed, once, with a lease of the same length", async () => {
        const running = run();
        const record = await registered(running);
        const result = await running.adapter.deregister(record, fence(), never);
        if (result.outcome !== "Done") throw new Error(result.outcome);
        expect(await running.adapter.put(result.restore, never)).toBe(true);
        await caughtUp(running.view);
        const restored = running.view.get(record.id);
        const { service, instance, endpoints, metadata, format } = record;
        expect(restored).toMatchObject({ service, instance, endpoints, metadata, format });
        expect(restored?.version).not.toBe(record.version);
        expect(await running.adapter.put(result.restore, never)).toBe(false);
        if (restored === undefined) throw new Error("not listed");
        const kind = harness.life ?? "Lease";
        const expected = kind === "None" ? { kind } : { kind, grantedMs: 60_000 };
        expect(await running.adapter.readLife(restored, never)).toMatchObject(expected);
      });

      it("restores for ever what had no lease", async () => {
        const running = run();
        const record = await registered(running, { ...one, ttl: 0 });
        const result = await running.adapter.deregister(record, fence(), never);
        if (result.outcome !== "Done") throw new Error(result.outcome);
        expect(await running.adapter.put(result.restore, never)).toBe(true);
        expect(await running.adapter.read(record.id, never)).toMatchObject({ ttlMs: 0 });
      });

      it("overwrites nobody", async () => {
        const running = run();
        const record = await registered(running);
        const result = await running.adapter.deregister(record, fence(), never);
        if (result.outcome !== "Done") throw new Error(result.outcome);
        const newcomer = await registered(running);
        expect(await running.adapter.put(result.restore, never)).toBe(false);
        expect(await running.adapter.read(record.id, never)).toMatchObject({ version: newcomer.version });
      });

      it("lets the restored entry leave again when nobody keeps it alive", async ({ skip }) => {
        if (forgottenAfter(2) === 0) skip();
        const running = run();
        const record = await registered(running, { ...one, ttl: 2 });
        const result = await running.adapter.deregister(record, fence(), never);
        if (result.outcome !== "Done") throw new Error(result.outcome);
        expect(await running.adapter.put(result.restore, never)).toBe(true);
        expect(await harness.isListed(record.id)).toBe(true);
        await eventually(async () => {
          expect(await harness.isListed(record.id)).toBe(false);
        });
      });
    });

    describe("trouble", () => {
      const calls: Record<
        string,
        (adapter: RegistryAdapter, record: InstanceRecord, signal: AbortSignal) => Promise<unknown>
      > = {
        read: (adapter, record, signal) => adapter.read(record.id, signal),
        readLife: (adapter, record, signal) => adapter.readLife(record, signal),
        deregister: (adapter, record, signal) => adapter.deregister(record, fence(), signal),
        put: (adapter, record, signal) =>
          adapter.put(
            { registry: "r", id: record.id, format: record.format, value: "{}", encoding: "utf8", ttlMs: 0 },
            signal,
          ),
      };

      it("fails every call with Unreachable when nobody listens", async () => {
        const running = run();
        const record = await registered(running);
        await harness.refuse();
        for (const call of Object.values(calls)) {
          const error = await call(running.adapter, record, never).catch((failure: unknown) => failure);
          expect(error).toBeInstanceOf(RegistryError);
          expect(error).toHaveProperty("code", "Unreachable");
        }
        expect(await harness.isListed(record.id)).toBe(true);
      });

      it("fails every call in time when nothing answers", async () => {
        const running = run();
        const record = await registered(running);
        harness.hold();
        for (const call of Object.values(calls)) {
          const error = await call(running.adapter, record, never).catch((failure: unknown) => failure);
          expect(error).toBeInstanceOf(RegistryError);
          expect(["TimedOut", "Unreachable"]).toContain((error as RegistryError).code);
        }
      });

      it("ends every call at once when it is aborted", async () => {
        const running = run();
        const record = await registered(running);
        harness.hold();
        const reason = new Error("no longer wanted");
        for (const call of Object.values(calls)) {
          const controller = new AbortController();
          const pending = call(running.adapter, record, controller.signal);
          const begun = performance.now();
          controller.abort(reason);
          await expect(pending).rejects.toBe(reason);
          expect(performance.now() - begun).toBeLessThan(500);
        }
      });

      const moments: Record<string, () => Promise<void>> = {
        "while all is well": () => Promise.resolve(),
        "while nothing answers": async () => {
          harness.hold();
          await delay(300);
        },
        "while nobody listens": () => harness.refuse(),
      };
      for (const [moment, arrange] of Object.entries(moments)) {
        it(`stops at once ${moment}, and says nothing afterwards`, async () => {
          const running = run();
          await caughtUp(running.view);
          await arrange();
          const begun = performance.now();
          await running.stop();
          expect(performance.now() - begun).toBeLessThan(1_000);
          const said = running.states.length;
          harness.release();
          await delay(300);
          expect(running.states).toHaveLength(said);
        });
      }
    });
  });
}
