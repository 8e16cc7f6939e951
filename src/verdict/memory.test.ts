import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { dead, inputOf, life, living, NOW, recordOf, type Scene, SEEN } from "../../test/support/judging.ts";
import type { LifeReading } from "../registry/port.ts";
import { judge } from "./chain.ts";
import { afterComeback, afterLifeReading, noMemory } from "./memory.ts";
import type { InstanceMemory } from "./types.ts";

function memoryAfter(scene: Scene): InstanceMemory {
  return judge(inputOf(scene)).memory;
}

describe("what is remembered of absence", () => {
  const since = { suspectSince: NOW - 50_000, listsAtSuspect: 4 };

  it("begins with the first judgement that finds no owner", () => {
    expect(memoryAfter({ completeLists: 6 })).toMatchObject({ suspectSince: NOW, listsAtSuspect: 6 });
  });

  const table: Readonly<Record<string, { readonly scene: Scene; readonly goesOn: boolean }>> = {
    "goes on while nobody is there": { scene: {}, goesOn: true },
    "goes on while the death is contested": {
      scene: { tombstones: [dead("a")], record: { touchedAfter: NOW } },
      goesOn: true,
    },
    "goes on while a lost node may run it": { scene: { unreachableUntil: Infinity }, goesOn: true },
    "ends with a living owner": { scene: { live: [living("a")] }, goesOn: false },
    "ends with an owner that drains": { scene: { live: [living("a", {}, { deleting: true })] }, goesOn: false },
    "ends with a view that is not fresh: an owner may have come and gone": {
      scene: { clusterProblem: { reason: "Stale", message: "old" } },
      goesOn: false,
    },
    "ends with a witness of an owner": { scene: { witnesses: [{ podUid: "uid-b", ready: true }] }, goesOn: false },
    "ends when the record is not ours": { scene: { record: { managedBy: "another" } }, goesOn: false },
  };
  for (const [sentence, { scene, goesOn }] of Object.entries(table)) {
    it(sentence, () => {
      const after = memoryAfter({ ...scene, memory: since });
      expect(after).toMatchObject(goesOn ? since : { suspectSince: undefined, listsAtSuspect: 0 });
    });
  }
});

describe("what is remembered of unconfirmed deaths", () => {
  const tombstone = dead("a", { reason: "NotConfirmed" });
  const remembered = [{ host: "10.42.0.7", tombstone }];

  it("is every possible writer that no kubelet confirmed", () => {
    expect(memoryAfter({ tombstones: [tombstone, dead("b")] }).unconfirmed).toEqual(remembered);
  });

  it("is one entry for two ports of one host, however often it is judged", () => {
    const at = ["10.42.0.7:80", "10.42.0.7:81"];
    let memory = memoryAfter({ at, tombstones: [tombstone] });
    for (let i = 0; i < 3; i++) memory = memoryAfter({ at, memory });
    expect(memory.unconfirmed).toEqual(remembered);
  });

  it("outlives a view that is not fresh", () => {
    const problem = { reason: "Stale", message: "old" };
    expect(memoryAfter({ memory: { unconfirmed: remembered }, clusterProblem: problem }).unconfirmed).toEqual(
      remembered,
    );
  });

  it("ends with a living owner", () => {
    expect(memoryAfter({ memory: { unconfirmed: remembered }, live: [living("b")] }).unconfirmed).toEqual([]);
  });

  it("outlives an owner of the same name, where the guard is not exact: the old process may write on", () => {
    const at = ["web-0.web.shop:80"];
    const byName = [{ host: "web-0.web.shop", tombstone }];
    const scene: Scene = { at, memory: { unconfirmed: byName }, live: [living("b")] };
    expect(memoryAfter({ ...scene, exactGuard: false }).unconfirmed).toEqual(byName);
    expect(memoryAfter({ ...scene, exactGuard: true }).unconfirmed).toEqual([]);
    expect(
      memoryAfter({ memory: { unconfirmed: remembered }, live: [living("b")], exactGuard: false }).unconfirmed,
    ).toEqual([]);
  });

  it("ends when the same pod's death is confirmed after all", () => {
    const { unconfirmed } = memoryAfter({ memory: { unconfirmed: remembered }, tombstones: [dead("a")] });
    expect(unconfirmed).toEqual([]);
  });
});

