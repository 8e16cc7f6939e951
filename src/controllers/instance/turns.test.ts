import { beforeEach, expect, test } from "vitest";

import { ManualClock } from "../../../test/support/manual-clock.ts";
import { recordAt } from "../../../test/support/records.ts";
import type { Trigger } from "../../kube/controller.ts";
import { spread } from "../../plan/spread.ts";
import type { InstanceRecord } from "../../registry/port.ts";
import { Turns } from "./turns.ts";

let clock: ManualClock;
let dealt: string[];
let triggers: Trigger[];
let turns: Turns;

beforeEach(() => {
  clock = new ManualClock();
  dealt = [];
  triggers = [];
  let seed = 1;
  turns = new Turns({
    clock,
    random: () => (seed = (seed * 48271) % 2147483647) / 2147483647,
    spread,
    enqueue: (key, trigger) => {
      dealt.push(key);
      triggers.push(trigger);
    },
  });
});

function record(id: string, service = "shop", version = "v1"): InstanceRecord {
  return recordAt(["10.42.0.7:80"], { id, service, version });
}

const trigger: Trigger = { traceId: "t", seenAt: 7 };

test("nobody goes at once; after the window everybody goes, once each, by the trigger that brought it", async () => {
  expect(turns.mayGo("a", record("a"), trigger)).toBe(false);
  expect(turns.mayGo("b", record("b"), trigger)).toBe(false);
  await clock.advance(999);
  expect(dealt).toEqual([]);
  await clock.advance(1);
  expect(dealt.toSorted()).toEqual(["a", "b"]);
  expect(triggers).toEqual([trigger, trigger]);
  expect(turns.mayGo("a", record("a"), trigger)).toBe(true);
  expect(turns.mayGo("a", record("a"), trigger)).toBe(false);
});

test("those of one window are in a random order in which no service comes twice before each came once", async () => {
  const ids = Array.from({ length: 30 }, (_, i) => `${i % 3}-${i}`);
  for (const id of ids) turns.mayGo(id, record(id, `service-${id[0] ?? ""}`), trigger);
  await clock.advance(1_000);
  expect(dealt).not.toEqual(ids);
  for (let round = 0; round < 10; round++) {
    const services = dealt.slice(round * 3, round * 3 + 3).map((id) => id[0]);
    expect(services.toSorted()).toEqual(["0", "1", "2"]);
  }
});

test("a turn is for the version that asked", async () => {
  turns.mayGo("a", record("a"), trigger);
  await clock.advance(1_000);
  expect(turns.mayGo("a", record("a", "shop", "v2"), trigger)).toBe(false);
});

test("a turn that is not used is over after a minute, and is not kept", async () => {
  turns.mayGo("a", record("a"), trigger);
  await clock.advance(1_000);
  await clock.advance(60_000);
  expect(turns.mayGo("a", record("a"), trigger)).toBe(false);
});

test("whoever asks again while it waits is dealt once", async () => {
  turns.mayGo("a", record("a"), trigger);
  turns.mayGo("a", record("a"), trigger);
  await clock.advance(1_000);
  expect(dealt).toEqual(["a"]);
});

test("nothing is dealt after the end", async () => {
  turns.mayGo("a", record("a"), trigger);
  turns.clear();
  await clock.advance(5_000);
  expect(dealt).toEqual([]);
  expect(clock.pending).toBe(0);
});
