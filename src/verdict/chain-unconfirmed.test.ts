import { describe, expect, it } from "vitest";

import { dead, life, node, NOW, type Scene, SEEN } from "../../test/support/judging.ts";
import { absentForLong, check, leased, verdictOf } from "../../test/support/verdict-table.ts";
import type { InstanceMemory, LifeMemory } from "./types.ts";

describe("a removal that no kubelet confirmed, with a lease", () => {
  const tombstones = [dead("a", { reason: "NotConfirmed", seenAt: NOW - 130_000 })];
  const scene = { record: leased, tombstones };
  const silentFor = { silentForMs: 30_000 };
  check({
    "waits for a reading": { ...scene, is: "Suspect LeaseNotSilentYet" },
    "is believed after twice the TTL without a refresh": {
      ...scene,
      memory: { life: life({ firstAt: NOW - 121_000, refreshedAt: NOW - 140_000 }) },
      is: "Zombie SilentAfterDeath",
    },
    "is not believed while the lease was watched for less": {
      ...scene,
      memory: { life: life({ firstAt: NOW - 120_999, refreshedAt: NOW - 140_000 }) },
      is: "Suspect LeaseNotSilentYet",
    },
    "is not believed by one reading": {
      ...scene,
      memory: { life: life({ readings: 1, refreshedAt: NOW - 140_000 }) },
      is: "Suspect LeaseNotSilentYet",
    },
    "is not believed on an old reading": {
      ...scene,
      memory: { life: life({ lastAt: NOW - 5_001, refreshedAt: NOW - 140_000 }) },
      is: "Suspect LeaseNotSilentYet",
    },
    "is not believed on readings from before the record was written": {
      ...scene,
      memory: { life: life({ firstAt: SEEN - 1, refreshedAt: NOW - 140_000 }) },
      is: "Suspect LeaseNotSilentYet",
    },
    "is contested while the lease is refreshed after it": {
      ...scene,
      memory: { life: life({ refreshedAt: NOW - 119_000 }) },
      is: "Contested LeaseRefreshed",
    },
    "is no longer contested when the refreshes have ended long ago": {
      record: leased,
      tombstones: [dead("a", { reason: "NotConfirmed", seenAt: NOW - 400_000 })],
      memory: { life: life({ refreshedAt: NOW - 121_000 }) },
      is: "Zombie SilentAfterDeath",
    },
    "is not believed sooner after the death than the policy asks, however silent the lease": {
      record: leased,
      tombstones: [dead("a", { reason: "NotConfirmed", seenAt: NOW - 119_999 })],
      memory: { life: life() },
      is: "Suspect LeaseNotSilentYet",
    },
    "follows a shorter time in the policy": {
      ...scene,
      rules: silentFor,
      memory: { life: life({ firstAt: NOW - 31_000, refreshedAt: NOW - 131_000 }) },
      is: "Zombie SilentAfterDeath",
    },
    "never follows one below two thirds of the TTL": {
      record: leased,
      tombstones: [dead("a", { reason: "NotConfirmed", seenAt: NOW - 39_000 })],
      rules: { silentForMs: 5_000 },
      memory: { life: life({ firstAt: NOW - 39_000, refreshedAt: NOW - 40_999 }) },
      is: "Suspect LeaseNotSilentYet",
    },
    "follows one below two thirds of the TTL from there on": {
      record: leased,
      tombstones: [dead("a", { reason: "NotConfirmed", seenAt: NOW - 39_000 })],
      rules: { silentForMs: 5_000 },
      memory: { life: life({ firstAt: NOW - 39_000, refreshedAt: NOW - 41_000 }) },
      is: "Zombie SilentAfterDeath",
    },
    "is decided by the lease on a lost node too": {
      ...scene,
      nodes: [],
      memory: { life: life({ refreshedAt: NOW - 140_000 }) },
      is: "Zombie SilentAfterDeath",
    },
    "is not decided when the registry could not tell": {
      ...scene,
      memory: { life: life({ lease: "", readings: 0, refreshedAfter: -Infinity, refreshedBefore: Infinity }) },
      is: "Suspect LeaseNotSilentYet",
    },
    "is decided by silence even where a newborn could be the registrant": {
      record: leased,
      tombstones: [dead("a", { seenAt: NOW - 130_000 })],
      hiddenSince: SEEN,
      memory: { life: life({ refreshedAt: NOW - 140_000 }) },
      is: "Zombie SilentAfterDeath",
    },
  });

  it("asks for a first reading at once, and for the next when it can decide", () => {
    expect(verdictOf(scene)).toMatchObject({ needsLifeReading: true, reviewAfterMs: 120_000 });
    const watched = verdictOf({
      ...scene,
      memory: { life: life({ firstAt: NOW - 100_000, refreshedAt: NOW - 140_000 }) },
    });
    expect(watched).toMatchObject({ needsLifeReading: false, reviewAfterMs: 20_000 });
    const due = verdictOf({ ...scene, memory: { life: life({ lastAt: NOW - 6_000, refreshedAt: NOW - 140_000 }) } });
    expect(due).toMatchObject({ needsLifeReading: true, reviewAfterMs: 1_000 });
  });

  it("carries evidence of its own class", () => {
    const { evidence } = verdictOf({ ...scene, memory: { life: life({ refreshedAt: NOW - 140_000 }) } });
    expect(evidence).toMatchObject({
      class: "Unconfirmed",
      podUid: "uid-a",
      since: NOW - 130_000,
      needsConfirmRead: true,
    });
  });
});

