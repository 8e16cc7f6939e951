import fc from "fast-check";
import { describe, expect, test } from "vitest";

import type { InstanceRecord } from "../../registry/port.ts";
import type { Evidence, VerdictKind } from "../../verdict/types.ts";
import type { ComplianceCount, PodFinding } from "../policy/compliance-count.ts";
import type { EvictionEntry, Finding, InstanceCounts } from "../types.ts";
import { buildReport, MAX_FINDINGS, type ReportFacts } from "./build.ts";

const noCounts: InstanceCounts = {
  Live: 0,
  Draining: 0,
  Zombie: 0,
  Suspect: 0,
  Contested: 0,
  Resurrected: 0,
  Foreign: 0,
  Unknown: 0,
};

const at = (second: number): Date => new Date(Date.UTC(2026, 0, 1, 0, 0, second, 700));

function record(id: string, fields: Partial<InstanceRecord> = {}): InstanceRecord {
  return {
    registry: "main",
    id,
    service: "shop",
    instance: "i",
    endpoints: [{ host: "10.0.0.1", isIp: true, port: 80 }],
    format: "GoZero",
    metadata: {},
    version: "1",
    seenAt: 0,
    writtenAfter: 0,
    touchedAfter: 0,
    ttlMs: 10_000,
    managedBy: undefined,
    quarantined: false,
    removal: { effective: "Yes" },
    ...fields,
  };
}

const confirmed: Evidence = {
  class: "Confirmed",
  podUid: "u",
  podNamespace: "ns",
  podName: "p",
  since: 0,
  needsConfirmRead: false,
};

function finding(
  id: string,
  kind: VerdictKind = "Zombie",
  action = "Evict",
  fields: Partial<InstanceRecord> = {},
): Finding {
  return {
    judgement: {
      record: record(id, fields),
      policy: "p",
      verdict: {
        kind,
        reason: "DeathConfirmed",
        message: "every container ended",
        evidence: kind === "Zombie" ? confirmed : undefined,
        reviewAfterMs: undefined,
        needsLifeReading: false,
        needsCompleteList: false,
      },
    },
    firstSeen: at(1),
    action,
  };
}

function eviction(id: string, second = 0, fields: Partial<EvictionEntry> = {}): EvictionEntry {
  return {
    time: at(second),
    registry: "main",
    service: "shop",
    instance: "i",
    id,
    address: "10.0.0.1:80",
    evidence: "Confirmed",
    reason: "DeathConfirmed",
    pod: { namespace: "ns", name: "p", uid: "u" },
    traceId: `trace-${id}`,
    result: "Evicted",
    restore: {
      registry: "main",
      id,
      format: "GoZero",
      value: "v",
      encoding: "utf8",
      ttlMs: 10_000,
      lease: "7587869",
      undoKey: "/hygeia/u",
    },
    ...fields,
  };
}

function build(facts: Partial<ReportFacts>) {
  const nothing = { findings: [], evictions: [], quarantines: [], earlier: [] };
  return buildReport({ policy: "p", counts: noCounts, ...nothing, ...facts });
}

describe("what a report says of pods", () => {
  const skipped = { part: "keepalive", reason: "HostNetwork", message: "m".repeat(600) } as const;
  const drifted = (i: number, size = 1): PodFinding => ({
    namespace: "shop",
    workload: `shop/Deployment/web-${i}`,
    pods: 3,
    example: `web-${i}-x`,
    compliance: {
      state: "Drifted",
      differences: Array.from({ length: size }, (_, n) => ({ field: `f${n}`, have: "5".repeat(300), want: "2" })),
      skipped: [],
    },
  });
  const exempt: PodFinding = {
    namespace: "shop",
    workload: "0b9a-uid",
    pods: 1,
    example: "bare",
    compliance: { state: "Exempt", differences: [], skipped: [skipped] },
  };
  const count = (findings: PodFinding[], fields: Partial<ComplianceCount> = {}): ComplianceCount => ({
    compliant: 1,
    drifted: 3,
    exempt: 1,
    unknown: 0,
    findings,
    ...fields,
  });

  test("is what differs and what is left out, within the schema", () => {
    expect(build({ pods: count([drifted(1), exempt]) })).toMatchObject({
      summary: { podsDrifted: 3, podsExempt: 1, podsOmitted: 0 },
      podFindings: [
        {
          namespace: "shop",
          kind: "Deployment",
          name: "web-1",
          pods: 3,
          example: "web-1-x",
          state: "Drifted",
          differences: [{ field: "f0", have: `${"5".repeat(255)}…`, want: "2" }],
        },
        {
          namespace: "shop",
          kind: "Pod",
          name: "bare",
          pods: 1,
          example: "bare",
          state: "Exempt",
          exemptions: [{ part: "keepalive", reason: "HostNetwork", message: `${"m".repeat(511)}…` }],
        },
      ],
    });
  });

  test("is cut where the report would grow too large, and says by how many pods", () => {
    const findings = Array.from({ length: 200 }, (_, i) => drifted(i, 40));
    const { podFindings = [], summary } = build({ pods: count(findings, { drifted: 600, exempt: 0 }) });
    expect(podFindings[0]?.differences).toHaveLength(16);
    expect(podFindings.length).toBeLessThan(200);
    expect(Buffer.byteLength(JSON.stringify(podFindings))).toBeLessThan(130 * 1024);
    expect(summary?.podsOmitted).toBe(600 - 3 * podFindings.length);
  });

  test("is nothing where the policy wants nothing of pods", () => {
    const report = build({});
    expect(report).not.toHaveProperty("podFindings");
    expect(Object.keys(report.summary ?? {})).toEqual(["findings", "omitted", "evictions"]);
  });

  test("stays as it was until pods are judged", () => {
    const before = build({ pods: count([drifted(1), exempt]) });
    expect(build({ podsBefore: before })).toEqual(before);
  });
});

