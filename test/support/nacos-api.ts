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

/** Nacos as its clients and a person see it, without a login. */
export class NacosApi {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
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

  /** What the admin list shows of one cluster. */
  async list(service: string, cluster = "DEFAULT"): Promise<readonly ListedInstance[]> {
    const query = new URLSearchParams({ serviceName: service, clusterName: cluster });
    const response = await request(`${this.#url}/nacos/v3/admin/ns/instance/list?${query.toString()}`);
    const { data } = (await response.body.json()) as { readonly data: readonly ListedInstance[] };
    return response.statusCode === 200 ? data : [];
  }

  /** What callers of the service are told. */
  async consumerList(service: string): Promise<readonly ListedInstance[]> {
    const query = new URLSearchParams({ serviceName: service });
    const response = await request(`${this.#url}/nacos/v3/client/ns/instance/list?${query.toString()}`);
    const { data } = (await response.body.json()) as { readonly data: readonly ListedInstance[] };
    return response.statusCode === 200 ? data : [];
  }

  /** Ids of the clients that registered in a service. */
  async publishers(service: string): Promise<readonly string[]> {
    const query = new URLSearchParams({ serviceName: service });
    const response = await request(`${this.#url}/nacos/v3/admin/ns/client/service/publisher/list?${query.toString()}`);
    const { data } = (await response.body.json()) as { readonly data: readonly { readonly clientId: string }[] };
    return response.statusCode === 200 ? data.map(({ clientId }) => clientId) : [];
  }

  async #send(method: "POST" | "PUT" | "DELETE", path: string, form: Readonly<Record<string, string>>): Promise<void> {
    const response = await request(`${this.#url}/nacos${path}?${new URLSearchParams(form).toString()}`, { method });
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