describe("a heartbeat that the registry hears without telling its time", () => {
  const removedAt = NOW - 400_000;
  const removed = { reason: "NotConfirmed", seenAt: removedAt, endedAfter: removedAt - 2_000 } as const;
  const heard = <T extends Scene>(scene: T) => ({ exactGuard: false, record: { isHeard: true } as const, ...scene });
  /** A registrant whose heartbeat the registry has called missed since `silentSince`. */
  const missed = (silentSince: number, fields: Partial<LifeMemory> = {}): Partial<InstanceMemory> => ({
    ...absentForLong,
    suspectSince: removedAt,
    life: life({ grantedMs: 0, refreshedAfter: -Infinity, refreshedBefore: silentSince, ...fields }),
  });
  const tombstones = [dead("a", removed)];
  const goesOn = missed(NOW - 1_000);
  const vouched = { nodes: [node({ ready: false, outOfService: true })] };
  check({
    "keeps what a kubelet must have ended": heard({ tombstones, memory: goesOn, is: "Suspect HeartbeatNotSilentYet" }),
    "keeps what an administrator vouches for": heard({
      tombstones,
      ...vouched,
      memory: goesOn,
      is: "Suspect HeartbeatNotSilentYet",
    }),
    "keeps what no pod ever had": heard({ memory: goesOn, is: "Suspect NotAbsentLongEnough" }),
    "keeps it until there was a reading": heard({
      tombstones,
      memory: { ...absentForLong, suspectSince: removedAt },
      is: "Suspect HeartbeatNotSilentYet",
    }),
    "keeps it when the registry could not tell": heard({
      tombstones,
      memory: missed(Infinity, { lease: "", readings: 0 }),
      is: "Suspect HeartbeatNotSilentYet",
    }),
    "keeps it after one reading": heard({
      tombstones,
      memory: missed(NOW - 300_000, { readings: 1 }),
      is: "Suspect HeartbeatNotSilentYet",
    }),
    "keeps it up to the policy's time": heard({
      tombstones,
      memory: missed(NOW - 120_999),
      is: "Suspect HeartbeatNotSilentYet",
    }),
    "lets go what a kubelet ended once it was missed for the policy's time": heard({
      tombstones,
      memory: missed(NOW - 121_000),
      is: "Zombie EndedByKubelet",
    }),
    "lets go what an administrator vouches for": heard({
      tombstones,
      ...vouched,
      memory: missed(NOW - 121_000),
      is: "Zombie NodeOutOfService",
    }),
    "lets go what no pod ever had": heard({ memory: missed(NOW - 121_000), is: "Zombie NoPodAtAddress" }),
    "is missed for the time that the policy says": heard({
      rules: { silentForMs: 5_000 },
      tombstones,
      memory: missed(NOW - 6_000),
      is: "Zombie EndedByKubelet",
    }),
    "that falls silent proves nothing of a lost node": heard({
      tombstones,
      nodes: [],
      memory: missed(NOW - 300_000),
      is: "Unknown NodeUnreachable",
    }),
    "that falls silent proves nothing while a newborn could be the registrant": heard({
      tombstones,
      hiddenSince: SEEN,
      memory: missed(NOW - 300_000),
      is: "Suspect PossibleNewborn",
    }),
    "is not asked for when a kubelet confirmed the death": heard({
      tombstones: [dead("a")],
      is: "Zombie DeathConfirmed",
    }),
  });

  it("is asked for from the beginning, so that both waits go on together", () => {
    const waiting = verdictOf(heard({ tombstones: [dead("a", { ...removed, seenAt: NOW - 1_000 })] }));
    expect(waiting).toMatchObject({ reason: "KubeletNotDoneYet", needsLifeReading: true });
    expect(verdictOf(heard({ tombstones, memory: goesOn }))).toMatchObject({
      needsLifeReading: false,
      reviewAfterMs: 119_000,
    });
  });
});

