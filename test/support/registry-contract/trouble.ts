import { setTimeout as delay } from "node:timers/promises";

import { describe, expect, it } from "vitest";

import { RegistryError } from "../../../src/registry/errors.ts";
import type { InstanceRecord, RegistryAdapter } from "../../../src/registry/port.ts";
import { type ContractStage, fence, never } from "./stage.ts";

/** What an adapter does when the registry does not answer, and when it is to stop. */
export function describeTrouble(stage: ContractStage): void {
  const { run, caughtUp, registered } = stage;

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
      await stage.harness.refuse();
      for (const call of Object.values(calls)) {
        const error = await call(running.adapter, record, never).catch((failure: unknown) => failure);
        expect(error).toBeInstanceOf(RegistryError);
        expect(error).toHaveProperty("code", "Unreachable");
      }
      expect(await stage.harness.isListed(record.id)).toBe(true);
    });

    it("fails every call in time when nothing answers", async () => {
      const running = run();
      const record = await registered(running);
      stage.harness.hold();
      for (const call of Object.values(calls)) {
        const error = await call(running.adapter, record, never).catch((failure: unknown) => failure);
        expect(error).toBeInstanceOf(RegistryError);
        expect(["TimedOut", "Unreachable"]).toContain((error as RegistryError).code);
      }
    });

    it("ends every call at once when it is aborted", async () => {
      const running = run();
      const record = await registered(running);
      stage.harness.hold();
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
        stage.harness.hold();
        await delay(300);
      },
      "while nobody listens": () => stage.harness.refuse(),
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
        stage.harness.release();
        await delay(300);
        expect(running.states).toHaveLength(said);
      });
    }
  });
}