describe("a life reading", () => {
  const record = recordOf({ record: { ttlMs: 60_000 } });
  const reading = (startedAt: number, remainingMs: number, lease = "7"): LifeReading => {
    return { kind: "Lease", lease, grantedMs: 60_000, remainingMs, startedAt, endedAt: startedAt + 40 };
  };

  it("bounds the last refresh from both sides: the server rounds down, and answers between start and end", () => {
    expect(afterLifeReading(noMemory, record, reading(NOW, 45_000), NOW).life).toEqual({
      lease: "7",
      readings: 1,
      firstAt: NOW,
      lastAt: NOW,
      grantedMs: 60_000,
      refreshedAfter: NOW - 15_000,
      refreshedBefore: NOW + 40 - 15_000 + 1_000,
    });
  });

  it("continues the row of readings of the same lease", () => {
    const first = afterLifeReading(noMemory, record, reading(NOW, 45_000), NOW);
    const second = afterLifeReading(first, record, reading(NOW + 9_000, 36_000), NOW);
    expect(second.life).toMatchObject({ readings: 2, firstAt: NOW, lastAt: NOW + 9_000 });
  });

  it("of another lease starts afresh", () => {
    const first = afterLifeReading(noMemory, record, reading(NOW, 45_000), NOW);
    const second = afterLifeReading(first, record, reading(NOW + 9_000, 36_000, "8"), NOW);
    expect(second.life).toMatchObject({ lease: "8", readings: 1, firstAt: NOW + 9_000 });
  });

  it("after the record was written anew starts afresh, though the lease be the same", () => {
    const rewritten = { ...record, seenAt: NOW + 5_000 };
    const first = afterLifeReading(noMemory, record, reading(NOW, 45_000), NOW);
    const second = afterLifeReading(first, rewritten, reading(NOW + 9_000, 36_000), NOW);
    expect(second.life).toMatchObject({ readings: 1, firstAt: NOW + 9_000 });
  });

  it("that began before the record was seen is not about it", () => {
    const before = { ...noMemory, life: life() };
    expect(afterLifeReading(before, record, reading(SEEN - 1, 45_000), NOW)).toBe(before);
  });

  it("that overtook a later one starts afresh", () => {
    const later = afterLifeReading(noMemory, record, reading(NOW, 45_000), NOW);
    expect(afterLifeReading(later, record, reading(NOW - 10, 45_000), NOW).life).toMatchObject({ readings: 1 });
  });

  it("that could not tell proves neither life nor silence", () => {
    expect(afterLifeReading({ ...noMemory, life: life() }, record, { kind: "None" }, NOW).life).toMatchObject({
      readings: 0,
      refreshedAfter: -Infinity,
      refreshedBefore: Infinity,
    });
  });

  it("always has the true last refresh between its bounds, whatever the times of the request", () => {
    const times = fc.record({
      refreshedAt: fc.double({ min: 0, max: 59_000, noNaN: true }),
      before: fc.double({ min: 0, max: 5_000, noNaN: true }),
      after: fc.double({ min: 0, max: 5_000, noNaN: true }),
    });
    fc.assert(
      fc.property(times, ({ refreshedAt, before, after }) => {
        const servedAt = NOW + 60_000;
        const truth = servedAt - refreshedAt;
        const remainingMs = Math.floor((60_000 - refreshedAt) / 1000) * 1000;
        const answer = {
          kind: "Lease",
          lease: "7",
          grantedMs: 60_000,
          remainingMs,
          startedAt: servedAt - before,
          endedAt: servedAt + after,
        } as const;
        const { refreshedAfter = NaN, refreshedBefore = NaN } =
          afterLifeReading(noMemory, record, answer, NOW).life ?? {};
        expect(refreshedAfter).toBeLessThanOrEqual(truth + 1e-6);
        expect(refreshedBefore).toBeGreaterThanOrEqual(truth - 1e-6);
      }),
    );
  });
});

