import { describe, expect, it } from "vitest";

import { type HealthSigns, selfPreservation } from "./self-preservation.ts";

const healthy: HealthSigns = {
  instances: 100,
  unexplained: 0,
  lists: [],
  nodes: { total: 10, ready: 10 },
};

function reasonOf(signs: Partial<HealthSigns>): string | undefined {
  const answer = selfPreservation({ ...healthy, ...signs });
  return answer.active ? answer.reason : undefined;
}

function list(pods: number, witnessedDeaths = 0): HealthSigns["lists"][number] {
  return { pods, witnessedDeaths };
}

const table: Readonly<Record<string, { readonly signs: Partial<HealthSigns>; readonly is: string | undefined }>> = {
  "is off when all is well": { signs: {}, is: undefined },
  "is off at 20 % of suspects": { signs: { unexplained: 20 }, is: undefined },
  "is on above 20 % of suspects": { signs: { unexplained: 21 }, is: "TooManySuspects" },
  "rounds the share up, so that few instances may have a suspect": {
    signs: { instances: 6, unexplained: 2 },
    is: undefined,
  },
  "is on above the share rounded up": { signs: { instances: 6, unexplained: 3 }, is: "TooManySuspects" },
  "allows one suspect even in a registry that lists nothing else": {
    signs: { instances: 1, unexplained: 1 },
    is: undefined,
  },
  "is on when nearly a third of the pods vanished from one list to the next": {
    signs: { lists: [list(100), list(70)] },
    is: "PodsVanished",
  },
  "is off when fewer vanished": { signs: { lists: [list(100), list(71)] }, is: undefined },
  "does not count deaths that were seen": { signs: { lists: [list(100), list(40, 31)] }, is: undefined },
  "counts those that were not": { signs: { lists: [list(100), list(40, 30)] }, is: "PodsVanished" },
  "does not count deaths seen before the earlier list": {
    signs: { lists: [list(100, 50), list(70)] },
    is: "PodsVanished",
  },
  "is off with one list": { signs: { lists: [list(0)] }, is: undefined },
  "is off when there were no pods": { signs: { lists: [list(0), list(0)] }, is: undefined },
  "is off when a later list agrees with the one before": {
    signs: { lists: [list(100), list(50), list(50)] },
    is: undefined,
  },
  "is off at 45 % of nodes ready": { signs: { nodes: { total: 20, ready: 9 } }, is: undefined },
  "is on below 45 % of nodes ready": { signs: { nodes: { total: 20, ready: 8 } }, is: "NodesNotReady" },
  "is off where there are no nodes": { signs: { nodes: { total: 0, ready: 0 } }, is: undefined },
};

describe("self-preservation", () => {
  for (const [sentence, { signs, is }] of Object.entries(table)) {
    it(sentence, () => {
      expect(reasonOf(signs)).toBe(is);
    });
  }

  it("says in one sentence what it saw", () => {
    expect(selfPreservation({ ...healthy, nodes: { total: 20, ready: 8 } })).toEqual({
      active: true,
      reason: "NodesNotReady",
      message: "only 8 of 20 nodes are ready (at least 45 % must be)",
    });
  });
});
