import { describe, expect, test } from "vitest";

import type { EvictionEntry } from "../types.ts";
import { EvictionLog } from "./eviction-log.ts";

function entry(id: number): EvictionEntry {
  return {
    time: new Date(id * 1_000),
    registry: "main",
    service: "shop",
    instance: "i",
    id: String(id),
    address: "10.42.0.7:80",
    evidence: "Confirmed",
    reason: "DeathConfirmed",
    pod: { namespace: "shop", name: "a", uid: "u" },
    traceId: "t",
    result: "Evicted",
    restore: undefined,
  };
}

const policy = { name: "all", uid: "p1" };

test("keeps the latest hundred, newest first, and counts all", () => {
  const log = new EvictionLog();
  for (let id = 1; id <= 120; id++) log.add(policy, entry(id));
  const ids = log.entries(policy).map(({ id }) => Number(id));
  expect(ids).toEqual(Array.from({ length: 100 }, (_, i) => 120 - i));
  expect(log.evicted("all")).toEqual({ total: 120, last: new Date(120_000) });
});

test("knows nothing of a policy that evicted nothing", () => {
  const log = new EvictionLog();
  expect(log.entries(policy)).toEqual([]);
  expect(log.evicted("all")).toEqual({ total: 0, last: undefined });
});

test("does not show a policy what an earlier one of its name did, but never counts backwards", () => {
  const log = new EvictionLog();
  log.add(policy, entry(1));
  const next = { name: "all", uid: "p2" };
  expect(log.entries(next)).toEqual([]);
  log.add(next, entry(2));
  expect(log.entries(next).map(({ id }) => id)).toEqual(["2"]);
  expect(log.entries(policy)).toEqual([]);
  expect(log.evicted("all").total).toBe(2);
});

test("forgets the entries of a policy that is gone, and goes on counting should it return", () => {
  const log = new EvictionLog();
  log.add(policy, entry(1));
  log.forget("all");
  expect(log.entries(policy)).toEqual([]);
  log.add(policy, entry(2));
  expect(log.evicted("all").total).toBe(2);
});

describe("an entry that is there again", () => {
  const results = (log: EvictionLog): string[] => log.entries(policy).map(({ id, result }) => `${id} ${result}`);

  test("has its newest eviction say so, in its place, and counts no more than it did", () => {
    const log = new EvictionLog();
    for (const id of [1, 2]) log.add(policy, entry(id));
    log.add(policy, { ...entry(1), traceId: "later" });
    log.add(policy, entry(3));
    log.cameBack(policy, "main", "1");
    expect(results(log)).toEqual(["3 Evicted", "1 Resurrected", "2 Evicted", "1 Evicted"]);
    expect(log.evicted("all").total).toBe(4);
  });

  test("changes nothing of another registry's entry, and nothing that has found its end", () => {
    const log = new EvictionLog();
    log.add(policy, entry(1));
    log.add(policy, { ...entry(2), result: "Released" });
    log.cameBack(policy, "other", "1");
    log.cameBack(policy, "main", "2");
    log.cameBack(policy, "main", "3");
    expect(results(log)).toEqual(["2 Released", "1 Evicted"]);
  });
});
