import { setTimeout as delay } from "node:timers/promises";

import { describe, expect, it } from "vitest";

import { type ContractStage, eventually, fence, never } from "./stage.ts";

/** What an adapter takes out, and puts back. */
export function describeRemovals(stage: ContractStage): void {
  const { run, caughtUp, registered, forgottenAfter } = stage;

  describe("removing", () => {
    it("removes the version that was judged, and says how to put it back", async () => {
      const running = run();
      const record = await registered(running);
      const result = await running.adapter.deregister(record, fence(), never);
      expect(result).toMatchObject({ outcome: "Done", restore: { id: record.id, ttlMs: forgottenAfter(60) } });
      expect(await stage.harness.isListed(record.id)).toBe(false);
      await eventually(() => {
        expect(running.view.get(record.id)).toBeUndefined();
      });
    });

    it("leaves an undo record that tells what, why and by which decision", async ({ skip }) => {
      const running = run();
      if (!running.adapter.capabilities.undoInTransaction) skip();
      const record = await registered(running);
      await running.adapter.deregister(record, fence({ reason: "PodFinished", traceId: "trace-undo" }), never);
      const undo = (await stage.harness.undoRecords()).filter((text) => text.includes("trace-undo"));
      expect(undo).toHaveLength(1);
      expect(undo[0]).toContain("PodFinished");
      expect(undo[0]).toContain(record.id);
    });

    it("touches nothing when the record was written again", async () => {
      const running = run();
      const record = await registered(running);
      // Where the same written again leaves no trace, only another process's writing can be told.
      if (running.adapter.capabilities.exactGuard) await stage.harness.rewrite(record.id);
      else await stage.harness.register(stage.one);
      expect(await running.adapter.deregister(record, fence(), never)).toEqual({ outcome: "Changed" });
      expect(await stage.harness.isListed(record.id)).toBe(true);
    });

    it("says that the record had left", async () => {
      const running = run();
      const record = await registered(running);
      await stage.harness.remove(record.id);
      expect(await running.adapter.deregister(record, fence(), never)).toEqual({ outcome: "Gone" });
      expect(await stage.harness.undoRecords()).not.toContainEqual(expect.stringContaining(record.id));
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
      expect(await stage.harness.isListed(record.id)).toBe(true);
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
        expect(await stage.harness.isListed(record.id)).toBe(true);
      } else expect(outcome).toBe("Done");
    });

    const timeout = 120_000;
    it("never takes a newborn that writes between read and delete (1,000 rounds)", { timeout }, async ({ skip }) => {
      const { adapter } = run();
      // Where the registry compares nothing, what is written between the last look and the delete is not seen.
      if (!adapter.capabilities.guardedDelete) skip();
      const outcomes = new Map<string, number>();
      for (let round = 0; round < 1_000; round++) {
        const id = await stage.harness.register(stage.one);
        const judged = await adapter.read(id, never);
        if (judged === undefined) throw new Error("not listed");
        const soon = round % 2 === 0 ? 0 : Math.random() * 4;
        const birth = (): Promise<string> =>
          soon === 0 ? stage.harness.register(stage.one) : delay(soon).then(() => stage.harness.register(stage.one));
        const [{ outcome }] = await Promise.all([adapter.deregister(judged, fence(), never), birth()]);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        expect(await stage.harness.isListed(id)).toBe(true);
      }
      expect((outcomes.get("Done") ?? 0) + (outcomes.get("Changed") ?? 0)).toBe(1_000);
      expect(outcomes.get("Changed")).toBeGreaterThan(0);
    });
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
      const kind = stage.harness.life ?? "Lease";
      const expected = kind === "None" ? { kind } : { kind, grantedMs: 60_000 };
      expect(await running.adapter.readLife(restored, never)).toMatchObject(expected);
    });

    it("restores for ever what had no lease", async () => {
      const running = run();
      const record = await registered(running, { ...stage.one, ttl: 0 });
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
      const record = await registered(running, { ...stage.one, ttl: 2 });
      const result = await running.adapter.deregister(record, fence(), never);
      if (result.outcome !== "Done") throw new Error(result.outcome);
      expect(await running.adapter.put(result.restore, never)).toBe(true);
      expect(await stage.harness.isListed(record.id)).toBe(true);
      await eventually(async () => {
        expect(await stage.harness.isListed(record.id)).toBe(false);
      });
    });
  });
}
