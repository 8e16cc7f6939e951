import { setTimeout as delay } from "node:timers/promises";

import { describe, expect, it } from "vitest";

import { type ContractStage, eventually, never } from "./stage.ts";

/** What an adapter tells of the registry: its content, how current that is, and when it was written. */
export function describeViews(stage: ContractStage): void {
  const { run, caughtUp, registered } = stage;

  describe("watching", () => {
    it("lists what is there, and then every change", async () => {
      const early = await stage.harness.register(stage.one);
      const { view } = run();
      await caughtUp(view);
      expect(view.get(early)).toMatchObject({
        registry: view.name,
        id: early,
        service: stage.one.service,
        endpoints: [{ host: stage.one.host, isIp: true, port: stage.one.port }],
        quarantined: false,
        removal: { effective: "Yes" },
      });
      const late = await stage.harness.register({
        ...stage.one,
        instance: `${stage.one.instance}-late`,
        host: "10.2.0.1",
      });
      await eventually(() => {
        expect(view.byHost("10.2.0.1").map(({ id }) => id)).toEqual([late]);
      });
      await stage.harness.remove(early);
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
          await stage.harness.refuse();
          await eventually(() => {
            expect(running.view.freshness().problem?.reason).toBe("Unreachable");
          });
        } else stage.harness.cut();
        await stage.harness.remove(leaves.id);
        const comes = await stage.harness.register({ ...stage.one, instance: `${stage.one.instance}-comes` });
        await stage.harness.accept();
        await caughtUp(running.view);
        expect(running.view.get(leaves.id)).toBeUndefined();
        expect(running.view.get(comes)).toBeDefined();
      });
    }

    it("keeps the last good view while nothing answers", async () => {
      const running = run();
      const record = await registered(running);
      await stage.harness.refuse();
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
      }, stage.harness.freshWithin);
      const first = view.freshness().caughtUpTo;
      await eventually(() => {
        expect(view.freshness().caughtUpTo).toBeGreaterThan(first);
      }, stage.harness.freshWithin);
      expect(view.freshness().serverVersion).not.toBe("");
      expect(view.freshness().clusterId).not.toBe("");
    });

    it("stops where the network stops, says so, and falls back", async () => {
      const { view } = run();
      await caughtUp(view);
      stage.harness.hold();
      const heldAt = performance.now();
      await eventually(() => {
        expect(view.freshness().problem).toBeDefined();
        expect(view.freshness().mode).toBe("Fallback");
      });
      expect(view.freshness().caughtUpTo).toBeLessThan(heldAt);
      stage.harness.release();
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
        if (i % 20 === 5) stage.harness.hold();
        if (i % 20 === 10) stage.harness.release();
        if (i % 20 === 15) stage.harness.cut();
        const id = await stage.harness.register({ ...stage.one, instance: `${stage.one.instance}-${String(i)}` });
        committed.set(id, performance.now());
        await delay(20);
      }
      stage.harness.release();
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
      const id = await stage.harness.register(stage.one);
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
      const id = await stage.harness.register(stage.one);
      const { view } = run();
      await caughtUp(view);
      expect(view.get(id)?.writtenAfter).toBe(Number.NEGATIVE_INFINITY);
    });

    it("keeps the first write of a process that writes again, under another version if the guard is exact", async () => {
      const running = run();
      const first = await registered(running);
      await caughtUp(running.view);
      await stage.harness.rewrite(first.id);
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
      await stage.harness.remove(record.id);
      expect(await running.adapter.read(record.id, never)).toBeUndefined();
    });

    it("sees a silent lease run down and a refreshed one rise", async ({ skip }) => {
      if ((stage.harness.life ?? "Lease") !== "Lease") skip();
      const running = run();
      const record = await registered(running, { ...stage.one, ttl: 6 });
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
      await stage.harness.keepAlive(record.id);
      expect(await remaining()).toBeGreaterThan(low);
    });

    it("tells nothing of a record without a lease", async () => {
      const running = run();
      const record = await registered(running, { ...stage.one, ttl: 0 });
      expect(await running.adapter.readLife(record, never)).toEqual({ kind: "None" });
      expect(record.ttlMs).toBe(0);
    });
  });
}
