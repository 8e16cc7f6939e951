import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { ManualClock } from "../../test/support/manual-clock.ts";
import { NextBatch } from "./next-batch.ts";

const never = new AbortController().signal;

/** Reads that end when they are told to; each returns its number. */
class Reads {
  readonly #gates: PromiseWithResolvers<number>[] = [];
  readonly read = async (): Promise<number> => {
    const gate = Promise.withResolvers<number>();
    this.#gates.push(gate);
    return await gate.promise;
  };

  get begun(): number {
    return this.#gates.length;
  }

  async end(number: number): Promise<void> {
    this.#gates[number]?.resolve(number);
    await settle();
  }

  async fail(number: number): Promise<void> {
    this.#gates[number]?.reject(new Error(`read ${number} failed`));
    await settle();
  }
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe("a shared read", () => {
  test("serves all who ask before it begins", async () => {
    const reads = new Reads();
    const batch = new NextBatch(reads.read);
    const answers = Promise.all([batch.join(never), batch.join(never)]);
    await settle();
    await reads.end(0);
    expect(await answers).toEqual([0, 0]);
    expect(reads.begun).toBe(1);
  });

  test("is never given to who asks after it has begun: those share the next one", async () => {
    const reads = new Reads();
    const batch = new NextBatch(reads.read);
    const first = batch.join(never);
    await settle();
    const late = Promise.all([batch.join(never), batch.join(never)]);
    await settle();
    expect(reads.begun).toBe(1);
    await reads.end(0);
    expect(await first).toBe(0);
    expect(reads.begun).toBe(2);
    await reads.end(1);
    expect(await late).toEqual([1, 1]);
  });

  test("that fails fails for its own callers only", async () => {
    const reads = new Reads();
    const batch = new NextBatch(reads.read);
    const first = batch.join(never);
    const failing = expect(first).rejects.toThrow("read 0 failed");
    await settle();
    const second = batch.join(never);
    await reads.fail(0);
    await failing;
    await reads.end(1);
    expect(await second).toBe(1);
  });

  test("goes on for the others when one of them leaves, and when all do", async () => {
    const reads = new Reads();
    const batch = new NextBatch(reads.read);
    const abort = new AbortController();
    const reason = new Error("enough");
    const leaving = batch.join(abort.signal);
    const staying = batch.join(never);
    await settle();
    abort.abort(reason);
    await expect(leaving).rejects.toBe(reason);
    await reads.end(0);
    expect(await staying).toBe(0);

    const alone = new AbortController();
    const only = batch.join(alone.signal);
    await settle();
    alone.abort(reason);
    await expect(only).rejects.toBe(reason);
    await reads.fail(1);
    const after = batch.join(never);
    await settle();
    await reads.end(2);
    expect(await after).toBe(2);
  });

  test("is not begun for who is aborted already", async () => {
    const reads = new Reads();
    await expect(new NextBatch(reads.read).join(AbortSignal.abort())).rejects.toThrow();
    await settle();
    expect(reads.begun).toBe(0);
  });

  test.each<[string, (reads: Reads) => Promise<void>]>([
    ["succeeded", (reads) => reads.end(0)],
    ["failed", (reads) => reads.fail(0)],
  ])("that %s is followed by a rest, in proportion to the time it took", async (_, end) => {
    const clock = new ManualClock();
    const reads = new Reads();
    const batch = new NextBatch(reads.read, { clock, share: 2 });
    const first = batch.join(never).catch(() => undefined);
    await clock.advance(100);
    await end(reads);
    await first;
    const next = batch.join(never);
    await clock.advance(199);
    expect(reads.begun).toBe(1);
    await clock.advance(1);
    expect(reads.begun).toBe(2);
    await reads.end(1);
    expect(await next).toBe(1);
  });

  test("rests no longer than half a second", async () => {
    const clock = new ManualClock();
    const reads = new Reads();
    const batch = new NextBatch(reads.read, { clock, share: 3 });
    const first = batch.join(never);
    await clock.advance(10_000);
    await reads.end(0);
    await first;
    void batch.join(never);
    await clock.advance(500);
    expect(reads.begun).toBe(2);
  });

  test("began after every caller of it asked, and one at a time, in any order of events", async () => {
    const act = fc.record({ what: fc.constantFrom("ask", "end", "fail") });
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 40 }), async (acts) => {
        let now = 0;
        const beganAt: number[] = [];
        let gate: PromiseWithResolvers<number> | undefined;
        const batch = new NextBatch(async () => {
          expect(gate).toBeUndefined();
          const number = beganAt.push(now) - 1;
          gate = Promise.withResolvers<number>();
          try {
            await gate.promise;
            return number;
          } finally {
            gate = undefined;
          }
        });
        const wrong: string[] = [];
        for (const { what } of acts) {
          now += 1;
          const askedAt = now;
          if (what === "end") gate?.resolve(0);
          else if (what === "fail") gate?.reject(new Error("failed"));
          else {
            batch.join(never).then(
              (number) => {
                if ((beganAt[number] ?? -1) < askedAt) wrong.push(`asked at ${askedAt}`);
              },
              () => undefined,
            );
          }
          await settle();
        }
        gate?.resolve(0);
        await settle();
        expect(wrong).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });
});
