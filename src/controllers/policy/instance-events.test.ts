import { describe, expect, test } from "vitest";

import type { PodRecord } from "../../cluster/types.ts";
import type { EventNote } from "../../kube/event-recorder.ts";
import type { BlockReason, Decision } from "../../plan/types.ts";
import type { Judgement, VerdictKind } from "../../verdict/types.ts";
import type { CompiledPolicy, EvictionEntry } from "../types.ts";
import { instanceEvents } from "./instance-events.ts";

const policy = { name: "p", uid: "u" } as CompiledPolicy;
const entry: EvictionEntry = {
  time: new Date(0),
  registry: "main",
  service: "shop",
  instance: "i",
  id: "/shop/1",
  address: "10.0.0.1:80",
  evidence: "Confirmed",
  reason: "DeathConfirmed",
  pod: { namespace: "ns", name: "shop-1", uid: "pu" },
  traceId: "t",
  result: "Evicted",
  restore: undefined,
};

function judgement(kind: VerdictKind): Judgement {
  return {
    record: { registry: "main", service: "shop", id: "/shop/1" },
    verdict: { kind, message: "somebody renews it", evidence: undefined },
  } as Judgement;
}

function heldBack(blockedBy: BlockReason): Decision {
  return {
    act: "None",
    judgement: judgement("Zombie"),
    blockedBy,
    retryAfterMs: undefined,
    underAudit: blockedBy === "Audit",
  };
}

function published(tell: (events: ReturnType<typeof instanceEvents>) => void): EventNote[] {
  const notes: EventNote[] = [];
  tell(instanceEvents({ publish: (note) => notes.push(note) }));
  return notes;
}

describe("the Events of an eviction", () => {
  test("are about the policy, related to the pod, and say what was removed and why", () => {
    expect(published((events) => events.evicted(policy, entry, "every container ended"))).toEqual([
      {
        regarding: { apiVersion: "hygeia.dev/v1alpha1", kind: "RegistrationPolicy", name: "p", uid: "u" },
        related: { apiVersion: "v1", kind: "Pod", namespace: "ns", name: "shop-1", uid: "pu" },
        type: "Normal",
        reason: "InstanceEvicted",
        action: "Evict",
        note: "Removed shop /shop/1 at 10.0.0.1:80 from registry main: every container ended (evidence Confirmed, trace t)",
        dedupeValues: ["main", "/shop/1", "t"],
      },
    ]);
  });

  test("are related to nothing where no pod is known", () => {
    const [note] = published((events) =>
      events.evicted(policy, { ...entry, pod: { namespace: "", name: "", uid: "" } }, "m"),
    );
    expect(note).not.toHaveProperty("related");
  });

  const results: Record<string, [reason: string, type: string]> = {
    Evicted: ["InstanceEvicted", "Normal"],
    NotVerified: ["InstanceEvicted", "Normal"],
    Quarantined: ["InstanceQuarantined", "Normal"],
    Resurrected: ["InstanceResurrected", "Warning"],
  };
  for (const [result, [reason, type]] of Object.entries(results)) {
    test(`with result ${result} have the reason ${reason}`, () => {
      expect(published((events) => events.evicted(policy, { ...entry, result }, "m"))).toMatchObject([
        { reason, type },
      ]);
    });
  }
});

test("the Event of a release is related to the pod that lives, and told once for each release", () => {
  const owner = { namespace: "ns", name: "shop-2", uid: "pu2" } as PodRecord;
  const note = { owner, message: "pod ns/shop-2 has the address", traceId: "t2" };
  expect(published((events) => events.released(policy, entry, note))).toEqual([
    {
      regarding: { apiVersion: "hygeia.dev/v1alpha1", kind: "RegistrationPolicy", name: "p", uid: "u" },
      related: { apiVersion: "v1", kind: "Pod", namespace: "ns", name: "shop-2", uid: "pu2" },
      type: "Normal",
      reason: "InstanceReleased",
      action: "Release",
      note: "Put shop /shop/1 at 10.0.0.1:80 in registry main back into rotation: pod ns/shop-2 has the address (trace t2)",
      dedupeValues: ["main", "/shop/1", "t2"],
    },
  ]);
});

describe("the Events of a judgement", () => {
  const table: Record<string, { kind: VerdictKind; before?: VerdictKind; decision?: Decision; reasons: string[] }> = {
    "are none for a live one": { kind: "Live", reasons: [] },
    "tell that somebody renews a dead pod's entry": {
      kind: "Contested",
      before: "Suspect",
      reasons: ["InstanceContested"],
    },
    "tell it once": { kind: "Contested", before: "Contested", reasons: [] },
    "tell that an evicted one is back": { kind: "Resurrected", reasons: ["InstanceResurrected"] },
    "tell of a zombie under Audit": {
      kind: "Zombie",
      decision: heldBack("Audit"),
      reasons: ["ZombieInstanceDetected"],
    },
    "tell of a zombie under Audit that was one before the plan was made": {
      kind: "Zombie",
      before: "Zombie",
      decision: heldBack("Audit"),
      reasons: ["ZombieInstanceDetected"],
    },
    "tell of a zombie that is only to be reported": {
      kind: "Zombie",
      decision: heldBack("ReportOnly"),
      reasons: ["ZombieInstanceDetected"],
    },
    "are none for a zombie that waits for its budget: the policy's condition tells": {
      kind: "Zombie",
      decision: heldBack("Budget"),
      reasons: [],
    },
    "are none for a zombie that is being evicted: the eviction tells": {
      kind: "Zombie",
      decision: { act: "Evict", judgement: judgement("Zombie") },
      reasons: [],
    },
  };
  for (const [sentence, { kind, before, decision, reasons }] of Object.entries(table)) {
    test(sentence, () => {
      const notes = published((events) => events.judged(policy, judgement(kind), before, decision));
      expect(notes.map(({ reason }) => reason)).toEqual(reasons);
      for (const note of notes) expect(note.note).toBe("shop /shop/1 in registry main: somebody renews it");
    });
  }
});