describe("a report's findings", () => {
  test("say what was found, in the order given", () => {
    const { findings } = build({ findings: [finding("a"), finding("b", "Suspect", "")] });
    expect(findings).toEqual([
      {
        registry: "main",
        service: "shop",
        instance: "i",
        id: "a",
        address: "10.0.0.1:80",
        verdict: "Zombie",
        reason: "DeathConfirmed",
        evidence: "Confirmed",
        message: "every container ended",
        firstSeen: "2026-01-01T00:00:01Z",
        action: "Evict",
      },
      expect.objectContaining({ id: "b", verdict: "Suspect", action: "None" }),
    ]);
    expect(findings?.[1]).not.toHaveProperty("evidence");
    expect(findings?.[1]).not.toHaveProperty("blockedBy");
  });

  test("say what holds an eviction back", () => {
    expect(build({ findings: [finding("a", "Zombie", "None:Audit")] }).findings?.[0]).toMatchObject({
      action: "None",
      blockedBy: "Audit",
    });
  });

  test("say why the registry would not let a delete last, and nothing of it where it would", () => {
    const removal = { effective: "No", reason: "AgentOwned", message: "a living agent keeps it" } as const;
    const { findings } = build({
      findings: [finding("a", "Zombie", "None:RemovalNotPossible", { removal }), finding("b", "Zombie", "Evict")],
    });
    expect(findings?.[0]).toMatchObject({
      blockedBy: "RemovalNotPossible",
      removal: { reason: "AgentOwned", message: "a living agent keeps it" },
    });
    expect(findings?.[1]).not.toHaveProperty("removal");
  });

  test("show IPv6 addresses in brackets, and every endpoint", () => {
    const endpoints = [
      { host: "fd00::1", isIp: true, port: 1 },
      { host: "a.b", isIp: false, port: 2 },
    ];
    expect(build({ findings: [finding("a", "Zombie", "", { endpoints })] }).findings?.[0]?.address).toBe(
      "[fd00::1]:1,a.b:2",
    );
  });

  test("are counted without live and foreign ones, and those that do not fit are told", () => {
    const findings = Array.from({ length: 250 }, (_, i) => finding(`${i}`));
    const report = build({ findings, counts: { ...noCounts, Live: 1_000, Zombie: 240, Suspect: 10, Foreign: 7 } });
    expect(report.findings).toHaveLength(MAX_FINDINGS);
    expect(report.summary).toEqual({ findings: 250, worst: "Zombie", omitted: 57, evictions: 0 });
  });

  const worst: Record<string, { verdicts: readonly VerdictKind[]; worst: string | undefined }> = {
    "have no worst verdict where there is none": { verdicts: [], worst: undefined },
    "have none where all are foreign, which count as no findings": { verdicts: ["Foreign"], worst: undefined },
    "have the first one's, which is the worst": { verdicts: ["Contested", "Zombie", "Foreign"], worst: "Contested" },
    "have the only one's beside foreign ones": { verdicts: ["Unknown", "Foreign"], worst: "Unknown" },
  };
  for (const [sentence, { verdicts, worst: verdict }] of Object.entries(worst)) {
    test(sentence, () => {
      const { summary } = build({ findings: verdicts.map((kind, i) => finding(`${i}`, kind)) });
      expect(summary?.worst).toBe(verdict);
    });
  }
});

