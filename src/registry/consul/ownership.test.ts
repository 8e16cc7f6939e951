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

const critical = { Status: "critical", Type: "ttl" };
const lives: Record<string, readonly [EntrySpec, boolean | undefined]> = {
  "a living agent's check that passes": [{ agent: "passing", checks: [{ Type: "ttl" }] }, false],
  "a living agent's check that is critical": [{ agent: "passing", checks: [critical] }, true],
  "two checks of which one hears something": [
    { agent: "passing", checks: [critical, { CheckID: "http", Type: "http" }] },
    false,
  ],
  "a check of consul-esm": [{ node: { Meta: { "external-probe": "true" } }, checks: [critical] }, true],
  "nothing: the agent is dead": [{ agent: "critical", checks: [critical] }, undefined],
  "nothing: nobody runs a check of the catalog": [{ checks: [critical] }, undefined],
  "nothing: there is no check": [{ agent: "passing" }, undefined],
  "nothing: maintenance and aliases hear nobody": [
    {
      agent: "passing",
      checks: [
        { CheckID: "_service_maintenance:web-1", Status: "critical" },
        { CheckID: "alias", Type: "alias" },
      ],
    },
    undefined,
  ],
};

describe("the registrant's life is told by", () => {
  it.each(Object.entries(lives))("%s", (_, [spec, missed]) => {
    expect(heartbeatOf(catalogEntry(spec))?.missed).toBe(missed);
  });

  it("another source once a check was written", () => {
    const sourceAt = (ModifyIndex: number): string | undefined =>
      heartbeatOf(catalogEntry({ agent: "passing", checks: [{ Type: "ttl", ModifyIndex }] }))?.source;
    expect(sourceAt(10)).toBe(sourceAt(10));
    expect(sourceAt(11)).not.toBe(sourceAt(10));
  });
});
