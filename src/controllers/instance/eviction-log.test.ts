import { expect, test } from "vitest";

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
