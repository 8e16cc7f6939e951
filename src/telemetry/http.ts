import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import type { Clock } from "../clock/clock.ts";
import { closeServer, IdleSockets, listen, parseBindAddress, type Started } from "../http/listener.ts";
import type { Logger } from "./log.ts";

/** One thing that must hold before traffic or work may come to this process. */
export interface ReadinessCheck {
  readonly name: string;
  /** Why it does not hold, for a person; undefined when it does. */
  readonly problem: string | undefined;
}

interface HttpOptions {
  /** Where /healthz and /readyz answer: `host:port`, `[v6]:port`, `:port` (every interface), or `0` for nowhere. */
  readonly probeAddress: string;
  /** Where /metrics answers, in the same forms. The same text as `probeAddress` makes one server of the two. */
  readonly metricsAddress: string;
  readonly ready: () => readonly ReadinessCheck[];
  readonly metrics: { readonly contentType: string; render(): Promise<string> };
  readonly clock: Clock;
  readonly log: Logger;
}

/** The running servers. */
export interface HttpService {
  /** The port really bound, undefined when switched off. */
  readonly probePort: number | undefined;
  readonly metricsPort: number | undefined;
  /** Takes no new connection, lets answers under way finish for `graceMs`, then breaks what is left. */
  close(graceMs: number): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

type Route = (verbose: boolean) => Answer | Promise<Answer>;

/** As the API server and controller-runtime: longer than a load balancer or Prometheus keeps an idle connection. */
const keepAliveMs = 90_000;
const headersMs = 32_000;
/** Probes and scrapes come from a handful of clients. */
const maxConnections = 128;

/**
 * Starts the endpoints for kubelet and Prometheus. /healthz says only that the event loop turns: restarting this
 * process would cure nothing else. /readyz answers 503 until every check holds.
 * @throws HygeiaError `BadBindAddress`, `ListenFailed`
 */
export async function serveHttp(options: HttpOptions): Promise<HttpService> {
  const probes = new Map<string, Route>([
    ["/healthz", (verbose) => report("healthz", [{ name: "ping", problem: undefined }], verbose)],
    ["/readyz", (verbose) => report("readyz", options.ready(), verbose)],
  ]);
  const scrapes = new Map<string, Route>([
    ["/metrics", async () => ({ ...ok(await options.metrics.render()), contentType: options.metrics.contentType })],
  ]);
  const servers: Started[] = [];
  const start = async (address: string, routes: Map<string, Route>): Promise<number | undefined> => {
    const where = parseBindAddress(address);
    if (where === undefined) return undefined;
    const server = createServer(
      { keepAliveTimeout: keepAliveMs, headersTimeout: headersMs, requestTimeout: headersMs },
      (request, response) => void respond(request, response, routes, options.log),
    );
    server.maxConnections = maxConnections;
    servers.push({ server, idle: new IdleSockets(server) });
    await listen(server, where, address);
    return (server.address() as AddressInfo).port;
  };
  const close = async (graceMs: number): Promise<void> => {
    await Promise.all(servers.map((started) => closeServer(started, graceMs, options.clock)));
  };

  try {
    if (options.probeAddress === options.metricsAddress) {
      const port = await start(options.probeAddress, new Map([...probes, ...scrapes]));
      return { probePort: port, metricsPort: port, close };
    }
    const probePort = await start(options.probeAddress, probes);
    return { probePort, metricsPort: await start(options.metricsAddress, scrapes), close };
  } catch (error) {
    await close(0);
    throw error;
  }
}

function ok(body: string): Answer {
  return { status: 200, contentType: "text/plain; charset=utf-8", body };
}

/** The text form that Kubernetes components use, so that people and tools can read it. */
function report(endpoint: string, checks: readonly ReadinessCheck[], verbose: boolean): Answer {
  const failed = checks.filter((check) => check.problem !== undefined);
  if (failed.length === 0 && !verbose) return ok("ok");
  const lines = checks.map((check) =>
    check.problem === undefined ? `[+]${check.name} ok` : `[-]${check.name} failed: ${check.problem}`,
  );
  lines.push(`${endpoint} check ${failed.length === 0 ? "passed" : "failed"}`, "");
  return { ...ok(lines.join("\n")), status: failed.length === 0 ? 200 : 503 };
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  routes: ReadonlyMap<string, Route>,
  log: Logger,
): Promise<void> {
  // Nobody reads a body here; without this a client that sends one would hold its connection.
  request.resume();
  const [path = "", query = ""] = (request.url ?? "").split("?", 2);
  const answer = await routeTo(request.method ?? "", path, new URLSearchParams(query).has("verbose"), routes, log);
  response.writeHead(answer.status, {
    "content-type": answer.contentType,
    "content-length": Buffer.byteLength(answer.body),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...(answer.status === 405 ? { allow: "GET, HEAD" } : {}),
  });
  response.end(request.method === "HEAD" ? undefined : answer.body);
}

async function routeTo(
  method: string,
  path: string,
  verbose: boolean,
  routes: ReadonlyMap<string, Route>,
  log: Logger,
): Promise<Answer> {
  const route = routes.get(path);
  if (route === undefined) return { ...ok("not found\n"), status: 404 };
  if (method !== "GET" && method !== "HEAD") return { ...ok("method not allowed\n"), status: 405 };
  try {
    return await route(verbose);
  } catch (error) {
    log.error({ err: error, path }, "an endpoint failed to answer");
    return { ...ok("internal error\n"), status: 500 };
  }
}
