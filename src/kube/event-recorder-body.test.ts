import { describe, expect, test } from "vitest";

import { dedupeKey, eventBody, namespaceOf } from "./event-recorder-body.ts";
import type { EventNote } from "./event-recorder-body.ts";

const pod = { apiVersion: "v1", kind: "Pod", namespace: "shop", name: "cart-0", uid: "u1" };
const policy = { apiVersion: "hygeia.dev/v1alpha1", kind: "RegistrationPolicy", name: "all", uid: "u2" };
const note: EventNote = { regarding: policy, type: "Normal", reason: "ZombieEvicted", note: "cart left the registry." };
const body = (event: Partial<EventNote> = {}) =>
  eventBody(
    { ...note, ...event },
    { controller: "hygeia.dev/operator", instance: "hygeia-0" },
    "00112233aabbccdd",
    new Date("2026-11-22T12:00:00.123Z"),
  );

describe("the body of an Event", () => {
  test("is what events.k8s.io/v1 asks for", () => {
    expect(body({ related: pod, action: "Evicted" })).toEqual({
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      metadata: { namespace: "default", name: "all.00112233aabbccdd" },
      eventTime: "2026-11-22T12:00:00.123000Z",
      reportingController: "hygeia.dev/operator",
      reportingInstance: "hygeia-0",
      type: "Normal",
      reason: "ZombieEvicted",
      action: "Evicted",
      regarding: policy,
      related: pod,
      note: "cart left the registry.",
    });
  });

  test("has the reason as its action when none is given", () => {
    expect(body()["action"]).toBe("ZombieEvicted");
  });

  test("lives with its object, that of a cluster-scoped one in default", () => {
    expect(namespaceOf({ ...note, regarding: pod })).toBe("shop");
    expect(namespaceOf(note)).toBe("default");
    expect(namespaceOf({ ...note, regarding: { ...policy, namespace: "" } })).toBe("default");
  });

  const notes: Record<string, [string, number]> = {
    "one of exactly 1,024 bytes whole": ["x".repeat(1024), 1024],
    "a longer one cut to the limit": ["x".repeat(1025), 1024],
    "one of characters of two bytes cut between them": ["é".repeat(1024), 1023],
    "one of characters of four bytes cut between them": ["😀".repeat(400), 1023],
  };
  for (const [what, [text, bytes]] of Object.entries(notes)) {
    test(`has as its note ${what}`, () => {
      const cut = String(body({ note: text })["note"]);
      expect(Buffer.byteLength(cut)).toBe(bytes);
      expect(cut).not.toContain("\uFFFD");
      expect(cut.endsWith("…")).toBe(bytes !== 1024 || text.length !== 1024);
      expect(text.startsWith(cut.replace(/…$/, ""))).toBe(true);
    });
  }

  test("holds no secret that a message brought along", () => {
    expect(body({ note: "cannot reach https://root:hunter2@etcd:2379" })["note"]).not.toContain("hunter2");
  });

  test("has a name that is valid however long the object's is", () => {
    const metadata = body({ regarding: { ...pod, name: `${"a".repeat(235)}.${"b".repeat(17)}` } })["metadata"];
    const { name } = metadata as { name: string };
    expect(name.length).toBeLessThanOrEqual(253);
    expect(name).toMatch(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/);
  });
});

describe("the same news", () => {
  const key = (event: Partial<EventNote>) => dedupeKey({ ...note, ...event });

  test("has the same object, type, reason and note, whatever else differs", () => {
    expect(key({ related: pod, action: "Other" })).toBe(dedupeKey(note));
  });

  const others: Record<string, Partial<EventNote>> = {
    "another object": { regarding: { ...policy, name: "other" } },
    "a later object of the same name": { regarding: { ...policy, uid: "u3" } },
    "another type": { type: "Warning" },
    "another reason": { reason: "EvictionBlocked" },
    "another note": { note: "order left the registry." },
  };
  for (const [what, event] of Object.entries(others)) {
    test(`is not ${what}`, () => expect(key(event)).not.toBe(dedupeKey(note)));
  }

  test("is told by the given values instead of the note", () => {
    const values = { dedupeValues: ["etcd-a"] };
    expect(key({ ...values, note: "down for 5 s" })).toBe(key({ ...values, note: "down for 9 s" }));
    expect(key({ dedupeValues: ["a", "b"] })).not.toBe(key({ dedupeValues: ["a,b"] }));
  });
});
