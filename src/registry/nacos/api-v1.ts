import { hash } from "node:crypto";

import { mapBounded } from "./bounded.ts";
import { type Address, type ClientState, formOf, type Listing, type NacosApi, namesOf } from "./api.ts";
import type { NacosAnswer, NacosCall, NacosClient } from "./client.ts";
import {
  DEFAULT_GROUP,
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

/** Entries on one page. */
const PAGE = 500;
/** Services read side by side. */
const PARALLEL = 6;
const TRIES = 3;

/**
 * Nacos 1.x and 2.x: the v1 API, and what v2 tells of clients from 2.0 on. Written to the API documentation of these
 * versions, and tried on a 3.1 that has its compatibility switches on, never on one of them.
 */
export class LegacyApi implements NacosApi {
  readonly version: string;
  readonly overlaysMetadata: boolean;
  readonly #client: NacosClient;
  readonly #namespace: string;
  readonly #knowsClients: boolean;

  constructor(client: NacosClient, namespace: string, version: string) {
    this.#client = client;
    this.#namespace = namespace;
    this.version = version;
    this.#knowsClients = !version.startsWith("1.");
    this.overlaysMetadata = !version.startsWith("1.");
  }

  async list(known: Listing | undefined, call: NacosCall): Promise<Listing> {
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const services = await this.#services(call);
      if (services === undefined) continue;
      const perService = await mapBounded(services, PARALLEL, (service) => this.#instances(service, call));
      const instances = perService.flat();
      const digest = hash("sha256", JSON.stringify(instances), "base64url");
      return known?.digest === digest ? known : { digest, instances };
    }
    throw notUnderstood(`pages that do not fit together, ${String(TRIES)} times`);
  }

  async cluster(ref: InstanceRef, call: NacosCall): Promise<readonly NacosInstance[]> {
    return await this.#clusterInstances({ group: ref.group, service: ref.service }, ref.cluster, call);
  }

  /** 2.x tells it address by address only, and without a cluster. */
  async publishers(
    service: ServiceRef,
    addresses: readonly Address[],
    call: NacosCall,
  ): Promise<readonly Publisher[] | undefined> {
    if (!this.#knowsClients) return undefined;
    const questions = addresses.flatMap(({ ip, port, ephemeral }) => {
      const kinds = ephemeral === undefined ? [true, false] : [ephemeral];
      return kinds.map((kind) => ({ ip, port: String(port), ephemeral: String(kind) }));
    });
    const path = "/v2/ns/client/service/publisher/list";
    const answers = await mapBounded(questions, PARALLEL, async (question) => {
      const request = { method: "GET", path, query: { ...this.#v2(service), ...question } } as const;
      const answer = await this.#client.sendPastStumbles("client.publisherList", request, call, [404]);
      return answer.status === 200 ? arrayIn(answer).map(publisherIn) : [];
    });
    return answers.flat();
  }

  async clients(call: NacosCall): Promise<ReadonlySet<string> | undefined> {
    if (!this.#knowsClients) return undefined;
    const answer = await this.#client.send("client.list", { method: "GET", path: "/v2/ns/client/list" }, call);
    return new Set(arrayIn(answer).map(String));
  }

  async published(clientId: string, call: NacosCall): Promise<readonly ServiceRef[]> {
    const request = { method: "GET", path: "/v2/ns/client/publish/list", query: { clientId } } as const;
    const answer = await this.#client.send("client.publishList", request, call, [404]);
    if (answer.status === 404) return [];
    return arrayIn(answer).flatMap((item) => {
      if (!isObject(item)) return [];
      const { namespace, group, serviceName } = item;
      const isOurs = namespace === this.#namespace && typeof group === "string" && typeof serviceName === "string";
      return isOurs ? [{ group, service: serviceName }] : [];
    });
  }

  async client(clientId: string, call: NacosCall): Promise<ClientState | undefined> {
    if (!this.#knowsClients) return undefined;
    const request = { method: "GET", path: "/v2/ns/client", query: { clientId } } as const;
    // Of a connection to another server it knows the id, stumbles over the rest and answers 500.
    const answer = await this.#client.send("client.get", request, call, isConnection(clientId) ? [404, 500] : [404]);
    if (answer.status === 404) return undefined;
    if (answer.status === 500) return { lastUpdated: undefined, serverTime: undefined };
    const { data } = objectIn(answer.text);
    const lastUpdated: unknown = isObject(data) ? data["lastUpdatedTime"] : undefined;
    return typeof lastUpdated === "number" ? { lastUpdated, serverTime: answer.serverTime } : undefined;
  }

  /** Asked for by an administrator only, and not needed: see {@link keeper}. */
  membership(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  /** Each server passes on what is another's. */
  keeper(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async update(instance: NacosInstance, call: NacosCall): Promise<void> {
    await this.#write("instance.update", "PUT", formOf(this.#namespace, instance), call);
  }

  async register(instance: NacosInstance, call: NacosCall): Promise<void> {
    await this.#write("instance.register", "POST", formOf(this.#namespace, instance), call);
  }

  async remove(instance: NacosInstance, call: NacosCall): Promise<void> {
    const query = namesOf(this.#namespace, instance);
    await this.#client.send("instance.deregister", { method: "DELETE", path: "/v1/ns/instance", query }, call);
  }

  async #write(
    operation: string,
    method: "PUT" | "POST",
    form: Readonly<Record<string, string>>,
    call: NacosCall,
  ): Promise<void> {
    await this.#client.send(operation, { method, path: "/v1/ns/instance", form }, call);
  }

  /** All services; undefined when something came or went between two pages. */
  async #services(call: NacosCall): Promise<readonly ServiceRef[] | undefined> {
    const services = new Map<string, ServiceRef>();
    for (let pageNo = 1; ; pageNo++) {
      const query = {
        namespaceId: this.#namespace,
        withInstances: "false",
        hasIpCount: "true",
        pageNo: String(pageNo),
        pageSize: String(PAGE),
      };
      const request = { method: "GET", path: "/v1/ns/catalog/services", query } as const;
      const { serviceList, count } = objectIn((await this.#client.send("service.list", request, call)).text);
      if (!Array.isArray(serviceList) || typeof count !== "number") throw notUnderstood("no page of services");
      for (const item of serviceList as unknown[]) {
        if (!isObject(item) || typeof item["name"] !== "string") throw notUnderstood("a service of another shape");
        const group = typeof item["groupName"] === "string" ? item["groupName"] : DEFAULT_GROUP;
        const service = { service: item["name"], group };
        services.set(serviceKey(service), service);
      }
      if (services.size === count) return [...services.values()];
      if (serviceList.length === 0 || pageNo * PAGE >= count) return undefined;
    }
  }

  async #instances(service: ServiceRef, call: NacosCall): Promise<readonly NacosInstance[]> {
    const query = { namespaceId: this.#namespace, ...v1(service) };
    const request = { method: "GET", path: "/v1/ns/catalog/service", query } as const;
    const answer = await this.#client.send("service.get", request, call, [404, 500]);
    if (answer.status !== 200) return absent(answer);
    const { clusters } = objectIn(answer.text);
    if (!Array.isArray(clusters)) throw notUnderstood("a service without clusters");
    const names = (clusters as unknown[]).map((cluster) => (isObject(cluster) ? String(cluster["name"]) : ""));
    const perCluster: (readonly NacosInstance[])[] = [];
    for (const name of names) perCluster.push(await this.#clusterInstances(service, name, call));
    return perCluster.flat();
  }

  async #clusterInstances(
    service: ServiceRef,
    clusterName: string,
    call: NacosCall,
  ): Promise<readonly NacosInstance[]> {
    const instances: NacosInstance[] = [];
    for (let pageNo = 1; ; pageNo++) {
      const page = { pageNo: String(pageNo), pageSize: String(PAGE) };
      const query = { namespaceId: this.#namespace, ...v1(service), clusterName, ...page };
      const request = { method: "GET", path: "/v1/ns/catalog/instances", query } as const;
      const answer = await this.#client.send("instance.list", request, call, [404, 500]);
      if (answer.status !== 200) return absent(answer);
      const { list, count } = objectIn(answer.text);
      if (!Array.isArray(list) || typeof count !== "number") throw notUnderstood("no page of instances");
      for (const item of list) instances.push(instanceIn(item, service, clusterName));
      if (list.length === 0 || instances.length >= count) return instances;
    }
  }

  #v2({ group, service }: ServiceRef): Readonly<Record<string, string>> {
    return { namespaceId: this.#namespace, groupName: group, serviceName: service };
  }
}

/** The v1 catalog takes the group as a part of the name. */
function v1({ group, service }: ServiceRef): Readonly<Record<string, string>> {
  return { serviceName: `${group}@@${service}`, groupName: group };
}

/** "cluster DEFAULT is not found!" and the like are how an empty list is said. */
function absent({ status, text }: NacosAnswer): readonly never[] {
  if (/not (?:found|exist)/i.test(text)) return [];
  throw notUnderstood(`HTTP ${String(status)} to a list`);
}

function arrayIn({ text }: NacosAnswer): readonly unknown[] {
  const { data } = objectIn(text);
  if (!Array.isArray(data)) throw notUnderstood("no list");
  return data;
}
