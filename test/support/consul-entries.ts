import type { CatalogCheck, CatalogEntry, CatalogService } from "../../src/registry/consul/model.ts";

/** What a test says of an entry; the rest is as of a plain entry of an external node. */
export interface EntrySpec {
  readonly node?: Partial<CatalogEntry["node"]>;
  readonly service?: Partial<CatalogService>;
  readonly checks?: readonly Partial<CatalogCheck>[];
  /** State of the node's agent; undefined: it has none. */
  readonly agent?: "passing" | "critical";
}

export function catalogEntry({ node, service, checks = [], agent }: EntrySpec = {}): CatalogEntry {
  const common = { Node: "n1", Name: "a check", Notes: "", Output: "", CreateIndex: 10, ModifyIndex: 10 };
  return {
    node: { Node: "n1", Address: "192.0.2.1", Meta: {}, ...node },
    service: {
      ID: "web-1",
      Service: "web",
      Address: "10.0.0.1",
      Port: 80,
      Meta: {},
      CreateIndex: 10,
      ModifyIndex: 10,
      ...service,
    },
    checks: checks.map((check) => ({
      ...common,
      CheckID: "service:web-1",
      Status: "passing",
      ServiceID: "web-1",
      ServiceName: "web",
      ...check,
    })),
    nodeChecks:
      agent === undefined ? [] : [{ ...common, CheckID: "serfHealth", Status: agent, ServiceID: "", ServiceName: "" }],
  };
}
