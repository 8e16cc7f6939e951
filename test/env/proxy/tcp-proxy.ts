import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

import { releasePorts, reservePorts } from "../ports.ts";

type Direction = "ToServer" | "ToClient";

/** How a {@link TcpProxy} treats what flows through it. */
export type TcpMode =
  | { readonly kind: "Forward" }
  /** Bytes wait, in both directions unless one is named, and go on when the mode changes. */
  | { readonly kind: "Hold"; readonly direction?: Direction }
  /** Bytes are read and thrown away; connections stay open. What was lost stays lost. */
  | { readonly kind: "BlackHole" }
  /** Bytes go on this much later. */
  | { readonly kind: "Delay"; readonly milliseconds: number };

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

/**
 * Stands before any TCP server (gRPC, HTTP/2, TLS, all untouched) and does what networks do: hold, lose, delay, cut,
 * refuse, or lead to another server.
 */
export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #target: { host: string; port: number };
  readonly #port: number;
  #mode: TcpMode = { kind: "Forward" };
  #modeChanged = Promise.withResolvers<undefined>();
  /** Connections accepted so far. */
  connections = 0;

  private constructor(target: { host: string; port: number }, port: number) {
    this.#target = target;
    this.#port = port;
    this.#server = createServer({ noDelay: true }, (client) => {
      this.#accept(client);
    });
  }

  /** Starts a proxy on a port of 127.0.0.1 that stays its own, also while it refuses. */
  static async start(target: { host: string; port: number }): Promise<TcpProxy> {
    const [port = 0] = await reservePorts(1);
    const proxy = new TcpProxy(target, port);
    await proxy.listen();
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#pairs.size;
  }

  setMode(mode: TcpMode): void {
    this.#mode = mode;
    this.#modeChanged.resolve(undefined);
    this.#modeChanged = Promise.withResolvers();
  }

  /** New connections go there; the old ones stay. */
  setTarget(target: { host: string; port: number }): void {
    this.#target = target;
  }

  /** Breaks all connections: with a reset, or in good order. */
  cut(how: "Reset" | "Close" = "Reset"): void {
    for (const { client, server } of this.#pairs) {
      if (how === "Reset") client.resetAndDestroy();
      else client.destroy();
      server.destroy();
    }
  }

  /** Listens again after {@link refuse}, on the same port. */
  async listen(): Promise<void> {
    this.#server.listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
  }

  /** Breaks all connections and refuses new ones until {@link listen}. */
  async refuse(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.cut();
    await closed;
  }

  async stop(): Promise<void> {
    if (this.#server.listening) await this.refuse();
    releasePorts([this.#port]);
    this.setMode({ kind: "Forward" });
  }

  #accept(client: Socket): void {
    this.connections += 1;
    const server = connect({ ...this.#target, noDelay: true });
    const pair = { client, server };
    this.#pairs.add(pair);
    const end = (): void => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) socket.on("error", end).on("close", end);
    void this.#pump(client, server, "ToServer");
    void this.#pump(server, client, "ToClient");
  }

  #holds(direction: Direction): boolean {
    return this.#mode.kind === "Hold" && (this.#mode.direction ?? direction) === direction;
  }

  async #pump(from: Socket, to: Socket, direction: Direction): Promise<void> {
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        let lost = false;
        while (this.#holds(direction)) await this.#modeChanged.promise;
        if (this.#mode.kind === "BlackHole") lost = true;
        if (this.#mode.kind === "Delay") {
          const { milliseconds } = this.#mode;
          await new Promise((resolve) => setTimeout(resolve, milliseconds));
        }
        if (lost || to.destroyed) continue;
        if (!to.write(chunk)) await Promise.race([once(to, "drain"), once(to, "close")]);
      }
      if (!to.destroyed) to.end();
    } catch {
      to.destroy();
    }
  }
}
