/** How a server of this process begins to listen and how it ends. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";
import { Server as TlsServer } from "node:tls";

import type { Clock } from "../clock/clock.ts";
import { HygeiaError } from "../errors.ts";

/** A server with what tells its idle connections. */
export interface Started {
  readonly server: Server | HttpsServer;
  readonly idle: IdleSockets;
}

/** Where to listen. */
export interface BindAddress {
  /** Undefined for every interface. */
  readonly host: string | undefined;
  readonly port: number;
}

/**
 * Reads `host:port`, `[v6]:port` or `:port` (every interface); undefined for `0`, which means nowhere.
 * @throws HygeiaError `BadBindAddress`
 */
export function parseBindAddress(text: string): BindAddress | undefined {
  if (text === "0") return undefined;
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new HygeiaError(
      "BadBindAddress",
      `"${text}" is no address to listen at: use host:port, :port, or 0 for none`,
    );
  const host = match[1] ?? match[2];
  return { host: host === "" ? undefined : host, port };
}

/**
 * Resolves when the server listens.
 * @param text the address as it was written, for the message
 * @throws HygeiaError `ListenFailed`
 */
export async function listen(server: Server | HttpsServer, where: BindAddress, text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) =>
      reject(new HygeiaError("ListenFailed", `cannot listen at "${text}": ${error.message}`, { cause: error })),
    );
    server.listen({ port: where.port, ...(where.host === undefined ? {} : { host: where.host }) }, resolve);
  });
}

/** Connections on which no answer is under way; Node counts only those that have had a first request. */
export class IdleSockets {
  readonly #idle = new Set<Socket>();
  #closing = false;

  constructor(server: Server | HttpsServer) {
    // Under TLS requests come through the socket that the handshake made.
    const ready = server instanceof TlsServer ? "secureConnection" : "connection";
    server.on(ready, (socket: Socket) => {
      this.#release(socket);
      socket.once("close", () => this.#idle.delete(socket));
    });
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      this.#idle.delete(request.socket);
      response.once("close", () => this.#release(request.socket));
    });
  }

  /** Breaks them, and from now on each as soon as it falls idle. */
  close(): void {
    this.#closing = true;
    for (const socket of this.#idle) socket.destroy();
  }

  #release(socket: Socket): void {
    if (this.#closing) socket.end();
    else if (!socket.destroyed) this.#idle.add(socket);
  }
}

/** Takes no new connection, lets answers under way finish for `graceMs`, then breaks what is left. */
export async function closeServer({ server, idle }: Started, graceMs: number, clock: Clock): Promise<void> {
  if (!server.listening) return;
  await new Promise<void>((resolve) => {
    const grace = clock.setTimer(() => server.closeAllConnections(), graceMs);
    server.close(() => {
      grace.cancel();
      resolve();
    });
    idle.close();
  });
}
