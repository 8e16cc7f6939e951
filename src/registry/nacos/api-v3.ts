import { hash } from "node:crypto";

import {
  type Address,
  type ClientState,
  formOf,
  type Listing,
  type Membership,
  type NacosApi,
  namesOf,
} from "./api.ts";
import type { NacosAnswer, NacosCall, NacosClient } from "./client.ts";
import {
  instanceIn,
  isObject,
  type NacosInstance,
  notUnderstood,
  objectIn,
  type Publisher,
  publisherIn,
  serviceKey,
  type ServiceRef,
} from "./model.ts";
import type { InstanceRef } from "./record-id.ts";
import { isConnection } from "./writers.ts";

/** Services on one page. */
const PAGE = 500;
/** Lists that changed between two of their pages are begun anew so often. */
const TRIES = 3;

/** How what is for administrators alone is kept from others: by Nacos, and by what may stand in front of it. */
const WITHHELD = [403, 404];

/** The admin API of Nacos 3.x. */
export class AdminApiV3 implements NacosApi {
  readonly version: string;
  readonly overlaysMetadata = true;
  readonly #client: NacosClient;
  readonly #namespace: string;

  constructor(client: NacosClient, namespace: string, version: string) {
    this.#client = client;
    this.#namespace = namespace;
    this.version = version;
  }

