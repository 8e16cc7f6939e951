import { expect, test } from "vitest";

import type { RegistrationReport } from "../../api/v1alpha1/index.ts";
import type { EvictionEntry } from "../types.ts";
import { buildReport } from "./build.ts";
import { evictionsIn } from "./stored-evictions.ts";

const entry: EvictionEntry = {
  time: new Date("2026-01-01T00:00:05Z"),
  registry: "main",
  service: "shop",
  instance: "i",
  id: "/shop/1",
  address: "10.42.0.7:80",
  evidence: "Confirmed",
  reason: "DeathConfirmed",
  pod: { namespace: "shop", name: "owner", uid: "u" },
  traceId: "t",
  result: "Quarantined",
  restore: undefined,
};
const counts = { Live: 0, Draining: 0, Zombie: 0, Suspect: 0, Contested: 0, Resurrected: 0, Foreign: 0, Unknown: 0 };

function reportOf(entries: readonly EvictionEntry[], policyUid = "p1"): RegistrationReport {
  const nothing = { findings: [], evictions: [], earlier: [] };
  const ownerReferences = [{ apiVersion: "v", kind: "RegistrationPolicy", name: "all", uid: policyUid }];
  return {
    metadata: { name: "all", ownerReferences },
    status: buildReport({ policy: "all", counts, ...nothing, quarantines: entries }),
  } as unknown as RegistrationReport;
}

test("what is read back is what was written", () => {
  expect(evictionsIn(reportOf([entry]), "p1")).toEqual([entry]);
});

test("what names no pod is read back as it was written", () => {
  const absent: EvictionEntry = { ...entry, evidence: "Absent", pod: { namespace: "", name: "", uid: "" } };
  expect(evictionsIn(reportOf([absent]), "p1")).toEqual([absent]);
});

test("a report that another policy of the name had says nothing", () => {
  expect(evictionsIn(reportOf([entry]), "p2")).toEqual([]);
});

test("a report without a status says nothing", () => {
  const { metadata } = reportOf([]);
  expect(evictionsIn({ metadata } as RegistrationReport, "p1")).toEqual([]);
});