describe("a report's evictions", () => {
  test("say what restores each", () => {
    expect(build({ evictions: [eviction("a", 3)] }).evictions).toEqual([
      {
        time: "2026-01-01T00:00:03Z",
        registry: "main",
        service: "shop",
        instance: "i",
        id: "a",
        address: "10.0.0.1:80",
        evidence: "Confirmed",
        reason: "DeathConfirmed",
        pod: { namespace: "ns", name: "p", uid: "u" },
        traceId: "trace-a",
        result: "Verified",
        restore: {
          format: "GoZero",
          value: "v",
          encoding: "UTF8",
          ttlMilliseconds: 10_000,
          lease: "7587869",
          undoKey: "/hygeia/u",
        },
      },
    ]);
  });

  test("name no pod where there was none", () => {
    const entry = eviction("a", 0, { pod: { namespace: "", name: "", uid: "" } });
    expect(build({ evictions: [entry] }).evictions?.[0]).not.toHaveProperty("pod");
  });

  const results: Record<string, string> = {
    Evicted: "Verified",
    NotVerified: "Evicted",
    Quarantined: "Quarantined",
    Released: "Released",
    Ended: "Ended",
    Resurrected: "Resurrected",
  };
  for (const [outcome, result] of Object.entries(results)) {
    test(`have the result ${result} for the outcome ${outcome}`, () => {
      expect(build({ evictions: [eviction("a", 0, { result: outcome })] }).evictions?.[0]?.result).toBe(result);
    });
  }

  test("leave a registration above 8 KiB in the registry's undo record", () => {
    const restore = (length: number) => ({
      registry: "main",
      id: "a",
      format: "GoMicro",
      value: "x".repeat(length),
      encoding: "base64" as const,
      ttlMs: 1_000,
      lease: "7587869",
      undoKey: "/hygeia/u",
    });
    const kept = build({ evictions: [eviction("a", 0, { restore: restore(8_192) })] }).evictions?.[0]?.restore;
    expect(kept).toMatchObject({ encoding: "Base64", undoKey: "/hygeia/u" });
    const left = build({ evictions: [eviction("a", 0, { restore: restore(8_193) })] }).evictions?.[0]?.restore;
    expect(left).toEqual({ format: "GoMicro", ttlMilliseconds: 1_000, lease: "7587869", undoKey: "/hygeia/u" });
  });

  test("go on where the report of an earlier leader stands, newest first, each once", () => {
    const earlier = build({ evictions: [eviction("b", 5), eviction("a", 1)] }).evictions ?? [];
    const own = [eviction("c", 9), eviction("b", 5, { result: "Resurrected" })];
    const { evictions, summary } = build({ evictions: own, earlier });
    expect(evictions?.map(({ id, result }) => [id, result])).toEqual([
      ["c", "Verified"],
      ["b", "Resurrected"],
      ["a", "Verified"],
    ]);
    expect(summary?.evictions).toBe(3);
  });

  test("keep two evictions of one id that came back", () => {
    const twice = [eviction("a", 9, { traceId: "t2" }), eviction("a", 1, { traceId: "t1" })];
    expect(build({ evictions: twice }).evictions).toHaveLength(2);
  });
});

describe("a report's quarantines", () => {
  const quarantined = { result: "Quarantined", restore: undefined };
  const ids = (evictions: readonly { readonly id: string }[] = []): string[] => evictions.map(({ id }) => id);

  test("are kept whatever came after them", () => {
    const quarantines = Array.from({ length: 60 }, (_, i) => eviction(`q${i}`, 0, quarantined));
    const evictions = Array.from({ length: 100 }, (_, i) => eviction(`e${i}`, 1));
    const shown = ids(build({ evictions, quarantines }).evictions);
    expect(shown).toHaveLength(100);
    expect(shown.filter((id) => id.startsWith("q"))).toHaveLength(60);
    expect(shown[0]).toBe("e0");
  });

  test("of an earlier leader are kept whatever came after them", () => {
    const earlier = build({ quarantines: [eviction("q", 0, quarantined)] }).evictions ?? [];
    const evictions = Array.from({ length: 100 }, (_, i) => eviction(`e${i}`, 1));
    expect(ids(build({ evictions, earlier }).evictions)).toContain("q");
  });

  test("are kept when the values of others take all the room", () => {
    const long = {
      registry: "main",
      id: "a",
      format: "f",
      value: "v".repeat(8_000),
      encoding: "utf8",
      ttlMs: 0,
    } as const;
    const evictions = Array.from({ length: 99 }, (_, i) => eviction(`e${i}`, 1, { restore: long }));
    const shown = ids(build({ evictions, quarantines: [eviction("q", 0, quarantined)] }).evictions);
    expect(shown.length).toBeLessThan(100);
    expect(shown.at(-1)).toBe("q");
  });

  for (const end of ["Released", "Ended"]) {
    test(`that have ${end} stay so, whoever still says otherwise`, () => {
      const ended = eviction("a", 9, { result: end });
      const open = eviction("a", 0, quarantined);
      const told = build({ evictions: [ended] }).evictions ?? [];
      for (const facts of [
        { evictions: [ended], quarantines: [open] },
        { evictions: [open], earlier: told },
        { evictions: [ended], earlier: build({ evictions: [open] }).evictions ?? [] },
      ]) {
        expect(build(facts).evictions).toEqual(told);
      }
    });
  }
});

