import { type CatalogCheck, type CatalogEntry, type CatalogService, isObject } from "./model.ts";
import type { Operation } from "./transaction.ts";

/** What an eviction leaves: enough to register the entry again, and for a person to see what was done and why. */
export interface UndoRecord {
  readonly registry: string;
  readonly id: string;
  readonly version: string;
  readonly entry: CatalogEntry;
  /** Removed at the agent of its node; it is put back there. */
  readonly atAgent: boolean;
  readonly reason: string;
  readonly traceId: string;
  readonly time: string;
}

/** What is kept for put(): the entry, and whose it was. */
export type Restorable = Pick<UndoRecord, "entry" | "atAgent">;

/** @returns undefined when the text is none */
export function restorableIn(text: string): Restorable | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(parsed) || !isObject(parsed["entry"])) return undefined;
  const { node, service, checks, nodeChecks } = parsed["entry"];
  if (!isObject(node) || !isObject(service) || !Array.isArray(checks) || !Array.isArray(nodeChecks)) return undefined;
  if (typeof node["Node"] !== "string" || typeof service["ID"] !== "string") return undefined;
  return parsed as unknown as Restorable;
}

/** @returns undefined when somebody else wrote there */
export function undoRecordIn(text: string): UndoRecord | undefined {
  const restorable = restorableIn(text);
  return restorable !== undefined && "traceId" in restorable ? (restorable as UndoRecord) : undefined;
}

/**
 * Creates what is not there and fails where something is. A transaction refuses fields it does not know.
 * @param scope names the part of Consul the entry is in
 */
export function creations(
  entry: CatalogEntry,
  withNode: boolean,
  scope: Readonly<Record<string, string>>,
): readonly Operation[] {
  const { node, service, checks } = entry;
  const operations: Operation[] = [];
  if (withNode) {
    const { Node, ID = "", Address, Meta, TaggedAddresses } = node;
    // A node is in a partition, and in no namespace.
    const { Namespace: _namespace, ...partition } = scope;
    const created = { ...partition, Node, ID, Address, Meta, TaggedAddresses, ModifyIndex: 0 };
    operations.push({ Node: { Verb: "cas", Node: created } });
  }
  const { Proxy: _proxy, Connect: _connect, TaggedAddresses: _addresses, PeerName: _peer, ...plain } = written(service);
  const Service = { ...plain, ...proxyOf(service), ...scope, ModifyIndex: 0 };
  operations.push({ Service: { Verb: "cas", Node: node.Node, Service } });
  for (const check of checks)
    operations.push({ Check: { Verb: "cas", Check: { ...writtenCheck(check), ...scope, ModifyIndex: 0 } } });
  return operations;
}

/** Whether a transaction can carry all there is of the service: its operations know no tagged addresses and no Connect. */
export function fitsTransaction({ TaggedAddresses, Connect }: CatalogService): boolean {
  const tags = Object.keys(TaggedAddresses ?? {}).filter((name) => !derived.has(name));
  return tags.length === 0 && Object.keys(Connect ?? {}).length === 0;
}

/** Tagged addresses that an agent fills in by itself. */
const derived: ReadonlySet<string> = new Set(["lan_ipv4", "wan_ipv4", "lan_ipv6", "wan_ipv6"]);

/** The body of `PUT /v1/catalog/register` that writes all there is of the service. */
export function registration({ node, service, checks }: CatalogEntry): object {
  return {
    Node: node.Node,
    Address: node.Address,
    // What is known of the node is others' to say.
    SkipNodeUpdate: true,
    Service: written(service),
    Checks: checks.map(writtenCheck),
  };
}

/**
 * The body of `PUT /v1/agent/service/register`. Without the checks: the catalog does not say how an agent runs them, and
 * its registrant brings them along when it registers.
 */
export function agentRegistration({ service }: CatalogEntry): object {
  const { ID, Service, Kind, Tags, Address, Port, Meta, TaggedAddresses, Weights, EnableTagOverride, Proxy, Connect } =
    service;
  const isProxy = Kind !== undefined && Kind !== "";
  const addresses = Object.entries(TaggedAddresses ?? {}).filter(([name]) => !derived.has(name));
  return {
    ID,
    Name: Service,
    ...(isProxy ? { Kind, Proxy } : {}),
    Tags: Tags ?? [],
    Address,
    Port,
    Meta: Meta ?? {},
    ...(addresses.length === 0 ? {} : { TaggedAddresses: Object.fromEntries(addresses) }),
    ...(Weights === null || Weights === undefined ? {} : { Weights }),
    EnableTagOverride: EnableTagOverride ?? false,
    ...(Connect?.["Native"] === true ? { Connect: { Native: true } } : {}),
  };
}

/** A service as it is written: without what Consul adds. */
function written(service: CatalogService): Omit<CatalogService, "CreateIndex" | "ModifyIndex"> {
  const { CreateIndex: _created, ModifyIndex: _modified, ...rest } = service;
  return rest;
}

function proxyOf({ Kind, Proxy }: CatalogService): object {
  return Kind === undefined || Kind === "" ? {} : { Proxy };
}

function writtenCheck(check: CatalogCheck): object {
  const { Node, CheckID, Name, Status, Notes, Output, ServiceID, ServiceName, Namespace, Partition } = check;
  const scope = {
    ...(Namespace === undefined ? {} : { Namespace }),
    ...(Partition === undefined ? {} : { Partition }),
  };
  return { ...scope, Node, CheckID, Name, Status, Notes, Output, ServiceID, ServiceName };
}
