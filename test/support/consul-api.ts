import { type Dispatcher, request } from "undici";

/** What a process, or a person, does to Consul in tests. */
export class ConsulApi {
  readonly url: string;
  readonly #token: string | undefined;
  readonly #dispatcher: Dispatcher | undefined;

  /** @param token goes with every request */
  constructor(url: string, token?: string, dispatcher?: Dispatcher) {
    this.url = url;
    this.#token = token;
    this.#dispatcher = dispatcher;
  }

  async get(path: string): Promise<unknown> {
    return await this.#send("GET", path);
  }

  async put(path: string, body?: unknown): Promise<unknown> {
    return await this.#send("PUT", path, body);
  }

  async delete(path: string): Promise<unknown> {
    return await this.#send("DELETE", path);
  }

  /** Texts below a key. */
  async values(prefix: string): Promise<readonly string[]> {
    const entries = (await this.get(`/v1/kv/${prefix}?recurse`)) as readonly { readonly Value: string }[] | undefined;
    return (entries ?? []).map(({ Value }) => Buffer.from(Value, "base64").toString());
  }

  /** The services of a node by id; undefined when there is no such node. */
  async services(node: string): Promise<readonly string[] | undefined> {
    const answer = (await this.get(`/v1/catalog/node-services/${node}?consistent`)) as {
      readonly Services?: readonly { readonly ID: string }[];
    } | null;
    return answer?.Services?.map(({ ID }) => ID);
  }

  async #send(method: "GET" | "PUT" | "DELETE", path: string, body?: unknown): Promise<unknown> {
    const response = await request(`${this.url}${path}`, {
      method,
      headers: this.#token === undefined ? {} : { "x-consul-token": this.#token },
      body: body === undefined ? null : JSON.stringify(body),
      ...(this.#dispatcher === undefined ? {} : { dispatcher: this.#dispatcher }),
    });
    const text = await response.body.text();
    if (response.statusCode === 404) return undefined;
    if (response.statusCode >= 300) throw new Error(`${method} ${path}: ${String(response.statusCode)} ${text}`);
    return text === "" ? undefined : (JSON.parse(text) as unknown);
  }
}

/** An entry of the catalog as somebody writes it directly. */
export interface CatalogRegistration {
  readonly node?: string;
  readonly id: string;
  readonly service: string;
  readonly host?: string;
  readonly port?: number;
  readonly meta?: Readonly<Record<string, string>>;
  readonly nodeMeta?: Readonly<Record<string, string>>;
  readonly taggedAddresses?: Readonly<Record<string, { readonly Address: string; readonly Port: number }>>;
  /** Status of its one check; none without. */
  readonly status?: "passing" | "warning" | "critical";
  readonly output?: string;
}

/** The external node that entries are on unless they say otherwise. */
export const EXTERNAL_NODE = "outside";

/** The body of `PUT /v1/catalog/register`. */
export function catalogRegistration(registration: CatalogRegistration): object {
  const { node = EXTERNAL_NODE, id, service, host = "10.0.0.1", port = 80, meta = {}, status } = registration;
  const { output = "", nodeMeta = {}, taggedAddresses } = registration;
  return {
    Node: node,
    Address: "192.0.2.1",
    NodeMeta: { "external-node": "true", ...nodeMeta },
    Service: {
      ID: id,
      Service: service,
      Address: host,
      Port: port,
      Meta: meta,
      ...(taggedAddresses === undefined ? {} : { TaggedAddresses: taggedAddresses }),
    },
    ...(status === undefined
      ? {}
      : { Check: { CheckID: `service:${id}`, Name: "alive", ServiceID: id, Status: status, Output: output } }),
  };
}