test("a report of the longest texts there are fits into etcd, and says what was left out", () => {
  const long = "语".repeat(9_000);
  const text = { service: long, instance: long, endpoints: [{ host: long, isIp: false, port: 1 }] };
  const report = build({
    counts: { ...noCounts, Zombie: 200 },
    findings: Array.from({ length: 200 }, (_, i) => finding(`${i}${long}`, "Zombie", "Evict", text)),
    evictions: Array.from({ length: 100 }, (_, i) =>
      eviction(`${i}${long}`, 0, {
        traceId: `${i}`,
        restore: {
          registry: "main",
          id: long,
          format: "GoMicro",
          value: "语".repeat(8_192),
          encoding: "utf8",
          ttlMs: 0,
          undoKey: `/hygeia/${i}`,
        },
      }),
    ),
  });
  expect(Buffer.byteLength(JSON.stringify(report))).toBeLessThan(1.2 * 1024 * 1024);
  const { findings = [], evictions = [], summary } = report;
  expect(findings.length).toBeGreaterThan(20);
  expect(evictions.length).toBeGreaterThan(30);
  const kept = evictions.map(({ restore }) => restore?.value !== undefined);
  expect(kept.filter(Boolean)).toHaveLength(10);
  expect(kept.slice(0, 10)).not.toContain(false);
  expect(evictions.at(-1)?.restore).toEqual({
    format: "GoMicro",
    ttlMilliseconds: 0,
    undoKey: `/hygeia/${evictions.length - 1}`,
  });
  expect(summary).toEqual({
    findings: 200,
    worst: "Zombie",
    omitted: 200 - findings.length,
    evictions: evictions.length,
  });
});

test("any report is within the schema's bounds and etcd's limit, and building it again from itself changes nothing", () => {
  const text = fc.oneof(
    fc.string({ maxLength: 20 }),
    fc.string({ unit: "grapheme", minLength: 3_000, maxLength: 3_000 }),
    fc.constant("😀".repeat(2_000)),
  );
  const anyEviction = fc.record({ id: text, value: fc.integer({ min: 0, max: 20_000 }), second: fc.nat(50) });
  fc.assert(
    fc.property(fc.array(text, { maxLength: 400 }), fc.array(anyEviction, { maxLength: 200 }), (ids, evicted) => {
      const report = build({
        counts: { ...noCounts, Unknown: ids.length },
        findings: ids.map((id) => finding(id, "Unknown", "", { service: id, instance: id })),
        evictions: evicted
          .toSorted((a, b) => b.second - a.second)
          .map(({ id, value, second }, i) =>
            eviction(id, second, {
              traceId: `${i}`,
              restore: { registry: "main", id, format: id, value: "v".repeat(value), encoding: "utf8", ttlMs: 0 },
            }),
          ),
      });
      expect(Buffer.byteLength(JSON.stringify(report))).toBeLessThan(1.2 * 1024 * 1024);
      expect(report.findings?.length).toBeLessThanOrEqual(200);
      expect(report.evictions?.length).toBeLessThanOrEqual(100);
      for (const { service, id, address = "" } of report.findings ?? []) {
        expect(service.length).toBeLessThanOrEqual(512);
        expect(id.length).toBeLessThanOrEqual(2_048);
        expect(address.length).toBeLessThanOrEqual(512);
        expect(id.isWellFormed()).toBe(true);
      }
      expect(build({ earlier: report.evictions ?? [] }).evictions).toEqual(report.evictions);
    }),
    { numRuns: 30 },
  );
});
