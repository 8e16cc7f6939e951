import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

interface Arrived {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  readonly body: Buffer;
}

/** Which requests a gate stops. */
type Stops = (request: { readonly method: string; readonly url: string; readonly body: string }) => boolean;

/** A Consul transaction that removes something. */
export const consulEvictions: Stops = ({ method, url, body }) =>
  method === "PUT" && url.startsWith("/v1/txn") && body.includes('"delete-cas"');

/** A deregistration at the Consul agent that keeps the entry. */
export const atAgent: Stops = ({ url }) => url.startsWith("/v1/agent/service/deregister/");

/** Stands between the operator and a registry that speaks HTTP, and can stop evictions at the last moment. Everything else passes. */
export class HttpGate {
  readonly #target: URL;
  readonly #stops: Stops;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #server: Server;
  readonly #held = new Set<Arrived>();
  #isArmed = false;

  private constructor(target: string, stops: Stops) {
    this.#target = new URL(target);
    this.#stops = stops;
    this.#server = createServer((incoming, outgoing) => void this.#serve(incoming, outgoing));
  }

  /** @param target the real registry, `http://host:port` */
  static async start(target: string, stops: Stops): Promise<HttpGate> {
    const gate = new HttpGate(target, stops);
    gate.#server.listen(0, "127.0.0.1");
    await once(gate.#server, "listening");
    return gate;
  }

  /** What the operator is to be told instead of the real endpoint. */
  get endpoint(): string {
    return `http://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`;
  }

  /** From now on evictions wait for {@link release}. */
  arm(): void {
    this.#isArmed = true;
  }

  /** From now on evictions pass; those that wait go on waiting. */
  disarm(): void {
    this.#isArmed = false;
  }

  /** Evictions that wait now. What a client that is gone had sent is gone with it. */
  get held(): number {
    return this.#held.size;
  }

  /** Lets them go on to the registry, in the order they came. */
  release(): void {
    this.disarm();
    for (const arrived of this.#held) this.#forward(arrived);
    this.#held.clear();
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    this.#agent.destroy();
    await closed;
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of incoming) chunks.push(chunk as Buffer);
    } catch {
      return;
    }
    const arrived: Arrived = { incoming, outgoing, body: Buffer.concat(chunks) };
    const { method = "", url = "" } = incoming;
    if (!this.#isArmed || !this.#stops({ method, url, body: arrived.body.toString() })) {
      this.#forward(arrived);
      return;
    }
    this.#held.add(arrived);
    outgoing.once("close", () => this.#held.delete(arrived));
  }

  #forward({ incoming, outgoing, body }: Arrived): void {
    const { hostname: host, port } = this.#target;
    const { method, url: path, headers } = incoming;
    const sent = request({ host, port, method, path, headers, agent: this.#agent }, (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.headers);
      response.on("error", () => outgoing.destroy());
      response.pipe(outgoing);
    });
    sent.on("error", () => outgoing.destroy());
    outgoing.once("close", () => sent.destroy());
    sent.end(body);
  }
}