  async list(known: Listing | undefined, call: NacosCall): Promise<Listing> {
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const pages = await this.#pages(call);
      if (pages === undefined) continue;
      const digest = hash("sha256", pages.texts.join("\n"), "base64url");
      if (known?.digest === digest) return known;
      return { digest, instances: pages.services.flatMap(instancesIn) };
    }
    throw notUnderstood(`pages that do not fit together, ${String(TRIES)} times`);
  }

  async cluster(ref: InstanceRef, call: NacosCall): Promise<readonly NacosInstance[]> {
    const query = { ...this.#service(ref), clusterName: ref.cluster };
    const path = "/v3/admin/ns/instance/list";
    const answer = await this.#client.send("instance.list", { method: "GET", path, query }, call, [404]);
    if (answer.status === 404) return nothing(answer);
    return arrayIn(answer).map((item) => instanceIn(item, { group: ref.group, service: ref.service }, ref.cluster));
  }

  async publishers(service: ServiceRef, _: readonly Address[], call: NacosCall): Promise<readonly Publisher[]> {
    const path = "/v3/admin/ns/client/service/publisher/list";
    const request = { method: "GET", path, query: this.#service(service) } as const;
    const answer = await this.#client.sendPastStumbles("client.publisherList", request, call, [404]);
    return answer.status === 404 ? nothing(answer) : arrayIn(answer).map(publisherIn);
  }

  async clients(call: NacosCall): Promise<ReadonlySet<string>> {
    const answer = await this.#client.send("client.list", { method: "GET", path: "/v3/admin/ns/client/list" }, call);
    return new Set(arrayIn(answer).map(String));
  }

  async published(clientId: string, call: NacosCall): Promise<readonly ServiceRef[]> {
    const request = { method: "GET", path: "/v3/admin/ns/client/publish/list", query: { clientId } } as const;
    const answer = await this.#client.send("client.publishList", request, call, [404]);
    if (answer.status === 404) return nothing(answer);
    return arrayIn(answer).flatMap((item) => servicesIn(item, this.#namespace));
  }

  async client(clientId: string, call: NacosCall): Promise<ClientState | undefined> {
    const request = { method: "GET", path: "/v3/admin/ns/client", query: { clientId } } as const;
    // Of a connection to another server 3.1.0 knows the id, stumbles over the rest and answers 500.
    const answer = await this.#client.send("client.get", request, call, isConnection(clientId) ? [404, 500] : [404]);
    if (answer.status === 404) return void nothing(answer);
    if (answer.status === 500) return { lastUpdated: undefined, serverTime: undefined };
    const { data } = objectIn(answer.text);
    const lastUpdated: unknown = isObject(data) ? data["lastUpdatedTime"] : undefined;
    if (typeof lastUpdated !== "number") throw notUnderstood("a client without the time of its last update");
    return { lastUpdated, serverTime: answer.serverTime };
  }

  /** Nacos tells it to administrators only, unlike what it lists. */
  async membership(call: NacosCall): Promise<Membership | undefined> {
    const ask = (operation: string, path: string) =>
      this.#client.send(operation, { method: "GET", path }, call, WITHHELD);
    const [self, list] = await Promise.all([
      ask("cluster.self", "/v3/admin/core/cluster/node/self"),
      ask("cluster.members", "/v3/admin/core/cluster/node/list"),
    ]);
    if (self.status !== 200 || list.status !== 200) return undefined;
    const members = arrayIn(list).map(memberIn);
    return {
      self: memberIn(objectIn(self.text)["data"]).address,
      members: members.filter(({ state }) => state !== "DOWN").map(({ address }) => address),
    };
  }

  /** Unlike those of v1, requests of the admin API are not passed on to whom they concern (alibaba/nacos#14992). */
  async keeper({ ip, port }: Pick<Address, "ip" | "port">, call: NacosCall): Promise<string> {
    const query = { ip, port: String(port) };
    const request = { method: "GET", path: "/v3/admin/ns/client/distro", query } as const;
    const { data } = objectIn((await this.#client.send("client.keeper", request, call)).text);
    const server: unknown = isObject(data) ? data["responsibleServer"] : undefined;
    if (typeof server !== "string" || server === "") throw notUnderstood("no server that is responsible");
    return server;
  }

  async update(instance: NacosInstance, call: NacosCall): Promise<void> {
    await this.#write("instance.update", "PUT", instance, call);
  }

  async register(instance: NacosInstance, call: NacosCall): Promise<void> {
    await this.#write("instance.register", "POST", instance, call);
  }

  async remove(instance: NacosInstance, call: NacosCall): Promise<void> {
    const query = namesOf(this.#namespace, instance);
    const answer = await this.#client.send(
      "instance.deregister",
      { method: "DELETE", path: "/v3/admin/ns/instance", query },
      call,
    );
    succeeded(answer);
  }

  async #write(operation: string, method: "PUT" | "POST", instance: NacosInstance, call: NacosCall): Promise<void> {
    const form = formOf(this.#namespace, instance);
    succeeded(await this.#client.send(operation, { method, path: "/v3/admin/ns/instance", form }, call));
  }

  /** All pages; undefined when something came or went between two of them. */
  async #pages(
    call: NacosCall,
  ): Promise<{ readonly texts: readonly string[]; readonly services: readonly Service[] } | undefined> {
    const texts: string[] = [];
    const services = new Map<string, Service>();
    for (let pageNo = 1; ; pageNo++) {
      const query = {
        namespaceId: this.#namespace,
        pageNo: String(pageNo),
        pageSize: String(PAGE),
        withInstances: "true",
      };
      const request = { method: "GET", path: "/v3/admin/ns/service/list", query } as const;
      const answer = await this.#client.send("service.list", request, call);
      const { data } = objectIn(answer.text);
      if (!isObject(data) || !Array.isArray(data["pageItems"]) || typeof data["totalCount"] !== "number")
        throw notUnderstood("no page of services");
      texts.push(answer.text);
      for (const item of data["pageItems"]) {
        const service = serviceIn(item);
        services.set(serviceKey(service), service);
      }
      if (services.size === data["totalCount"]) return { texts, services: [...services.values()] };
      if (data["pageItems"].length === 0 || pageNo * PAGE >= data["totalCount"]) return undefined;
    }
  }

  #service({ group, service }: ServiceRef): Readonly<Record<string, string>> {
    return { namespaceId: this.#namespace, groupName: group, serviceName: service };
  }
}

interface Service extends ServiceRef {
  readonly clusters: Readonly<Record<string, unknown>>;
}

function serviceIn(item: unknown): Service {
  if (!isObject(item)) throw notUnderstood("a service of another shape");
  const { serviceName, groupName, clusterMap } = item;
  if (typeof serviceName !== "string" || typeof groupName !== "string" || !isObject(clusterMap))
    throw notUnderstood("a service of another shape");
  return { service: serviceName, group: groupName, clusters: clusterMap };
}

function instancesIn({ group, service, clusters }: Service): readonly NacosInstance[] {
  return Object.entries(clusters).flatMap(([cluster, value]) => {
    const hosts: unknown = isObject(value) ? value["hosts"] : undefined;
    return Array.isArray(hosts) ? hosts.map((host) => instanceIn(host, { group, service }, cluster)) : [];
  });
}

function servicesIn(item: unknown, namespace: string): readonly ServiceRef[] {
  if (!isObject(item)) throw notUnderstood("a published service of another shape");
  const { namespaceId, groupName, serviceName } = item;
  if (typeof groupName !== "string" || typeof serviceName !== "string")
    throw notUnderstood("a published service of another shape");
  return namespaceId === namespace ? [{ group: groupName, service: serviceName }] : [];
}

function memberIn(item: unknown): { readonly address: string; readonly state: string } {
  if (!isObject(item) || typeof item["address"] !== "string" || item["address"] === "")
    throw notUnderstood("a server of the cluster without address");
  return { address: item["address"], state: String(item["state"]) };
}

function arrayIn({ text }: NacosAnswer): readonly unknown[] {
  const { data } = objectIn(text);
  if (!Array.isArray(data)) throw notUnderstood("no list");
  return data;
}

/** A 404 with a code of Nacos' own names what is not there; one without comes from something else than this API. */
function nothing({ text }: NacosAnswer): readonly never[] {
  if (typeof objectIn(text)["code"] !== "number") throw notUnderstood("HTTP 404 to what its API knows");
  return [];
}

function succeeded({ text }: NacosAnswer): void {
  const { code } = objectIn(text);
  if (code !== 0) throw notUnderstood(`code ${String(code)} to a write`);
}
