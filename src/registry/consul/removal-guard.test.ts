import { describe, expect, it } from "vitest";

import { EntryId } from "./entry-id.ts";
import { assertNamesWhatItRemoves, type Leaving } from "./removal-guard.ts";

function txn(...body: unknown[]): Leaving {
  return { path: "/txn", body };
}

function service(fields: object = {}, node: unknown = "n1", verb = "delete-cas"): Leaving {
  const Service = { ID: "web-1", Service: "web", ModifyIndex: 7, ...fields };
  return txn(
    { KV: { Verb: "check-session", Key: "lock", Session: "s" } },
    { Service: { Verb: verb, Node: node, Service } },
  );
}

function check(fields: object = {}): Leaving {
  const Check = { Node: "n1", CheckID: "c", ServiceID: "web-1", ModifyIndex: 7, ...fields };
  return txn({ Check: { Verb: "delete-cas", Check } });
}

const sent: Record<string, Leaving> = {
  "a service with node, id, name and index": service(),
  "a check with node, id, service and index": check(),
  "a deregistration at an agent with a service id": {
    path: "/agent/service/deregister/{id}",
    params: { id: "web-1" },
  },
  "a registration": { path: "/catalog/register", body: { Node: "n1" } },
  "a key of ours": txn({ KV: { Verb: "delete", Key: "hygeia/x" } }),
  "a service that is created": service({ ID: "x", ModifyIndex: 0 }, "n1", "cas"),
};

const refused: Record<string, Leaving> = {
  "a service without an id": service({ ID: undefined }),
  "a service with an empty id": service({ ID: "" }),
  "a service without a name": service({ Service: "" }),
  "a service without a node": service({}, ""),
  "a service without an index": service({ ModifyIndex: 0 }),
  "a service whose index nobody compares": service({}, "n1", "delete"),
  "a check of the node": check({ ServiceID: "" }),
  "a check without an id": check({ CheckID: "" }),
  "a node": txn({ Node: { Verb: "delete", Node: { Node: "n1" } } }),
  "a node whose index is compared": txn({ Node: { Verb: "delete-cas", Node: { Node: "n1", ModifyIndex: 7 } } }),
  "all keys below one": txn({ KV: { Verb: "delete-tree", Key: "hygeia" } }),
  "a deregistration in the catalog, which means the node where the service id is missing": {
    path: "/catalog/deregister",
    body: { Node: "n1", ServiceID: "web-1" },
  },
  "a deregistration at an agent with an empty id": { path: "/agent/service/deregister/{id}", params: { id: "" } },
  "a deregistration at an agent without an id": { path: "/agent/service/deregister/", params: {} },
};

describe("a request that removes something", () => {
  it.each(Object.entries(sent))("may be sent for %s", (_, leaving) => {
    expect(() => {
      assertNamesWhatItRemoves(leaving);
    }).not.toThrow();
  });

  it.each(Object.entries(refused))("is never sent for %s", (_, leaving) => {
    expect(() => {
      assertNamesWhatItRemoves(leaving);
    }).toThrow(/never sent/);
  });
});

describe("the id of an entry", () => {
  it.each([
    ["n1", "web-1", "n1/web-1"],
    ["n1", "a/b", "n1/a/b"],
    ["rack/1", "web", "rack%2F1/web"],
  ])("of node %s and service %s is %s, both ways", (node, id, text) => {
    expect(new EntryId(node, id).toString()).toBe(text);
    expect(EntryId.parse(text)).toEqual(new EntryId(node, id));
  });

  it.each(["n1/", "/web", "n1", ""])("is never %j", (text) => {
    expect(() => EntryId.parse(text)).toThrow(TypeError);
  });
});
