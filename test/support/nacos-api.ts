import { request } from "undici";

/** What an HTTP client of Nacos registers. */
export interface NacosRegistration {
  readonly service: string;
  readonly ip: string;
  readonly port: number;
  readonly group?: string;
  readonly cluster?: string;
  readonly namespace?: string;
  readonly ephemeral?: boolean;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly weight?: number;
}

/** An instance as the admin list shows it. */
export interface ListedInstance {
  readonly ip: string;
  readonly port: number;
  readonly enabled: boolean;
  readonly healthy: boolean;
  readonly weight: number;
  readonly ephemeral: boolean;
  readonly metadata: Readonly<Record<string, string>>;
}

interface ServicePage {
  readonly totalCount: number;
  readonly pageItems: readonly {
    readonly serviceName: string;
    readonly groupName: string;
    readonly clusterMap: Readonly<Record<string, { readonly hosts: readonly ListedInstance[] }>>;
  }[];
}

/** Services in one answer: as many as Nacos gives. */
const PAGE = 500;

/** Nacos as its clients and a person see it. */
export class NacosApi {
  readonly #url: string;
  readonly #login: Readonly<Record<string, string>> | undefined;
  #headers: Readonly<Record<string, string>> | undefined;

  /** @param login user name and password, where they are needed */
  constructor(url: string, login?: { readonly username: string; readonly password: string }) {
    this.#url = url;
    this.#login = login;
  }

  /** @param protectThreshold share of healthy instances up to which callers are told of all of them, as healthy */
  async createService(service: string, protectThreshold: number): Promise<void> {
    const form = { namespaceId: "public", groupName: "DEFAULT_GROUP", serviceName: service };
    const threshold = String(protectThreshold);
    await this.#send("POST", "/v3/admin/ns/service", { ...form, ephemeral: "true", protectThreshold: threshold });
  }

