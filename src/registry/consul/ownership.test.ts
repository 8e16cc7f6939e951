import { describe, expect, it } from "vitest";

import { catalogEntry, type EntrySpec } from "../../../test/support/consul-entries.ts";
import { heartbeatOf } from "./life.ts";
import { type AgentRoute, keeperOf, managerOf, removalOf } from "./ownership.ts";

const managers: Record<string, readonly [EntrySpec, string | undefined]> = {
  "nobody, where there are no marks": [{}, undefined],
  "nobody, for an external node": [{ node: { Meta: { "external-node": "true" } } }, undefined],
  "consul-k8s' endpoints controller": [
    {
      service: { Meta: { "managed-by": "consul-k8s-endpoints-controller" } },
      node: { Meta: { "synthetic-node": "true" } },
    },
    "consul-k8s-endpoints-controller",
  ],
  "consul-k8s, for a synthetic node": [{ node: { Meta: { "synthetic-node": "true" } } }, "consul-k8s"],
  "consul-k8s' catalog sync": [
    { service: { Meta: { "external-source": "kubernetes", "external-k8s-ns": "shop" } } },
    "consul-k8s sync-catalog",
  ],
  "katalog-sync, though it marks its entries as Kubernetes' too": [
    { service: { Meta: { "external-source": "kubernetes", "external-sync-source": "katalog-sync" } } },
    "katalog-sync",
  ],
  Nomad: [{ service: { Meta: { "external-source": "nomad" } } }, "nomad"],
  "whoever its node is from": [{ node: { Meta: { "external-source": "terraform" } } }, "terraform"],
};

describe("in charge of an entry is", () => {
  it.each(Object.entries(managers))("%s", (_, [spec, expected]) => {
    expect(managerOf(catalogEntry(spec))).toBe(expected);
  });
});

const open: AgentRoute = { kind: "Open", address: { url: "https://10.0.0.9:8501", isDerived: true } };
const unknown: AgentRoute = { kind: "Unknown" };
const broken: AgentRoute = { kind: "Broken", why: "no answer in time" };

const removals: Record<string, readonly [EntrySpec, AgentRoute, object]> = {
  "lasts for what is in the catalog alone": [{}, unknown, { effective: "Yes" }],
  "lasts for what a dead agent kept": [{ agent: "critical" }, unknown, { effective: "Yes" }],
  "lasts at a living agent that can be asked": [{ agent: "passing" }, open, { effective: "Yes" }],
  "can not be done for a living agent that nobody can ask": [
    { agent: "passing" },
    unknown,
    { effective: "No", reason: "AgentOwned" },
  ],
  "can not be done while the agent does not answer": [
    { agent: "passing" },
    broken,
    { effective: "No", reason: "AgentUnreachable" },
  ],
};

describe("a removal", () => {
  it.each(Object.entries(removals))("%s", (_, [spec, route, expected]) => {
    expect(removalOf(keeperOf(catalogEntry(spec)), "n1", route)).toMatchObject(expected);
  });
});

const expired = { Status: "critical", Type: "ttl", Output: "TTL expired" };
const lives: Record<string, readonly [EntrySpec, boolean | undefined]> = {
  "a check by TTL that passes": [{ agent: "passing", checks: [{ Type: "ttl" }] }, false],
  "a check by TTL that ran out": [{ agent: "passing", checks: [expired] }, true],
  "a check by TTL that ran out after it said something": [
    { agent: "passing", checks: [{ ...expired, Output: "TTL expired (last output before timeout follows): ok" }] },
    true,
  ],
  "a registrant that says of itself that it is not well": [
    { agent: "passing", checks: [{ ...expired, Output: "no database" }] },
    false,
  ],
  "two checks by TTL of which one hears something": [
    { agent: "passing", checks: [expired, { CheckID: "other", Type: "ttl" }] },
    false,
  ],
  "the one by TTL, whatever another asks": [
    { agent: "passing", checks: [expired, { CheckID: "http", Type: "http" }] },
    true,
  ],
  "nothing: a check by HTTP asks whoever answers": [
    { agent: "passing", checks: [{ Status: "critical", Type: "http" }] },
    undefined,
  ],
  "nothing: the agent is dead": [{ agent: "critical", checks: [expired] }, undefined],
  "nothing: nobody runs a check of the catalog": [{ checks: [expired] }, undefined],
  "nothing: there is no check": [{ agent: "passing" }, undefined],
};

describe("the registrant's life is told by", () => {
  it.each(Object.entries(lives))("%s", (_, [spec, missed]) => {
    expect(heartbeatOf(catalogEntry(spec))?.expired).toBe(missed);
  });

  it("another source once a check was written", () => {
    const sourceAt = (ModifyIndex: number): string | undefined =>
      heartbeatOf(catalogEntry({ agent: "passing", checks: [{ Type: "ttl", ModifyIndex }] }))?.source;
    expect(sourceAt(10)).toBe(sourceAt(10));
    expect(sourceAt(11)).not.toBe(sourceAt(10));
  });
});