describe("a reading of heartbeats", () => {
  const record = recordOf({ record: { ttlMs: 15_000 } });
  const reading = (startedAt: number, silentSince: number | undefined, source = "42"): LifeReading => {
    return { kind: "Heartbeat", source, grantedMs: 15_000, silentSince, startedAt, endedAt: startedAt + 40 };
  };

  const table: Readonly<Record<string, { readonly silentSince: number | undefined; readonly bounds: object }>> = {
    "that none is missed: the last one may have come just now, and came within the time the registry waits": {
      silentSince: undefined,
      bounds: { refreshedAfter: NOW - 15_000, refreshedBefore: NOW + 40 },
    },
    "that they are missed: none came since the registry said so first, and nobody knows when the last did": {
      silentSince: NOW - 20_000,
      bounds: { refreshedAfter: -Infinity, refreshedBefore: NOW - 20_000 },
    },
  };
  for (const [sentence, { silentSince, bounds }] of Object.entries(table)) {
    it(sentence, () => {
      const { life: after } = afterLifeReading(noMemory, record, reading(NOW, silentSince), NOW);
      expect(after).toMatchObject({ lease: "42", readings: 1, firstAt: NOW, grantedMs: 15_000, ...bounds });
    });
  }

  it("that none is missed, by a registry that does not tell how long it waits, says nothing of the last one", () => {
    const heard = recordOf({ record: { isHeard: true } });
    const answer = { ...reading(NOW, undefined), grantedMs: 0 } as const;
    const { life: after } = afterLifeReading(noMemory, heard, answer, NOW);
    expect(after).toMatchObject({ refreshedAfter: -Infinity, refreshedBefore: NOW + 40 });
  });

  it("continues those of the same source, and starts afresh with another's", () => {
    const first = afterLifeReading(noMemory, record, reading(NOW, NOW), NOW);
    const second = afterLifeReading(first, record, reading(NOW + 30_000, NOW), NOW);
    expect(second.life).toMatchObject({ readings: 2, firstAt: NOW, refreshedBefore: NOW });
    const third = afterLifeReading(second, record, reading(NOW + 31_000, NOW, "43"), NOW);
    expect(third.life).toMatchObject({ readings: 1, firstAt: NOW + 31_000 });
  });

  const deaths: Readonly<Record<string, { readonly beats: readonly (number | undefined)[]; readonly is: string }>> = {
    "an unconfirmed death is believed when the heartbeats stayed away": {
      beats: [NOW - 40_000, NOW - 40_000],
      is: "Zombie",
    },
    "an unconfirmed death is not believed while the registry hears heartbeats": {
      beats: [undefined, undefined],
      is: "Contested",
    },
    "an unconfirmed death is not believed when a heartbeat came in between": {
      beats: [NOW - 40_000, NOW - 1_000],
      is: "Suspect",
    },
  };
  for (const [sentence, { beats, is }] of Object.entries(deaths)) {
    it(sentence, () => {
      const tombstones = [dead("a", { reason: "NotConfirmed", seenAt: NOW - 40_000, endedAfter: NOW - 41_000 })];
      const scene: Scene = { record: { ttlMs: 15_000 }, tombstones };
      let memory = memoryAfter(scene);
      for (const [index, silentSince] of beats.entries()) {
        memory = afterLifeReading(memory, record, reading(NOW - 35_000 + index * 34_500, silentSince), NOW);
      }
      expect(judge(inputOf({ ...scene, memory })).verdict.kind).toBe(is);
    });
  }
});

describe("a comeback", () => {
  it("is remembered with everything else", () => {
    const before = { ...noMemory, suspectSince: 5 };
    expect(afterComeback(before)).toEqual({ ...before, resurrected: true });
  });

  it("is not forgotten by later judgements", () => {
    expect(memoryAfter({ memory: afterComeback(noMemory), live: [living("a")] }).resurrected).toBe(true);
  });
});