  /** Has the server call none of the service's persistent instances to see whether they are healthy. */
  async leaveUnchecked(service: string): Promise<void> {
    await this.#send("PUT", "/v3/admin/ns/cluster", {
      namespaceId: "public",
      groupName: "DEFAULT_GROUP",
      serviceName: service,
      clusterName: "DEFAULT",
      checkPort: "80",
      useInstancePort4Check: "true",
      healthChecker: JSON.stringify({ type: "NONE" }),
    });
  }

  /** Makes a user who may read and write one resource, `<namespace>:<group>:<type>`; an administrator's call. */
  async createUser(user: { readonly username: string; readonly password: string }, resource: string): Promise<void> {
    const role = `role of ${user.username}`;
    await this.#send("POST", "/v3/auth/user", user);
    await this.#send("POST", "/v3/auth/role", { username: user.username, role });
    await this.#send("POST", "/v3/auth/permission", { role, resource, action: "rw" });
  }

  async register(registration: NacosRegistration): Promise<void> {
    await this.#send("POST", "/v1/ns/instance", formOf(registration));
  }

  /** As the process itself goes. */
  async remove(registration: NacosRegistration): Promise<void> {
    await this.#send("DELETE", "/v1/ns/instance", formOf(registration));
  }

  async beat(registration: NacosRegistration): Promise<void> {
    await this.#send("PUT", "/v1/ns/instance/beat", formOf(registration));
  }

  /** As a person switches an instance on or off. */
  async setEnabled(registration: NacosRegistration, enabled: boolean): Promise<void> {
    await this.#send("PUT", "/v3/admin/ns/instance", { ...formOf(registration), enabled: String(enabled) });
  }

  /** Asks the server to have a gRPC client connect anew. @param clientId as a publisher list shows it */
  async reloadClient(clientId: string): Promise<void> {
    await this.#send("POST", "/v3/admin/core/loader/reloadClient", { connectionId: clientId });
  }

  /** What the admin list shows of one cluster. */
  async list(service: string, cluster = "DEFAULT"): Promise<readonly ListedInstance[]> {
    const query = { serviceName: service, clusterName: cluster };
    return (await this.#get("/v3/admin/ns/instance/list", query)) as readonly ListedInstance[];
  }

  /** Every instance of a namespace by its id, as the admin list shows it: half a second late. */
  async all(namespace = "public"): Promise<ReadonlyMap<string, ListedInstance>> {
    const found = new Map<string, ListedInstance>();
    for (let pageNo = 1; ; pageNo++) {
      const query = { namespaceId: namespace, pageNo: String(pageNo), pageSize: String(PAGE), withInstances: "true" };
      const url = `${this.#url}/nacos/v3/admin/ns/service/list?${new URLSearchParams(query).toString()}`;
      const response = await request(url, { headers: await this.#authentication() });
      const text = await response.body.text();
      if (response.statusCode !== 200) throw new Error(`service list: ${String(response.statusCode)} ${text}`);
      const { pageItems, totalCount } = (JSON.parse(text) as { readonly data: ServicePage }).data;
      for (const { serviceName, groupName, clusterMap } of pageItems) {
        for (const [cluster, { hosts }] of Object.entries(clusterMap)) {
          for (const host of hosts) {
            found.set([namespace, groupName, serviceName, cluster, host.ip, String(host.port)].join("/"), host);
          }
        }
      }
      if (pageItems.length === 0 || pageNo * PAGE >= totalCount) return found;
    }
  }

  /** Which server of the cluster keeps what HTTP registers at an address, as this one sees it. */
  async keeper(ip: string, port: number): Promise<string> {
    const query = new URLSearchParams({ ip, port: String(port) }).toString();
    const response = await request(`${this.#url}/nacos/v3/admin/ns/client/distro?${query}`, {
      headers: await this.#authentication(),
    });
    return ((await response.body.json()) as { readonly data: { readonly responsibleServer: string } }).data
      .responsibleServer;
  }

  /** When a client was heard of last, milliseconds by the server's clock. @param clientId as a publisher list shows it */
  async lastHeard(clientId: string): Promise<number> {
    const url = `${this.#url}/nacos/v3/admin/ns/client?${new URLSearchParams({ clientId }).toString()}`;
    const response = await request(url, { headers: await this.#authentication() });
    return ((await response.body.json()) as { readonly data: { readonly lastUpdatedTime: number } }).data
      .lastUpdatedTime;
  }

  /** What callers of the service are told. */
  async consumerList(service: string): Promise<readonly ListedInstance[]> {
    return (await this.#get("/v3/client/ns/instance/list", { serviceName: service })) as readonly ListedInstance[];
  }

  /** Ids of the clients that registered in a service. */
  async publishers(service: string): Promise<readonly string[]> {
    const publishers = await this.#get("/v3/admin/ns/client/service/publisher/list", { serviceName: service });
    return (publishers as readonly { readonly clientId: string }[]).map(({ clientId }) => clientId);
  }

  /** What is there; nothing where Nacos says that it does not know of such a thing. */
  async #get(path: string, query: Readonly<Record<string, string>>): Promise<readonly unknown[]> {
    const url = `${this.#url}/nacos${path}?${new URLSearchParams(query).toString()}`;
    const response = await request(url, { headers: await this.#authentication() });
    const text = await response.body.text();
    if (response.statusCode === 404) return [];
    // In the moment in which a client leaves, Nacos stumbles over it.
    if (response.statusCode === 500) return await this.#get(path, query);
    if (response.statusCode !== 200) throw new Error(`GET ${path}: ${String(response.statusCode)} ${text}`);
    return (JSON.parse(text) as { readonly data: readonly unknown[] }).data;
  }

  async #authentication(): Promise<Readonly<Record<string, string>>> {
    if (this.#login === undefined) return {};
    if (this.#headers !== undefined) return this.#headers;
    const response = await request(`${this.#url}/nacos/v3/auth/user/login`, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams(this.#login).toString(),
    });
    const { accessToken } = (await response.body.json()) as { readonly accessToken: string };
    this.#headers = { accessToken };
    return this.#headers;
  }

  async #send(method: "POST" | "PUT" | "DELETE", path: string, form: Readonly<Record<string, string>>): Promise<void> {
    const url = `${this.#url}/nacos${path}?${new URLSearchParams(form).toString()}`;
    const response = await request(url, { method, headers: await this.#authentication() });
    const text = await response.body.text();
    if (response.statusCode !== 200) throw new Error(`${method} ${path}: ${String(response.statusCode)} ${text}`);
  }
}

function formOf(registration: NacosRegistration): Readonly<Record<string, string>> {
  const { service, ip, port, group = "DEFAULT_GROUP", cluster = "DEFAULT", namespace = "public" } = registration;
  const { ephemeral = true, metadata = {}, weight = 1 } = registration;
  return {
    namespaceId: namespace,
    groupName: group,
    serviceName: service,
    clusterName: cluster,
    ip,
    port: String(port),
    ephemeral: String(ephemeral),
    weight: String(weight),
    metadata: JSON.stringify(metadata),
  };
}
