import { RegistryError } from "../errors.ts";
import { type Answer, type ConsulCall, type ConsulClient, Refused, within } from "./client.ts";
import type { EntryId } from "./entry-id.ts";
import { quoted } from "./filter.ts";
import {
  type CatalogEntry,
  type CatalogNode,
  type CatalogService,
  healthEntriesIn,
  isObject,
  nodesIn,
} from "./model.ts";
import { conflictsIn, scopeOf } from "./transaction.ts";

/** A filter that no node, service or check meets: the answer is an index alone. */
const NOTHING = { node: 'Node == ""', check: 'CheckID == ""' } as const;

/** What only one who reads it consistently can say; see `catalogIndex`. */
export const CONSISTENT = { consistent: "1" } as const;

/** A complete reading of the catalog. */
export interface CatalogListing {
  readonly nodes: readonly CatalogNode[];
  /** What a blocking query goes on from. */
  readonly index: number;
  /** The catalog's index just before, as the leader knew it. */
  readonly before: number;
  /** Every write up to this index is in it. */
  readonly complete: number;
  /** Local monotonic milliseconds: everything committed before is in it. */
  readonly startedAt: number;
}

/**
 * The index of the last write to the catalog, as the leader knows it: two consistent reads with next to no answer. Every
 * write to a service moves the index of the nodes too, and every write to a check that of the checks (state store of
 * Consul, `catalog_ce.go`).
 * @throws RegistryError
 */
export async function catalogIndex(client: ConsulClient, call: ConsulCall): Promise<number> {
  const [nodes, checks] = await Promise.all([
    client.run("catalog.nodes", call, (consul, options) =>
      consul.catalog.node.list({ ...options, ...CONSISTENT, filter: NOTHING.node } as object),
    ),
    client.run("health.state", call, (consul, options) =>
      consul.health.state({ ...options, ...CONSISTENT, state: "critical", filter: NOTHING.check }),
    ),
  ]);
  return Math.max(indexOf(nodes, client), indexOf(checks, client));
}

/**
 * Reads the whole catalog in one answer. The endpoint, which Consul's own UI lives on, is the only one that has services
 * and checks of all nodes at one index; but it falls back to a stale read where there is no leader, and its index may be
 * that of something imported. So what it is complete up to is known from a consistent read before it.
 * @throws RegistryError `FilteredByACLs` when the token may not see all of it
 */
export async function listCatalog(
  client: ConsulClient,
  options: { readonly now: () => number; readonly callTimeout: number; readonly listTimeout: number },
  signal: AbortSignal,
): Promise<CatalogListing> {
  const startedAt = options.now();
  const before = await catalogIndex(client, within(options.callTimeout, signal));
  const answer = await client.send(
    "internal.nodes",
    { method: "GET", path: "/internal/ui/nodes", query: CONSISTENT },
    within(options.listTimeout, signal),
  );
  const index = indexOf(answer, client);
  if (index < before)
    throw new RegistryError("NoLeader", `list at ${client.endpoint}: older than what was read before it`);
  if (answer.lastContact > 0)
    throw new RegistryError("NoLeader", `list at ${client.endpoint}: not the leader's answer`);
  if (answer.filtered) {
    throw new RegistryError(
      "FilteredByACLs",
      'the token does not see the whole catalog: give its policy node_prefix and service_prefix "" with read',
    );
  }
  const nodes = nodesIn(answer.body);
  return { nodes, index, before, complete: Math.max(before, newest(nodes)), startedAt };
}

/**
 * Waits until something in the catalog is written, or `waitMs` have passed.
 * @returns the index then
 * @throws RegistryError
 */
export async function awaitChange(
  client: ConsulClient,
  after: number,
  waitMs: number,
  marginMs: number,
  signal: AbortSignal,
): Promise<number> {
  const query = { ...CONSISTENT, index: String(after), wait: `${String(waitMs)}ms`, filter: NOTHING.node };
  const answer = await client.send(
    "internal.nodes.wait",
    { method: "GET", path: "/internal/ui/nodes", query },
    // Consul adds up to a sixteenth of its own.
    { ...within(waitMs * 1.1 + marginMs, signal), waits: true },
  );
  return indexOf(answer, client);
}

