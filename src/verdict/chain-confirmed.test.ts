import { describe, expect, it } from "vitest";

import { dead, living, node, NOW, SEEN } from "../../test/support/judging.ts";
import { check, leased, verdictOf } from "../../test/support/verdict-table.ts";

describe("confirmed death", () => {
  check({
    "a finished pod that was there before the record is proof": {
      tombstones: [dead("a")],
      is: "Zombie DeathConfirmed",
    },
    "a record first seen in the moment of the death is not": {
      tombstones: [dead("a", { seenAt: SEEN, endedAfter: SEEN - 1 })],
      is: "Suspect NotAbsentLongEnough",
    },
    "a record first seen a moment before the death is": {
      tombstones: [dead("a", { seenAt: SEEN + 1, endedAfter: SEEN - 1 })],
      is: "Zombie DeathConfirmed",
    },
    "a record first seen while the view of the pods lagged, before its news of the death, is not": {
      tombstones: [dead("a", { seenAt: SEEN + 15_001, endedAfter: SEEN })],
      is: "Suspect NotAbsentLongEnough",
    },
    "a record first seen before the death itself is, however late the news": {
      tombstones: [dead("a", { seenAt: SEEN + 60_000, endedAfter: SEEN + 1 })],
      is: "Zombie DeathConfirmed",
    },
    "a pod that died for good before the record was written did not write it": {
      tombstones: [dead("a", { seenAt: SEEN - 2_000 })],
      is: "Suspect NotAbsentLongEnough",
    },
    "a pod younger than the record did not write it": {
      tombstones: [dead("a", { createdAfter: SEEN + 1 })],
      is: "Suspect NotAbsentLongEnough",
    },
    "of two dead pods one must have died after the record was there": {
      tombstones: [dead("a"), dead("b", { seenAt: SEEN - 1_999 })],
      is: "Zombie DeathConfirmed",
    },
    "a finished pod beside one that was removed by force is no proof": {
      tombstones: [dead("a"), dead("b", { reason: "NotConfirmed", seenAt: NOW - 100_000 })],
      is: "Suspect KubeletNotDoneYet",
    },
    "a pod whose address is not known yet could have written it": {
      tombstones: [dead("a")],
      hiddenSince: SEEN,
      is: "Suspect PossibleNewborn",
    },
    "a pod whose address is not known yet but that began later could not": {
      tombstones: [dead("a")],
      hiddenSince: SEEN + 1,
      is: "Zombie DeathConfirmed",
    },
    "a node that came back runs its pods anew: one that is still listed elsewhere could have written it": {
      record: { seenAt: NOW - 60_000 },
      tombstones: [dead("a")],
      nodes: [node({ returnedAt: NOW - 70_000 })],
      is: "Suspect PossibleNewborn",
    },
    "a pod of a node that had not come back yet could have written it, for its kubelet was quicker than our news": {
      record: { seenAt: NOW - 60_000 },
      tombstones: [dead("a")],
      nodes: [node({ returnedAt: NOW - 1 })],
      is: "Suspect PossibleNewborn",
    },
    "a node that came back long ago has reported the addresses of all its pods": {
      record: { seenAt: NOW - 60_000 },
      tombstones: [dead("a")],
      nodes: [node({ returnedAt: NOW - 75_000 })],
      is: "Zombie DeathConfirmed",
    },
    "a node that came back runs nothing that wrote it long before": {
      record: { seenAt: NOW - 80_000 },
      tombstones: [dead("a")],
      nodes: [node({ returnedAt: NOW - 4_000 })],
      is: "Zombie DeathConfirmed",
    },
    "another node's return says nothing": {
      tombstones: [dead("a")],
      record: { seenAt: NOW - 60_000 },
      nodes: [node(), node({ name: "node-2", returnedAt: NOW - 60_000 })],
      is: "Zombie DeathConfirmed",
    },
    "a pod that the view does not hold yet could have written it": {
      tombstones: [dead("a")],
      caughtUpTo: SEEN,
      is: "Suspect PossibleNewborn",
    },
    "a record touched after the death is alive": {
      record: { touchedAfter: NOW - 1_000 },
      tombstones: [dead("a")],
      is: "Contested WrittenAfterDeath",
    },
    "a record touched a moment before the death may be the dead one's": {
      record: { touchedAfter: NOW - 1_001 },
      tombstones: [dead("a")],
      is: "Zombie DeathConfirmed",
    },
  });

  it("rests on the pod, and needs no confirm read where the guard is exact", () => {
    expect(verdictOf({ tombstones: [dead("a")] }).evidence).toEqual({
      class: "Confirmed",
      podUid: "uid-a",
      podNamespace: "shop",
      podName: "a",
      since: NOW - 1_000,
      needsConfirmRead: false,
    });
  });

  it("looks again soon for a newborn, then more seldom", () => {
    const review = (seenAt: number): number | undefined =>
      verdictOf({ tombstones: [dead("a", { seenAt })], hiddenSince: SEEN }).reviewAfterMs;
    expect([NOW, NOW - 600, NOW - 60_000].map(review)).toEqual([250, 300, 2_000]);
  });
});

