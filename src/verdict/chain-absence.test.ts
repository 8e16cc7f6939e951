import { describe, expect, it } from "vitest";

import { life, NOW, SEEN } from "../../test/support/judging.ts";
import { absentForLong, check, leased, verdictOf } from "../../test/support/verdict-table.ts";

describe("absence", () => {
  const memory = absentForLong;
  check({
    "begins with the first judgement": { is: "Suspect NotAbsentLongEnough" },
    "is believed after the time of the policy": {
      memory: { ...memory, suspectSince: NOW - 120_000 },
      is: "Zombie NoPodAtAddress",
    },
    "is not believed sooner": {
      memory: { ...memory, suspectSince: NOW - 119_999 },
      is: "Suspect NotAbsentLongEnough",
    },
    "is not believed before two complete lists": {
      memory: { ...memory, listsAtSuspect: 8 },
      is: "Suspect NotAbsentLongEnough",
    },
    "without a lease gives an unseen pod's node the time to end it, whatever the policy says": {
      rules: { absentForMs: 30_000 },
      memory: { ...memory, suspectSince: NOW - 104_999 },
      is: "Suspect NotAbsentLongEnough",
    },
    "without a lease gives it no more than that": {
      rules: { absentForMs: 30_000 },
      memory: { ...memory, suspectSince: NOW - 105_000 },
      is: "Zombie NoPodAtAddress",
    },
    "begins anew when the record is written anew": {
      record: { seenAt: NOW - 119_999 },
      memory,
      is: "Suspect NotAbsentLongEnough",
    },
    "is contested after a write since it began": {
      record: { touchedAfter: NOW - 119_000 },
      memory,
      is: "Contested WrittenAfterDeath",
    },
    "is not believed while a newborn could be the registrant": {
      memory,
      hiddenSince: SEEN,
      is: "Suspect PossibleNewborn",
    },
    "is not believed before the view has caught up with the record": {
      memory,
      caughtUpTo: SEEN,
      is: "Suspect PossibleNewborn",
    },
    "without a lease is unknown while a node that could run it is out of touch": {
      memory,
      unreachableUntil: Infinity,
      is: "Unknown NodeUnreachable",
    },
    "without a lease counts from when the node was in touch again": {
      memory,
      unreachableUntil: NOW - 119_999,
      is: "Suspect NotAbsentLongEnough",
    },
    "without a lease and outside the pod network is unknown for ever": {
      at: ["172.16.0.1:80"],
      rules: { requiredMetadata: { cluster: "prod-1" } },
      record: { metadata: { cluster: "prod-1" } },
      memory,
      is: "Unknown NobodyCanTell",
    },
    "with a lease waits for a reading": { record: leased, memory, is: "Suspect NotAbsentLongEnough" },
    "with a silent lease is believed, also outside the pod network": {
      at: ["172.16.0.1:80"],
      rules: { requiredMetadata: { cluster: "prod-1" } },
      record: { ...leased, metadata: { cluster: "prod-1" } },
      memory: { ...memory, life: life({ refreshedAt: NOW - 140_000 }) },
      is: "Zombie NoPodAtAddress",
    },
    "with a lease does not mind a lost node": {
      record: leased,
      memory: { ...memory, life: life({ refreshedAt: NOW - 140_000 }) },
      unreachableUntil: Infinity,
      is: "Zombie NoPodAtAddress",
    },
    "with a lease that was refreshed since is contested": {
      record: leased,
      memory: { ...memory, life: life({ refreshedAt: NOW - 110_000 }) },
      is: "Contested LeaseRefreshed",
    },
    "with a long lease waits for two thirds of it": {
      record: { ttlMs: 600_000 },
      memory: {
        ...memory,
        life: life({ firstAt: NOW - 121_000, grantedMs: 600_000, refreshedAt: NOW - 400_999 }),
      },
      is: "Suspect NotAbsentLongEnough",
    },
    "with a long lease waits no longer": {
      record: { ttlMs: 600_000 },
      memory: {
        ...memory,
        life: life({ firstAt: NOW - 121_000, grantedMs: 600_000, refreshedAt: NOW - 401_000 }),
      },
      is: "Zombie NoPodAtAddress",
    },
  });

  it("rests on nobody", () => {
    expect(verdictOf({ memory }).evidence).toEqual({
      class: "Absent",
      podUid: "",
      podNamespace: "",
      podName: "",
      since: NOW - 121_000,
      needsConfirmRead: true,
    });
  });

  it("asks for complete lists until there were two", () => {
    expect(verdictOf({})).toMatchObject({ needsCompleteList: true, reviewAfterMs: 120_000 });
    expect(verdictOf({ memory: { suspectSince: NOW - 1_000, listsAtSuspect: 7 } })).toMatchObject({
      needsCompleteList: false,
      reviewAfterMs: 119_000,
    });
  });
});
