import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

import { releasePorts, reservePorts } from "../env/ports.ts";

/**
 * What a Service is to its clients: one address, behind which each new connection goes to the next replica that takes it.
 * There is no network for Services where tests run.
 */
export class ServiceFront {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Clients' connections, by the ports of their replicas. */
  readonly #links = new Map<Socket, number>();
  #backends: () => readonly (number | undefined)[] = () => [];
  #next = 0;
  #silent = false;

  private constructor(port: number) {
    this.port = port;
    this.#server = createServer({ noDelay: true }, (client) => {
      this.#keep(client);
      if (this.#silent) return;
      const ports = this.#backends().filter((one) => one !== undefined);
      this.#forward(client, ports, ports.length);
    });
  }

  static async start(): Promise<ServiceFront> {
    const [port = 0] = await reservePorts(1);
    const front = new ServiceFront(port);
    front.#server.listen(port, "127.0.0.1");
    await once(front.#server, "listening");
    return front;
  }

  /** Asked for each connection: the ports of the replicas; one that is undefined does not listen. */
  setBackends(backends: () => readonly (number | undefined)[]): void {
    this.#backends = backends;
  }

  /** Takes connections and never answers on them, as a network that loses everything. */
  setSilent(silent: boolean): void {
    this.#silent = silent;
    this.cut();
  }

  /** How many clients still hold a connection to the replica at this port, alive or not. */
  connectionsTo(port: number): number {
    return [...this.#links.values()].filter((one) => one === port).length;
  }

  /** Breaks all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.#server.close();
    this.cut();
    await once(this.#server, "close");
    releasePorts([this.port]);
  }

  #forward(client: Socket, ports: readonly number[], tries: number): void {
    const port = ports[this.#next++ % Math.max(1, ports.length)];
    if (port === undefined || tries === 0) {
      client.destroy();
      return;
    }
    const server = connect({ host: "127.0.0.1", port, noDelay: true });
    this.#keep(server);
    server.once("connect", () => {
      this.#links.set(client, port);
      client.pipe(server).pipe(client);
      client.once("close", () => {
        this.#links.delete(client);
        server.destroy();
      });
      // As the kernel does for a process that was killed. The client may still send until it has heard of it.
      server.once("close", () => {
        client.unpipe(server);
        client.resume();
        client.end();
      });
    });
    server.once("error", () => {
      if (!server.connecting && server.bytesRead > 0) client.destroy();
      else this.#forward(client, ports, tries - 1);
    });
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => this.#sockets.delete(socket));
  }
}
