import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { Slots } from "./slots.ts";

const never = new AbortController().signal;

/** Work that ends when it is told to. */
function work(): { run: () => Promise<string>; end: () => void; fail: () => void; begun: () => boolean } {
  const gate = Promise.withResolvers<string>();
  gate.promise.catch(() => undefined);
  let isBegun = false;
  return {
    run: () => {
      isBegun = true;
      return gate.promise;
    },
    end: () => gate.resolve("done"),
    fail: () => gate.reject(new Error("broken")),
    begun: () => isBegun,
  };
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe("slots", () => {
  test("let the first ones in, and the next when one of them ends, in the order they came", async () => {
    const slots = new Slots(2);
    const all = [work(), work(), work(), work()];
    for (const each of all) void slots.run(each.run, never);
    await settle();
    expect(all.map((each) => each.begun())).toEqual([true, true, false, false]);
    all[1]?.end();
    await settle();
    expect(all.map((each) => each.begun())).toEqual([true, true, true, false]);
  });

  test("give the slot of who fails to the next, and hand on the failure", async () => {
    const slots = new Slots(1);
    const [first, second] = [work(), work()];
    const failing = slots.run(first.run, never);
    void slots.run(second.run, never);
    first.fail();
    await expect(failing).rejects.toThrow("broken");
    await settle();
    expect(second.begun()).toBe(true);
  });

  test("are not given to who comes while the first in line is being let in", async () => {
    const slots = new Slots(1);
    const [first, second, third] = [work(), work(), work()];
    const done = slots.run(first.run, never).then(() => void slots.run(third.run, never));
    void slots.run(second.run, never);
    first.end();
    await done;
    await settle();
    expect([second.begun(), third.begun()]).toEqual([true, false]);
  });

  test("are left by who is aborted in line, at once and for the signal's reason", async () => {
    const slots = new Slots(1);
    const [first, second, third] = [work(), work(), work()];
    void slots.run(first.run, never);
    const abort = new AbortController();
    const waiting = slots.run(second.run, abort.signal);
    void slots.run(third.run, never);
    const reason = new Error("enough");
    abort.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    first.end();
    await settle();
    expect([second.begun(), third.begun()]).toEqual([false, true]);
  });

  test("are not taken by who is aborted already", async () => {
    const slots = new Slots(1);
    await expect(slots.run(() => Promise.resolve(1), AbortSignal.abort())).rejects.toThrow();
    expect(await slots.run(() => Promise.resolve(2), never)).toBe(2);
  });

  test("are never lost and never too many, whatever the order of ends, failures and aborts", async () => {
    const act = fc.record({ what: fc.constantFrom("come", "end", "fail", "abort"), which: fc.nat(9) });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 3 }), fc.array(act, { maxLength: 40 }), async (count, acts) => {
        const slots = new Slots(count);
        const inside = new Set<ReturnType<typeof work>>();
        const came: { each: ReturnType<typeof work>; abort: AbortController }[] = [];
        for (const { what, which } of acts) {
          const known = came[which % Math.max(1, came.length)];
          if (what === "come") {
            const each = work();
            const abort = new AbortController();
            came.push({ each, abort });
            const run = async (): Promise<void> => {
              inside.add(each);
              expect(inside.size).toBeLessThanOrEqual(count);
              await each.run().finally(() => inside.delete(each));
            };
            slots.run(run, abort.signal).catch(() => undefined);
          } else if (what === "end") known?.each.end();
          else if (what === "fail") known?.each.fail();
          else known?.abort.abort();
          await settle();
        }
        for (const { each } of came) each.end();
        await settle();
        const last = Array.from({ length: count }, work);
        for (const each of last) void slots.run(each.run, never);
        await settle();
        expect(last.every((each) => each.begun())).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});