describe("a removal that no kubelet confirmed, without a lease", () => {
  const seenAt = NOW - 151_000;
  const removed = { reason: "NotConfirmed", seenAt, endedAfter: seenAt - 2_000 } as const;
  const tombstones = [dead("a", removed)];
  const memory = absentForLong;
  check({
    "is believed when the node was Ready all the time and the wait is over": {
      tombstones,
      memory,
      is: "Zombie EndedByKubelet",
    },
    "waits for the time of the policy and the pod's grace": {
      tombstones: [dead("a", { ...removed, seenAt: NOW - 149_999 })],
      memory,
      is: "Suspect KubeletNotDoneYet",
    },
    "waits for a long grace period": {
      tombstones: [dead("a", removed, { graceMs: 31_001 })],
      memory,
      is: "Suspect KubeletNotDoneYet",
    },
    "waits at least until a kubelet must have heard of it": {
      rules: { absentForMs: 30_000 },
      tombstones: [dead("a", { ...removed, seenAt: NOW - 104_999 })],
      memory,
      is: "Suspect KubeletNotDoneYet",
    },
    "waits no longer than that": {
      rules: { absentForMs: 30_000 },
      tombstones: [dead("a", { ...removed, seenAt: NOW - 105_000 })],
      memory,
      is: "Zombie EndedByKubelet",
    },
    "waits for two complete lists": {
      tombstones,
      memory: { ...absentForLong, listsAtSuspect: 8 },
      is: "Suspect KubeletNotDoneYet",
    },
    "begins to wait with its first judgement": { tombstones, is: "Suspect KubeletNotDoneYet" },
    "begins to wait anew when the record is written anew": {
      record: { seenAt: NOW - 119_999, writtenAfter: NOW - 200_000, touchedAfter: NOW - 200_000 },
      tombstones,
      memory,
      is: "Suspect KubeletNotDoneYet",
    },
    "is never believed when there is no such node": { tombstones, memory, nodes: [], is: "Unknown NodeUnreachable" },
    "is never believed while the node is not Ready": {
      tombstones,
      memory,
      nodes: [node({ ready: false })],
      is: "Unknown NodeUnreachable",
    },
    "is never believed when the node became Ready after it: it may be another machine": {
      tombstones,
      memory,
      nodes: [node({ since: seenAt - 1_999 })],
      is: "Unknown NodeUnreachable",
    },
    "is believed when the node became Ready in the last moment before it": {
      tombstones,
      memory,
      nodes: [node({ since: seenAt - 2_000 })],
      is: "Zombie EndedByKubelet",
    },
    "is believed at once when an administrator vouches for the node": {
      tombstones: [dead("a", { reason: "NotConfirmed" })],
      nodes: [node({ ready: false, outOfService: true })],
      is: "Zombie NodeOutOfService",
    },
    "is not believed when the node that was vouched for is Ready": {
      tombstones: [dead("a", { reason: "NotConfirmed" })],
      nodes: [node({ outOfService: true })],
      is: "Suspect KubeletNotDoneYet",
    },
    "is not believed when only one of two nodes is vouched for": {
      tombstones: [dead("a", removed), dead("b", removed, { node: "node-2" })],
      memory,
      nodes: [node({ ready: false, outOfService: true })],
      is: "Unknown NodeUnreachable",
    },
    "is not believed while a newborn could be the registrant": {
      tombstones,
      memory,
      hiddenSince: SEEN,
      is: "Suspect PossibleNewborn",
    },
    "is not believed for a vouched node either while a newborn could be the registrant": {
      tombstones: [dead("a", { reason: "NotConfirmed" })],
      nodes: [node({ ready: false, outOfService: true })],
      hiddenSince: SEEN,
      is: "Suspect PossibleNewborn",
    },
    "counts in the same way for a pod that was only missed": {
      tombstones: [dead("a", { ...removed, reason: "NotWitnessed" })],
      memory,
      is: "Zombie EndedByKubelet",
    },
    "counts in the same way for a pod that left the address": {
      tombstones: [dead("a", { ...removed, reason: "AddressReleased" })],
      memory,
      is: "Zombie EndedByKubelet",
    },
    "is remembered when the cluster view has forgotten it": {
      memory: { ...absentForLong, unconfirmed: [{ host: "10.42.0.7", tombstone: dead("a", removed) }] },
      nodes: [],
      is: "Unknown NodeUnreachable",
    },
    "is not remembered for another address": {
      memory: { ...absentForLong, unconfirmed: [{ host: "10.42.0.8", tombstone: dead("a", removed) }] },
      nodes: [],
      is: "Zombie NoPodAtAddress",
    },
  });

  it("asks for another complete list until there were two", () => {
    const waiting = verdictOf({ tombstones, memory: { ...absentForLong, listsAtSuspect: 8 } });
    expect(waiting).toMatchObject({ needsCompleteList: true, reviewAfterMs: 1_000 });
  });
});
