import { describe, expect, it } from "vitest";

import { KeyTable, type KeyValue } from "./key-table.ts";
import { LayoutSet } from "./layouts/layout-set.ts";
import { Timeline } from "../timeline.ts";

const KEY = "user.rpc/7";

function entry(overrides: Partial<Omit<KeyValue, "key" | "value">> & { key?: string; value?: string } = {}): KeyValue {
  const { key = KEY, value = "10.0.0.1:80", ...rest } = overrides;
  return {
    key: Buffer.from(key),
    value: Buffer.from(value),
    create_revision: "10",
    mod_revision: "10",
    lease: "77",
    ...rest,
  };
}

function tableWith(...barriers: (readonly [time: number, revision: number])[]): {
  table: KeyTable;
  timeline: Timeline;
} {
  const timeline = new Timeline();
  for (const barrier of barriers) timeline.add(...barrier);
  return { table: new KeyTable("r", new LayoutSet([{ layout: "GoZero", prefix: "user.rpc" }]), timeline, 1), timeline };
}

describe("KeyTable", () => {
  it("dates a write from above by its arrival and from below by the last barrier without it", () => {
    const { table } = tableWith([400, 9]);
    expect(table.put(entry(), 500).upserted).toMatchObject({ seenAt: 500, writtenAfter: 400, touchedAfter: 400 });
  });

  it("knows no lower bound for what was there before the first barrier", () => {
    const { table } = tableWith([400, 10]);
    expect(table.put(entry(), 500).upserted).toMatchObject({ seenAt: 500, writtenAfter: Number.NEGATIVE_INFINITY });
  });

  it("says nothing of a version it knows", () => {
    const { table } = tableWith();
    table.put(entry(), 500);
    expect(table.put(entry(), 900)).toEqual({});
  });

  it("keeps the bounds of the first write when the same process writes again, and notes the touch", () => {
    const { table, timeline } = tableWith([400, 9]);
    table.put(entry(), 500);
    timeline.add(800, 15);
    const { upserted } = table.put(entry({ mod_revision: "20" }), 900);
    expect(upserted).toMatchObject({ seenAt: 500, writtenAfter: 400, touchedAfter: 800, version: "1.20.77" });
  });

  const otherWriters: Record<string, Parameters<typeof entry>[0]> = {
    "another lease": { lease: "78" },
    "another value": { value: "10.0.0.2:80" },
    "a key that had left meanwhile": { create_revision: "20" },
  };
  for (const [sentence, change] of Object.entries(otherWriters)) {
    it(`takes ${sentence} for another process`, () => {
      const { table, timeline } = tableWith([400, 9]);
      table.put(entry(), 500);
      timeline.add(800, 15);
      const { upserted } = table.put(entry({ mod_revision: "20", ...change }), 900);
      expect(upserted).toMatchObject({ seenAt: 900, writtenAfter: 800 });
    });
  }

  it("takes every write without a lease for another process", () => {
    const { table, timeline } = tableWith([400, 9]);
    table.put(entry({ lease: "0" }), 500);
    timeline.add(800, 15);
    expect(table.put(entry({ lease: "0", mod_revision: "20" }), 900).upserted).toMatchObject({ seenAt: 900 });
  });

  it("removes the record when a key becomes no instance, and counts why", () => {
    const { table } = tableWith();
    table.put(entry(), 500);
    expect(table.put(entry({ value: "x", mod_revision: "11" }), 600)).toEqual({ removed: KEY });
    expect(table.totals).toEqual({ InvalidAddress: 1 });
    expect(table.put(entry({ mod_revision: "12" }), 700).upserted).toBeDefined();
    expect(table.totals).toEqual({});
  });

  it("counts a key once, by its present reason", () => {
    const { table } = tableWith();
    const odd = { key: "user.rpc/x" };
    table.put(entry(odd), 1);
    table.put(entry({ ...odd, mod_revision: "11" }), 2);
    table.put(entry({ key: "user.rpc/y" }), 2);
    expect(table.totals).toEqual({ UnknownKey: 2 });
    expect(table.removeId("user.rpc/x")).toBe(false);
    expect(table.totals).toEqual({ UnknownKey: 1 });
  });

  it("takes the framework's usual TTL until the lease tells its own, and keeps that for as long as the lease", () => {
    const { table } = tableWith();
    expect(table.put(entry(), 1).upserted?.ttlMs).toBe(10_000);
    expect(table.learnTtl(KEY, "77", 900_000)?.ttlMs).toBe(900_000);
    expect(table.learnTtl(KEY, "77", 900_000)).toBeUndefined();
    expect(table.put(entry({ mod_revision: "11" }), 2).upserted?.ttlMs).toBe(900_000);
    expect(table.put(entry({ mod_revision: "12", lease: "78" }), 3).upserted?.ttlMs).toBe(10_000);
  });

  it("learns nothing of a lease that the key no longer has", () => {
    const { table } = tableWith();
    table.put(entry({ lease: "78" }), 1);
    expect(table.learnTtl(KEY, "77", 900_000)).toBeUndefined();
  });

  it("has TTL 0 without a lease", () => {
    const { table } = tableWith();
    expect(table.put(entry({ lease: "0" }), 1).upserted?.ttlMs).toBe(0);
  });

  it("gives the same revision another version in another era", () => {
    const { table } = tableWith();
    const before = table.put(entry(), 1).upserted?.version;
    table.beginEra(2);
    const after = table.put(entry(), 2).upserted;
    expect(after?.version).not.toBe(before);
    expect(after?.seenAt).toBe(2);
  });

  describe("after a doubt", () => {
    const doubtful = { key: "user.rpc/78", value: "10.0.0.2:8080", mod_revision: "20", lease: "78" };

    it("takes what was written later for new, in another version, and keeps what was written before", () => {
      const { table } = tableWith();
      const old = table.put(entry(), 1).upserted;
      const before = table.put(entry(doubtful), 1).upserted;
      table.doubtAfter(15, 2);
      expect(table.isInDoubt).toBe(true);
      expect(table.put(entry(), 3)).toEqual({});
      const after = table.put(entry(doubtful), 3).upserted;
      expect(after).toMatchObject({ seenAt: 3 });
      expect(after?.version).not.toBe(before?.version);
      expect(table.put(entry(doubtful), 4)).toEqual({});
      expect(table.isInDoubt).toBe(false);
      expect([old, before, after].map((record) => record && table.stands(record))).toEqual([true, false, true]);
    });

    it("lets nothing in doubt stand, and lists it until it is met again or found to be gone", () => {
      const { table } = tableWith();
      const record = table.put(entry(doubtful), 1).upserted;
      table.doubtAfter(15, 2);
      expect(record && table.stands(record)).toBe(false);
      expect(table.holds(entry(doubtful))).toBe(false);
      expect([...table.records()]).toEqual([record]);
      expect(table.removeId("user.rpc/78")).toBe(true);
      expect(table.isInDoubt).toBe(false);
      expect([...table.records()]).toEqual([]);
    });

    it("goes on as before when nothing was written later", () => {
      const { table } = tableWith();
      const before = table.put(entry(), 1).upserted;
      table.doubtAfter(10, 2);
      expect(table.isInDoubt).toBe(false);
      expect(table.era).toBe(1);
      expect(before && table.stands(before)).toBe(true);
    });
  });

  it("peeks without taking in", () => {
    const { table } = tableWith();
    expect(table.peek(entry(), 1)?.version).toBe("1.10.77");
    expect([...table.records()]).toEqual([]);
    const known = table.put(entry(), 2).upserted;
    expect(table.peek(entry(), 3)).toBe(known);
    expect(table.peek(entry({ value: "x" }), 3)).toBeUndefined();
  });

  it("knows what it holds", () => {
    const { table } = tableWith();
    expect(table.holds(entry())).toBe(false);
    table.put(entry(), 1);
    table.put(entry({ key: "user.rpc/x" }), 1);
    expect(table.holds(entry())).toBe(true);
    expect(table.holds(entry({ mod_revision: "11" }))).toBe(false);
    expect(table.holds(entry({ key: "user.rpc/x", mod_revision: "99" }))).toBe(true);
    expect([...table.ids()]).toEqual([KEY, "user.rpc/x"]);
  });
});
