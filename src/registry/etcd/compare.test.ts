import { describe, expect, it } from "vitest";

import { Compare } from "./compare.ts";
import { KeyTable, type KeyValue } from "./key-table.ts";
import { LayoutSet } from "./layouts/layout-set.ts";
import { Batch } from "./publisher.ts";
import { Timeline } from "../timeline.ts";

function entry(id: number, revision: number): KeyValue {
  return {
    key: Buffer.from(`user.rpc/${String(id)}`),
    value: Buffer.from("10.0.0.1:80"),
    create_revision: "1",
    mod_revision: String(revision),
    lease: "0",
  };
}

function tableOf(...entries: KeyValue[]): KeyTable {
  const table = new KeyTable("r", new LayoutSet([{ layout: "GoZero", prefix: "user.rpc" }]), new Timeline(), 1);
  for (const one of entries) table.put(one, 0);
  return table;
}

/** What a list at revision 100 changes, with what the watch did meanwhile. */
function compare(
  table: KeyTable,
  listed: KeyValue[],
  meanwhile: (compare: Compare) => void = () => undefined,
): string[] {
  const running = new Compare(table);
  running.page(listed);
  meanwhile(running);
  const batch = new Batch(table, 1);
  running.apply(100, batch);
  return [...batch.changed].map(([id, record]) => `${id} ${record === undefined ? "removed" : record.version}`);
}

describe("Compare", () => {
  it("finds nothing when the watch missed nothing", () => {
    expect(compare(tableOf(entry(1, 50)), [entry(1, 50)])).toEqual([]);
  });

  it("adds what the watch missed", () => {
    expect(compare(tableOf(), [entry(1, 50)])).toEqual(["user.rpc/1 1.50.0"]);
  });

  it("updates what the watch missed", () => {
    expect(compare(tableOf(entry(1, 50)), [entry(1, 60)])).toEqual(["user.rpc/1 1.60.0"]);
  });

  it("removes what left unseen", () => {
    expect(compare(tableOf(entry(1, 50)), [])).toEqual(["user.rpc/1 removed"]);
  });

  it("keeps what the watch brought after the list", () => {
    const table = tableOf();
    const changed = compare(table, [], (running) => {
      table.put(entry(1, 101), 1);
      running.touch("user.rpc/1", 101);
    });
    expect(changed).toEqual([]);
    expect(table.holds(entry(1, 101))).toBe(true);
  });

  it("does not bring back what left after the list", () => {
    const table = tableOf(entry(1, 50));
    const changed = compare(table, [entry(1, 60)], (running) => {
      table.removeId("user.rpc/1");
      running.touch("user.rpc/1", 101);
    });
    expect(changed).toEqual([]);
  });

  it("trusts the list over an older event of the watch", () => {
    const table = tableOf();
    const changed = compare(table, [entry(1, 90)], (running) => {
      table.put(entry(1, 80), 1);
      running.touch("user.rpc/1", 80);
    });
    expect(changed).toEqual(["user.rpc/1 1.90.0"]);
  });
});
