import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

interface Arrived {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  readonly body: Buffer;
}

/** One eviction that waits, and how it goes on. */
type Held = () => void;

/** Which requests a gate stops. */
type Stops = (request: { readonly method: string; readonly url: string; readonly body: string }) => boolean;

/** A Consul transaction that removes something. */
export const consulEvictions: Stops = ({ method, url, body }) =>
  method === "PUT" && url.startsWith("/v1/txn") && body.includes('"delete-cas"');

/** A deregistration at the Consul agent that keeps the entry. */
export const atAgent: Stops = ({ url }) => url.startsWith("/v1/agent/service/deregister/");

/** Nacos' delete of an instance. */
export const nacosEvictions: Stops = ({ method, url }) =>
  method === "DELETE" && url.startsWith("/nacos/v3/admin/ns/instance?");

/** Where a gate stops an eviction: the registry has not heard of it, or has done it and the answer is kept. */
export type Stop = "BeforeWrite" | "AfterWrite";

/** Stands between the operator and a registry that speaks HTTP, and can stop evictions at the last moment. Everything else passes. */
export class HttpGate {
  readonly #target: URL;
  readonly #stops: Stops;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #server: Server;
  readonly #held = new Set<Held>();
  #stop: Stop | undefined;

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
  arm(stop: Stop = "BeforeWrite"): void {
    this.#stop = stop;
  }

  /** From now on evictions pass; those that wait go on waiting. */
  disarm(): void {
    this.#stop = undefined;
  }

  /** Evictions that wait now. What a client that is gone had sent is gone with it. */
  get held(): number {
    return this.#held.size;
  }

  /** Lets them go on, to the registry or back from it, in the order they came. */
  release(): void {
    this.disarm();
    for (const goOn of this.#held) goOn();
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
    const stop = this.#stops({ method, url, body: arrived.body.toString() }) ? this.#stop : undefined;
    if (stop === "BeforeWrite") this.#hold(outgoing, () => this.#forward(arrived));
    else this.#forward(arrived, stop === "AfterWrite");
  }

  #hold(outgoing: ServerResponse, goOn: Held): void {
    this.#held.add(goOn);
    outgoing.once("close", () => this.#held.delete(goOn));
  }

  #forward({ incoming, outgoing, body }: Arrived, isAnswerHeld = false): void {
    const { hostname: host, port } = this.#target;
    const { method, url: path, headers } = incoming;
    const sent = request({ host, port, method, path, headers, agent: this.#agent }, (response) => {
      response.on("error", () => outgoing.destroy());
      const answer = (): void => {
        outgoing.writeHead(response.statusCode ?? 502, response.headers);
        response.pipe(outgoing);
      };
      if (isAnswerHeld) this.#hold(outgoing, answer);
      else answer();
    });
    sent.on("error", () => outgoing.destroy());
    outgoing.once("close", () => sent.destroy());
    sent.end(body);
  }
}