/**
 * One entry as it is now, by a consistent read; undefined when it is not listed.
 * @param service the name it is expected under; it is found under another one too
 * @throws RegistryError
 */
export async function readEntry(
  client: ConsulClient,
  id: EntryId,
  service: string | undefined,
  call: ConsulCall,
): Promise<CatalogEntry | undefined> {
  const expected = service === undefined ? undefined : await readNamed(client, id, service, call);
  if (expected !== undefined) return expected;
  const name = await nameOf(client, id, call);
  return name === undefined ? undefined : await readNamed(client, id, name, call);
}

async function readNamed(
  client: ConsulClient,
  id: EntryId,
  service: string,
  call: ConsulCall,
): Promise<CatalogEntry | undefined> {
  const filter = `Node.Node == ${quoted(id.node)} and Service.ID == ${quoted(id.service)}`;
  const answer = await client.run("health.service", call, (consul, options) =>
    consul.health.service({ ...options, ...CONSISTENT, service, filter }),
  );
  indexOf(answer, client);
  // The filter saves reading; it decides nothing.
  const found = complete(answer, healthEntriesIn(answer.body));
  return found.find((entry) => entry.node.Node === id.node && entry.service.ID === id.service);
}

/**
 * The name under which a node has a service of this id. A transaction that only reads finds it by its key; every other
 * request reads all that the node has, which may be thousands.
 */
async function nameOf(client: ConsulClient, id: EntryId, call: ConsulCall): Promise<string | undefined> {
  const Service = { Verb: "get", Node: id.node, Service: { ...scopeOf(client.scope), ID: id.service } };
  let answer: Answer;
  try {
    const request = { method: "PUT", path: "/txn", query: CONSISTENT, body: [{ Service }] } as const;
    answer = await client.send("transaction.get", request, call, [409]);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    assertLed(error, client);
    const [conflict] = conflictsIn(error.body);
    if (conflict?.what.includes("doesn't exist") === true) return undefined;
    throw new RegistryError("NotUnderstood", `a service that is looked up by its id: ${conflict?.what ?? "refused"}`);
  }
  assertLed(answer, client);
  const results: unknown = isObject(answer.body) ? answer.body["Results"] : undefined;
  const found = Array.isArray(results) ? (results as readonly unknown[]).find(isObject) : undefined;
  // What the token may not read is left out of the results without a word.
  if (found === undefined)
    throw new RegistryError("FilteredByACLs", "the token may not see the entry, or whether there is one");
  return (found["Service"] as Partial<CatalogService> | undefined)?.Service;
}

/** Nothing found in an answer that was filtered is nothing known. */
function complete<Item>({ filtered }: Answer, items: readonly Item[]): readonly Item[] {
  if (filtered && items.length === 0)
    throw new RegistryError("FilteredByACLs", "the token may not see the entry, or whether there is one");
  return items;
}

function indexOf(answer: Answer, client: ConsulClient): number {
  assertLed(answer, client);
  if (answer.index < 1) throw new RegistryError("NotUnderstood", `${client.endpoint}: an answer has no X-Consul-Index`);
  return answer.index;
}

function assertLed({ knownLeader }: Pick<Answer, "knownLeader">, { endpoint }: ConsulClient): void {
  if (!knownLeader) throw new RegistryError("NoLeader", `${endpoint}: the server knows of no leader`);
}

/** The newest write that is in the list: then all before it are. */
function newest(nodes: readonly CatalogNode[]): number {
  let index = 0;
  for (const { PeerName, Services, Checks } of nodes) {
    if ((PeerName ?? "") !== "") continue;
    for (const { ModifyIndex } of Services) index = Math.max(index, ModifyIndex);
    for (const { ModifyIndex } of Checks) index = Math.max(index, ModifyIndex);
  }
  return index;
}
