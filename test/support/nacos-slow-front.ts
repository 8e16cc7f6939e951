import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { request } from "undici";
import { onTestFinished } from "vitest";

/** Stands before a Nacos, and can keep a write on its way for as long as it likes. */
export interface SlowFront {
  readonly url: string;
  /** The next change of an instance waits for {@link release}, also when its sender gives up meanwhile. */
  holdNext(): void;
  /** Whether one waits. */
  readonly isHolding: boolean;
  /** Lets it go on to the server. Resolves when the server has answered. */
  release(): Promise<void>;
}

/** Until the end of the test. @param target the real server, `http://host:port` */
export async function startSlowFront(target: string): Promise<SlowFront> {
  let isArmed = false;
  let held: (() => Promise<void>) | undefined;
  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const { method = "GET", url = "/", headers } = incoming;
    const { connection: _connection, host: _host, "content-length": _length, ...kept } = headers;
    const body = Buffer.concat(chunks);
    const forward = async (): Promise<void> => {
      const passed = { method: method as "GET", headers: kept, ...(body.length > 0 && { body }) };
      const response = await request(`${target}${url}`, passed);
      const text = await response.body.text();
      const { "content-type": type = "application/json", date = "" } = response.headers;
      if (!outgoing.destroyed)
        outgoing.writeHead(response.statusCode, { "content-type": String(type), date: String(date) }).end(text);
    };
    if (isArmed && method === "PUT") {
      isArmed = false;
      held = forward;
    } else await forward();
  };
  const server = createServer((incoming, outgoing) => {
    serve(incoming, outgoing).catch(() => outgoing.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    holdNext: () => {
      isArmed = true;
    },
    get isHolding() {
      return held !== undefined;
    },
    release: async () => {
      const forward = held;
      held = undefined;
      await forward?.();
    },
  };
}
