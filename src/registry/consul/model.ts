import { RegistryError } from "../errors.ts";

/** One node of the catalog with all that is registered on it, as Consul answers it. */
export interface CatalogNode {
  readonly Node: string;
  readonly ID?: string;
  readonly Address: string;
  readonly Meta?: Readonly<Record<string, string>> | null;
  readonly TaggedAddresses?: Readonly<Record<string, string>> | null;
  /** Not empty for what another cluster exports to this one. */
  readonly PeerName?: string;
  readonly Services: readonly CatalogService[];
  readonly Checks: readonly CatalogCheck[];
}

export interface CatalogService {
  readonly ID: string;
  readonly Service: string;
  readonly Kind?: string;
  readonly Address: string;
  /** Left out when it is 0. */
  readonly Port?: number;
  readonly Tags?: readonly string[] | null;
  readonly Meta?: Readonly<Record<string, string>> | null;
  readonly TaggedAddresses?: Readonly<Record<string, { readonly Address: string; readonly Port: number }>> | null;
  readonly Weights?: { readonly Passing: number; readonly Warning: number } | null;
  readonly EnableTagOverride?: boolean;
  readonly Proxy?: Readonly<Record<string, unknown>> | null;
  readonly Connect?: Readonly<Record<string, unknown>> | null;
  readonly Namespace?: string;
  readonly Partition?: string;
  readonly PeerName?: string;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

export interface CatalogCheck {
  readonly Node: string;
  readonly CheckID: string;
  readonly Name: string;
  readonly Status: string;
  readonly Notes: string;
  readonly Output: string;
  /** Empty for a check of the node. */
  readonly ServiceID: string;
  readonly ServiceName: string;
  readonly ServiceTags?: readonly string[] | null;
  /** `ttl`, `http`, `tcp`, ...; empty when it is not an agent's. */
  readonly Type?: string;
  readonly Namespace?: string;
  readonly Partition?: string;
  readonly Definition?: Readonly<Record<string, unknown>> | null;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

/** One service instance with its node and all checks that concern it. */
export interface CatalogEntry {
  readonly node: Omit<CatalogNode, "Services" | "Checks">;
  readonly service: CatalogService;
  /** Of this service only, by CheckID. */
  readonly checks: readonly CatalogCheck[];
  /** Of its node. */
  readonly nodeChecks: readonly CatalogCheck[];
}

/** All entries of the nodes. */
export function* entriesOf(nodes: readonly CatalogNode[]): Generator<CatalogEntry> {
  for (const { Services, Checks, ...node } of nodes) {
    if (Services.length === 0) continue;
    const byService = Map.groupBy(Checks, ({ ServiceID }) => ServiceID);
    const nodeChecks = byService.get("") ?? [];
    for (const service of Services) {
      const checks = (byService.get(service.ID) ?? []).toSorted((a, b) => (a.CheckID < b.CheckID ? -1 : 1));
      yield { node, service, checks, nodeChecks };
    }
  }
}

/**
 * The answer of `/v1/internal/ui/nodes`.
 * @throws RegistryError `NotUnderstood` when it is none
 */
export function nodesIn(body: unknown): readonly CatalogNode[] {
  if (!Array.isArray(body)) throw notUnderstood("no list of nodes");
  for (const node of body) if (!isNode(node)) throw notUnderstood("a node of another shape");
  return body as readonly CatalogNode[];
}

/**
 * The entries in an answer of `/v1/health/service/<name>`.
 * @throws RegistryError `NotUnderstood` when it is none
 */
export function healthEntriesIn(body: unknown): readonly CatalogEntry[] {
  if (!Array.isArray(body)) throw notUnderstood("no list of instances");
  return body.map((item: unknown) => {
    if (!isObject(item)) throw notUnderstood("an instance of another shape");
    const { Node, Service, Checks } = item;
    if (!isObject(Node) || !isObject(Service)) throw notUnderstood("an instance of another shape");
    const whole = { ...Node, Services: [Service], Checks: Checks ?? [] };
    if (!isNode(whole)) throw notUnderstood("an instance of another shape");
    const [entry] = entriesOf([whole]);
    if (entry === undefined) throw notUnderstood("an instance of another shape");
    return entry;
  });
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isNode(value: unknown): value is CatalogNode {
  if (!isObject(value) || typeof value["Node"] !== "string" || typeof value["Address"] !== "string") return false;
  const { Services, Checks } = value;
  return Array.isArray(Services) && Services.every(isService) && Array.isArray(Checks) && Checks.every(isCheck);
}

function isService(value: unknown): boolean {
  return (
    isObject(value) &&
    typeof value["ID"] === "string" &&
    value["ID"] !== "" &&
    typeof value["Service"] === "string" &&
    value["Service"] !== "" &&
    typeof value["Address"] === "string" &&
    (value["Port"] === undefined || typeof value["Port"] === "number") &&
    isIndex(value["CreateIndex"]) &&
    isIndex(value["ModifyIndex"])
  );
}

function isCheck(value: unknown): boolean {
  return (
    isObject(value) &&
    typeof value["CheckID"] === "string" &&
    typeof value["Status"] === "string" &&
    typeof value["ServiceID"] === "string" &&
    isIndex(value["ModifyIndex"])
  );
}

function isIndex(value: unknown): boolean {
  return Number.isSafeInteger(value);
}

function notUnderstood(what: string): RegistryError {
  return new RegistryError("NotUnderstood", `Consul answers ${what}`);
}
