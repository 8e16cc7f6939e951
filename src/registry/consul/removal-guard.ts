import { isObject } from "./model.ts";

/** A request on its way, as far as it can remove something. */
export interface Leaving {
  readonly path: string;
  readonly params?: object;
  readonly body?: unknown;
}

/**
 * The last look at every request: one that removes something must say exactly what. Consul reads a deregistration without
 * a service id as one of the whole node, with everything on it.
 * @throws TypeError; then nothing leaves
 */
export function assertNamesWhatItRemoves({ path, params, body }: Leaving): void {
  // Takes a node where the service id is missing or misspelt, and compares nothing: transactions do all we need.
  if (path.startsWith("/catalog/deregister")) throw new TypeError("never sent: /catalog/deregister");
  if (path.startsWith("/agent/service/deregister")) {
    const id: unknown = (params as Record<string, unknown> | undefined)?.["id"];
    if (path !== "/agent/service/deregister/{id}" || typeof id !== "string" || id === "")
      throw new TypeError("never sent: an agent's deregistration without a service id");
  }
  if (path === "/txn")
    for (const operation of Array.isArray(body) ? (body as unknown[]) : [body]) assertOperation(operation);
}

function assertOperation(operation: unknown): void {
  if (!isObject(operation)) throw new TypeError("never sent: an operation that is none");
  const { Node, Service, Check, KV } = operation;
  if (isObject(Node) && isDelete(Node)) throw new TypeError("never sent: the deletion of a node");
  if (isObject(Service) && isDelete(Service)) {
    const service = Service["Service"];
    const isNamed = isObject(service) && isText(Service["Node"]) && isText(service["ID"]) && isText(service["Service"]);
    if (!isNamed || Service["Verb"] !== "delete-cas" || !isIndex(service["ModifyIndex"]))
      throw new TypeError("never sent: the deletion of a service without node, id, name and index");
  }
  if (isObject(Check) && isDelete(Check)) {
    const check = Check["Check"];
    const isNamed = isObject(check) && isText(check["Node"]) && isText(check["CheckID"]) && isText(check["ServiceID"]);
    if (!isNamed || Check["Verb"] !== "delete-cas" || !isIndex(check["ModifyIndex"]))
      throw new TypeError("never sent: the deletion of a check without node, id, service and index");
  }
  if (isObject(KV) && KV["Verb"] === "delete-tree")
    throw new TypeError("never sent: the deletion of all keys below one");
}

function isDelete(operation: Readonly<Record<string, unknown>>): boolean {
  return typeof operation["Verb"] === "string" && operation["Verb"].startsWith("delete");
}

function isText(value: unknown): boolean {
  return typeof value === "string" && value !== "";
}

function isIndex(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) > 0;
}
