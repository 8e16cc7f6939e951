import { describe, expect, it } from "vitest";

import { catalogEntry } from "../../../test/support/consul-entries.ts";
import { decode } from "./decode.ts";
import { entriesOf, healthEntriesIn, nodesIn } from "./model.ts";

const { node, service, checks } = catalogEntry({});
const { Port: _, ...withoutPort } = service;

/** As the list of all nodes holds it. */
function listed(services: readonly object[]): unknown {
  return [{ ...node, Services: services, Checks: checks }];
}

describe("a service without a port, which Consul leaves out when it is 0,", () => {
  it("is read with all the others", () => {
    const nodes = nodesIn(listed([withoutPort, { ...service, ID: "web-2" }]));
    const decoded = Array.from(entriesOf(nodes), decode);
    expect(decoded).toMatchObject([
      { instance: "web-1", endpoints: [{ host: "10.0.0.1", port: 0 }] },
      { instance: "web-2", endpoints: [{ host: "10.0.0.1", port: 80 }] },
    ]);
  });

  it("is read alone", () => {
    expect(healthEntriesIn([{ Node: node, Service: withoutPort, Checks: checks }])).toMatchObject([
      { service: { ID: "web-1" } },
    ]);
  });
});

describe("an answer is not understood", () => {
  it.each([
    ["when it is no list", {}],
    ["when a service has no id", listed([{ ...service, ID: "" }])],
    ["when a service's port is no number", listed([{ ...service, Port: "80" }])],
    ["when a service has no index", listed([{ ...service, ModifyIndex: undefined }])],
  ])("%s", (__, body) => {
    expect(() => nodesIn(body)).toThrow(/Consul answers/);
  });
});
