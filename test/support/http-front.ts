import { createServer, type IncomingHttpHeaders, type RequestListener } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";

import { request } from "undici";
import { onTestFinished } from "vitest";

/** One request as it arrived. */
export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface HttpFront {
  readonly url: string;
  readonly seen: readonly SeenRequest[];
  /** Statuses of the server's own answers. */
  readonly statuses: readonly number[];
  /** Answers every request to this path by itself. */
  answer(path: string, status: number, body: object): void;
  /** Answers the next request for which it holds with this status, and passes it to nobody. */
  refuseOnce(status: number, which: (request: SeenRequest) => boolean): void;
}

/** What a front changes of what passes it. */
export interface FrontChanges {
  /** What the server is asked instead. */
  readonly url?: (url: string) => string;
  /** What the client is told instead of these of the server's headers. */
  readonly headers?: (request: SeenRequest) => Readonly<Record<string, string>>;
}

/** Of a connection and not of an answer. */
const OF_CONNECTIONS: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "transfer-encoding",
  "content-length",
]);

/** Stands before a server until the end of the test, writes down what passes, and speaks TLS when it is told to. */
export async function startHttpFront(
  target: string,
  tls?: ServerOptions,
  changes: FrontChanges = {},
): Promise<HttpFront> {
  const seen: SeenRequest[] = [];
  const statuses: number[] = [];
  const refusals: { readonly status: number; readonly which: (request: SeenRequest) => boolean }[] = [];
  const answers = new Map<string, { readonly status: number; readonly body: object }>();
  const listener: RequestListener = (incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      const { method = "GET", url = "/", headers } = incoming;
      const arrived = { method, url, headers, body };
      seen.push(arrived);
      const refusal = refusals.findIndex(({ which }) => which(arrived));
      if (refusal >= 0) {
        outgoing.writeHead(refusals.splice(refusal, 1)[0]?.status ?? 500).end();
        return;
      }
      const own = answers.get(url.split("?")[0] ?? "");
      if (own !== undefined) {
        outgoing.writeHead(own.status, { "content-type": "application/json" }).end(JSON.stringify(own.body));
        return;
      }
      const { connection: _connection, host: _host, "content-length": _length, ...kept } = headers;
      const passed = { method: method as "GET", headers: kept, ...(body === "" ? {} : { body }) };
      request(`${target}${changes.url?.(url) ?? url}`, passed).then(
        async (response) => {
          statuses.push(response.statusCode);
          const given = Object.entries(response.headers).filter(([name]) => !OF_CONNECTIONS.has(name));
          const headers = { ...Object.fromEntries(given), ...changes.headers?.(arrived) };
          outgoing.writeHead(response.statusCode, headers).end(await response.body.text());
        },
        () => outgoing.destroy(),
      );
    });
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const scheme = tls === undefined ? "http" : "https";
  return {
    url: `${scheme}://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    seen,
    statuses,
    answer: (path, status, body) => answers.set(path, { status, body }),
    refuseOnce: (status, which) => refusals.push({ status, which }),
  };
}
