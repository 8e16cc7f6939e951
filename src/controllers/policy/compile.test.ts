import { describe, expect, test } from "vitest";

import { projectPolicy } from "./compile.ts";

const registration = { registries: [{ name: "main" }] };

function project(spec: Record<string, unknown>, metadata: Record<string, unknown> = {}) {
  return projectPolicy({
    metadata: {
      name: "p",
      uid: "u",
      resourceVersion: "7",
      generation: 3,
      creationTimestamp: "2026-01-01T00:00:00Z",
      ...metadata,
    },
    spec,
  });
}

function accepted(spec: Record<string, unknown>) {
  const { compilation } = project(spec);
  if (!compilation.accepted) throw new Error(compilation.message);
  return compilation.policy;
}

describe("a policy that is accepted", () => {
  test("has the defaults of the schema where it is silent", () => {
    expect(accepted({ registration })).toMatchObject({
      name: "p",
      uid: "u",
      generation: 3,
      priority: 0,
      createdAt: "2026-01-01T00:00:00Z",
      matchesEverything: true,
      needsNamespaceLabels: false,
      registries: new Map([["main", "Primary"]]),
      absentForMs: 120_000,
      silentForMs: 0,
      naming: undefined,
      plan: {
        mode: "Audit",
        action: "Evict",
        terminating: "Wait",
        minInstances: 0,
        budget: { evictionsPerSecond: 200, burst: 400, unexplainedPercentPerMinute: 15 },
      },
    });
  });

  test("has what it says", () => {
    const policy = accepted({
      mode: "Enforce",
      priority: 5,
      match: { podSelector: { matchLabels: { app: "x" } } },
      registration: {
        registries: [{ name: "main" }, { name: "second", role: "Backup" }],
        service: { from: "Label", key: "app", port: "grpc" },
        zombies: { action: "Report", terminating: "Evict", absentFor: "1m30s", silentFor: "45s", minInstances: 2 },
      },
    });
    expect(policy).toMatchObject({
      priority: 5,
      matchesEverything: false,
      needsNamespaceLabels: false,
      absentForMs: 90_000,
      silentForMs: 45_000,
      naming: { from: "Label", key: "app", port: "grpc" },
      plan: { mode: "Enforce", action: "Report", terminating: "Evict", minInstances: 2 },
    });
    expect([...policy.registries]).toEqual([
      ["main", "Primary"],
      ["second", "Backup"],
    ]);
  });

  test("may be about pods only: then it has no registries, and nothing of it could ever evict", () => {
    const policy = accepted({ mode: "Enforce", dns: { ndots: 2 } });
    expect([...policy.registries]).toEqual([]);
    expect(policy).toMatchObject({
      absentForMs: Infinity,
      silentForMs: Infinity,
      naming: undefined,
      plan: { mode: "Enforce", action: "Report", terminating: "Wait" },
      podPolicy: { dns: { options: [{ name: "ndots", value: "2" }] } },
    });
    const keepalive = { time: "60s", interval: "10s", probes: 3 };
    for (const spec of [{ keepalive }, { lifecycle: { preStopSleepSeconds: 5 } }])
      expect(accepted(spec).podPolicy).toBeDefined();
  });

  const everything: Record<string, { match: Record<string, unknown>; every: boolean; namespaces: boolean }> = {
    "selects everything without selectors": { match: {}, every: true, namespaces: false },
    "selects everything with empty selectors": {
      match: { namespaceSelector: {}, podSelector: { matchLabels: {}, matchExpressions: [] } },
      every: true,
      namespaces: false,
    },
    "does not select everything with a pod selector": {
      match: { podSelector: { matchLabels: { a: "b" } } },
      every: false,
      namespaces: false,
    },
    "does not select everything, and needs labels, with a namespace selector": {
      match: { namespaceSelector: { matchExpressions: [{ key: "a", operator: "Exists" }] } },
      every: false,
      namespaces: true,
    },
  };
  for (const [sentence, { match, every, namespaces }] of Object.entries(everything)) {
    test(sentence, () => {
      expect(accepted({ match, registration })).toMatchObject({
        matchesEverything: every,
        needsNamespaceLabels: namespaces,
      });
    });
  }
});

describe("a policy that is refused names the field", () => {
  const table: Record<string, { spec: Record<string, unknown>; reason: string; message: RegExp }> = {
    "of a label key that is none": {
      spec: { match: { podSelector: { matchLabels: { "a..b/x": "y" } } }, registration },
      reason: "InvalidSelector",
      message: /^spec\.match\.podSelector\.matchLabels\[a\.\.b\/x\]: "a\.\.b\/x" is not a label key$/,
    },
    "of an operator without values": {
      spec: {
        match: {
          namespaceSelector: {
            matchExpressions: [
              { key: "a", operator: "Exists" },
              { key: "b", operator: "In" },
            ],
          },
        },
        registration,
      },
      reason: "InvalidSelector",
      message: /^spec\.match\.namespaceSelector\.matchExpressions\[1\]\.values: In needs at least one value$/,
    },
    "of an operator that the schema does not know": {
      spec: { match: { podSelector: { matchExpressions: [{ key: "a", operator: "Like" }] } }, registration },
      reason: "InvalidSelector",
      message: /^spec\.match\.podSelector\.matchExpressions\[0\]\.operator: must be one of In, NotIn, /,
    },
    "of a mode of a later version": {
      spec: { mode: "Observe", registration },
      reason: "InvalidSpec",
      message: /^spec\.mode: must be one of Audit, Enforce, Paused$/,
    },
    "of which all are missing": {
      spec: { mode: "Enforce" },
      reason: "InvalidSpec",
      message: /^spec: must have at least one of registration, dns, keepalive and lifecycle: /,
    },
    "of a naming rule without its key": {
      spec: { registration: { ...registration, service: { from: "Label" } } },
      reason: "InvalidSpec",
      message: /^spec\.registration\.service\.key: must be set$/,
    },
  };
  for (const [sentence, { spec, reason, message }] of Object.entries(table)) {
    test(sentence, () => {
      const { compilation } = project(spec);
      expect(compilation).toEqual({ accepted: false, reason, message: expect.stringMatching(message) as string });
    });
  }
});

test("a policy with a deletionTimestamp is being deleted", () => {
  expect(project({ registration }).deleting).toBe(false);
  expect(project({ registration }, { deletionTimestamp: "2026-01-01T00:00:00Z" }).deleting).toBe(true);
});