describe("containers seen terminated in a pod that was not finished", () => {
  const ended = { reason: "ContainersTerminated", seenAt: SEEN + 20_000 } as const;
  check({
    "are proof for a record that was there ten seconds before": {
      tombstones: [dead("a", { ...ended, endedAfter: SEEN + 10_001 })],
      is: "Zombie DeathConfirmed",
    },
    "are none for a younger record: the container may run again": {
      tombstones: [dead("a", { ...ended, endedAfter: SEEN + 10_000 })],
      is: "Suspect KubeletNotDoneYet",
    },
    "are none however late we heard of them": {
      tombstones: [dead("a", { ...ended, endedAfter: SEEN - 1, seenAt: NOW - 1_000 })],
      is: "Suspect KubeletNotDoneYet",
    },
    "do not prove that the pod was dead before a record was written": {
      tombstones: [dead("a", { ...ended, seenAt: SEEN - 50_000, endedAfter: SEEN - 55_000 })],
      is: "Suspect KubeletNotDoneYet",
    },
  });
});

describe("an adapter without an exact guard", () => {
  const exactGuard = false;
  check({
    "a confirmed death needs that no pod at all waits for its address": {
      exactGuard,
      tombstones: [dead("a")],
      hiddenSince: NOW,
      is: "Suspect PossibleNewborn",
    },
    "a confirmed death counts when none does": { exactGuard, tombstones: [dead("a")], is: "Zombie DeathConfirmed" },
    "a younger pod may have registered the very same again": {
      exactGuard,
      live: [living("a", { createdAfter: SEEN + 1 })],
      is: "Live OwnerLives",
    },
    "a younger pod that died unconfirmed may have, too": {
      exactGuard,
      tombstones: [dead("a"), dead("b", { createdAfter: SEEN + 1, reason: "NotConfirmed" })],
      is: "Suspect KubeletNotDoneYet",
    },
    "containers seen terminated prove nothing": {
      exactGuard,
      tombstones: [dead("a", { reason: "ContainersTerminated" })],
      is: "Suspect KubeletNotDoneYet",
    },
    "a reused address counts only when no pod waits for its address": {
      exactGuard,
      live: [living("b", { createdAfter: SEEN + 1 })],
      knows: { "shop/Deployment/b": ["orders"] },
      hiddenSince: NOW,
      is: "Suspect PossibleNewborn",
    },
  });

  it("asks for the confirm read", () => {
    expect(verdictOf({ exactGuard, tombstones: [dead("a")] }).evidence?.needsConfirmRead).toBe(true);
  });
});

describe("reused address", () => {
  const live = [living("b", { createdAfter: SEEN + 1, seenAt: SEEN + 5_000 })];
  const knows = { "shop/Deployment/b": ["orders"] };
  check({
    "a younger pod of another service took the address over": { live, knows, is: "Zombie AddressReused" },
    "two younger pods of other services did": {
      live: [...live, living("c", { createdAfter: SEEN + 1 })],
      knows: { ...knows, "shop/Deployment/c": ["stock"] },
      is: "Zombie AddressReused",
    },
    "one of two pods there that may be the registrant keeps it": {
      live: [...live, living("c", { createdAfter: SEEN })],
      knows: { ...knows, "shop/Deployment/c": ["stock"] },
      is: "Live OwnerLives",
    },
    "the dead owner's kubelet said so as well": { live, knows, tombstones: [dead("a")], is: "Zombie AddressReused" },
    "the old owner may live on a lost node, without a lease nobody can tell": {
      live,
      knows,
      tombstones: [dead("a", { reason: "NotConfirmed" })],
      nodes: [node({ ready: false })],
      is: "Unknown NodeUnreachable",
    },
    "the old owner may live on a lost node, its lease tells": {
      record: leased,
      live,
      knows,
      tombstones: [dead("a", { reason: "NotConfirmed" })],
      nodes: [],
      is: "Suspect LeaseNotSilentYet",
    },
    "the old owner's node is there: it gave the address away": {
      live,
      knows,
      tombstones: [dead("a", { reason: "NotConfirmed" })],
      is: "Zombie AddressReused",
    },
    "somebody wrote the record after its pod had died": {
      record: { touchedAfter: NOW - 1_000 },
      live,
      knows,
      tombstones: [dead("a")],
      is: "Contested WrittenAfterDeath",
    },
  });

  it("is always confirmed by a read", () => {
    expect(verdictOf({ live, knows }).evidence).toMatchObject({
      class: "Reused",
      podUid: "uid-b",
      needsConfirmRead: true,
    });
  });
});
