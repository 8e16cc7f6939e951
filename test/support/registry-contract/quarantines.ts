import { describe, expect, it } from "vitest";

import { RegistryError } from "../../../src/registry/errors.ts";
import type { InstanceRecord, RegistryAdapter, WriteResult } from "../../../src/registry/port.ts";
import { type ContractStage, eventually, fence, never, type Running } from "./stage.ts";

type WriteCall = Parameters<RegistryAdapter["deregister"]>;

async function quarantine(adapter: RegistryAdapter, ...call: WriteCall): Promise<WriteResult | undefined> {
  return await adapter.quarantine?.(...call);
}

async function release(adapter: RegistryAdapter, ...call: WriteCall): Promise<WriteResult | undefined> {
  return await adapter.release?.(...call);
}

/** What an adapter takes out of rotation, and back. */
export function describeQuarantines(stage: ContractStage): void {
  const { run, caughtUp, registered } = stage;

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

    async function listedAs({ view }: Running, { id }: InstanceRecord, quarantined: boolean): Promise<InstanceRecord> {
      await eventually(() => {
        expect(view.get(id)?.quarantined).toBe(quarantined);
      });
      const record = view.get(id);
      if (record === undefined) throw new Error(`${id} is not listed`);
      return record;
    }

    it("is taken for what an adapter can do when both of its calls are there", () => {
      const adapter = stage.harness.adapter();
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
        const record = [...running.view.byHost(stage.one.host)][0];
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
        await stage.harness.register({ ...stage.one, ttl: stage.one.ttl + 1 });
        expect(await call(running.adapter, record, fence(), never)).toEqual({ outcome: "Changed" });
      });

      it(`${act} says that the record had left`, async ({ skip }) => {
        const running = run();
        if (!running.adapter.capabilities.quarantine) skip();
        const record = await ready(running, goal);
        await stage.harness.remove(record.id);
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
        stage.harness.hold();
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
}
