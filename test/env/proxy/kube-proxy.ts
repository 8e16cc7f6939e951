import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { Agent, createServer, request as httpsRequest, type Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

import { stringify } from "yaml";

import { releasePorts, reservePorts } from "../ports.ts";
import { type Certificate, makeCertificate } from "./certificate.ts";
import { Exchange, type ProxyRequest } from "./exchange.ts";
import { BoundRule, type RuleOptions } from "./rules.ts";

/** An API server that a proxy stands before. */
export interface Backend {
  readonly url: string;
  /** Path of the certificate of its authority. */
  readonly caFile: string;
  /**
   * Sent instead of the client's token, for a backend that does not know the client. Not named `token`: a control plane
   * has one of those, its administrator's, and would hide what the client is not allowed to do.
   */
  readonly substituteToken?: string;
}

interface Route {
  readonly url: URL;
  readonly agent: Agent;
  readonly token: string | undefined;
}

/** Headers that belong to one connection; Node sets its own. */
const connectionHeaders = ["connection", "keep-alive", "transfer-encoding", "host"];

/**
 * Stands between a client and a kube-apiserver, with TLS on both sides, and does to single requests what networks,
 * overloaded and stale servers do. Without rules it changes nothing.
 */
export class KubeProxy {
  readonly #server: Server;
  readonly #rules = new Set<BoundRule>();
  readonly #exchanges = new Set<Exchange>();
  readonly #sockets = new Set<Duplex>();
  #route: Route;
  readonly #port: number;
  #certificate: Certificate;
  /** Every request that came, in order. */
  readonly requests: ProxyRequest[] = [];
  /** How many TLS connections were made to the proxy. */
  handshakes = 0;

  private constructor(backend: Backend, certificate: Certificate, port: number) {
    this.#route = openRoute(backend);
    this.#certificate = certificate;
    this.#port = port;
    this.#server = createServer({ cert: certificate.certificate, key: certificate.key }, (incoming, outgoing) => {
      void this.#serve(incoming, outgoing);
    });
    this.#server.keepAliveTimeout = 90_000;
    this.#server.requestTimeout = 0;
    this.#server.on("secureConnection", () => (this.handshakes += 1));
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  /** Starts a proxy on a port of 127.0.0.1 that stays its own, also while it refuses. */
  static async start(backend: Backend): Promise<KubeProxy> {
    const [port = 0] = await reservePorts(1);
    const proxy = new KubeProxy(backend, makeCertificate("perturbation proxy"), port);
    await proxy.listen();
    return proxy;
  }

  get url(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  /** PEM of the authority that clients must trust. */
  get ca(): string {
    return this.#certificate.certificate;
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
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** Puts a rule in force, also for the answers under way if it is not limited to certain requests. */
  rule(options: RuleOptions): BoundRule {
    const rule = new BoundRule(options, (gone) => this.#rules.delete(gone));
    this.#rules.add(rule);
    for (const exchange of this.#exchanges) if (rule.takesRunning(exchange.request)) exchange.rules.add(rule);
    return rule;
  }

  /** Breaks the connections of matching requests under way. */
  cut(match: (request: ProxyRequest) => boolean, how: "Reset" | "Close" = "Reset"): number {
    const found = [...this.#exchanges].filter((exchange) => match(exchange.request));
    for (const exchange of found) exchange.cut(how);
    return found.length;
  }

  /** Matching requests that came so far. */
  count(match: (request: ProxyRequest) => boolean): number {
    return this.requests.filter(match).length;
  }

  /** Matching requests under way. */
  running(match: (request: ProxyRequest) => boolean): number {
    return [...this.#exchanges].filter((exchange) => match(exchange.request)).length;
  }

  /** From now on requests go to another server; what is under way stays with the old one. */
  setBackend(backend: Backend): void {
    this.#route = openRoute(backend);
  }

  /** Presents a new certificate, of a new authority, to new connections. */
  rotateCertificate(): void {
    this.#certificate = makeCertificate("perturbation proxy, rotated");
    this.#server.setSecureContext({ cert: this.#certificate.certificate, key: this.#certificate.key });
  }

  /** Writes a kubeconfig whose server is this proxy. */
  writeKubeconfig(file: string, token: string): void {
    const data = Buffer.from(this.ca).toString("base64");
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "proxy", cluster: { server: this.url, "certificate-authority-data": data } }],
      users: [{ name: "admin", user: { token } }],
      contexts: [{ name: "proxy", context: { cluster: "proxy", user: "admin" } }],
      "current-context": "proxy",
    };
    writeFileSync(file, stringify(config), { mode: 0o600 });
  }

  /** Ends everything at once. */
  async stop(): Promise<void> {
    for (const rule of this.#rules) rule.remove();
    if (this.#server.listening) await this.refuse();
    this.#route.agent.destroy();
    releasePorts([this.#port]);
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const exchange = new Exchange(incoming, outgoing);
    this.requests.push(exchange.request);
    for (const rule of this.#rules) if (rule.takes(exchange.request)) exchange.rules.add(rule);
    this.#exchanges.add(exchange);
    incoming.on("error", () => undefined);
    outgoing.on("error", () => undefined);
    try {
      for (const rule of exchange.rules) if ((await rule.action.onRequest?.(exchange, rule)) === "Done") return;
      if (!outgoing.destroyed) await forward(exchange, this.#route);
    } catch {
      // The server broke the connection, or the client did: pass it on.
      exchange.cut("Close");
    } finally {
      this.#exchanges.delete(exchange);
    }
  }
}

function openRoute(backend: Backend): Route {
  return {
    url: new URL(backend.url),
    agent: new Agent({ keepAlive: true, ca: readFileSync(backend.caFile) }),
    token: backend.substituteToken,
  };
}

async function forward(exchange: Exchange, route: Route): Promise<void> {
  const { incoming, outgoing, request } = exchange;
  const headers = { ...incoming.headers };
  for (const name of connectionHeaders) Reflect.deleteProperty(headers, name);
  if (route.token !== undefined) headers.authorization = `Bearer ${route.token}`;
  const upstream = httpsRequest(new URL(incoming.url ?? "/", route.url), {
    agent: route.agent,
    method: request.method,
    headers,
  });
  let complete = false;
  void exchange.closed.then(() => {
    if (!complete) upstream.destroy();
  });
  upstream.on("error", () => undefined);
  incoming.pipe(upstream);
  const [response] = (await once(upstream, "response")) as [IncomingMessage];
  for (const rule of exchange.rules)
    if (!rule.isRemoved && (await rule.action.onHead?.(exchange, rule)) === "Done") return;
  const responseHeaders = { ...response.headers };
  for (const name of connectionHeaders) Reflect.deleteProperty(responseHeaders, name);
  if (exchange.lengthUnknown) delete responseHeaders["content-length"];
  outgoing.writeHead(response.statusCode ?? 502, responseHeaders);
  outgoing.flushHeaders();
  for await (const part of request.isWatch ? wholeLines(response) : response) {
    let current: Buffer | undefined = part as Buffer;
    for (const rule of exchange.rules) {
      if (rule.isRemoved || current === undefined) continue;
      const next: Buffer | undefined | "Done" =
        rule.action.onBody === undefined ? current : await rule.action.onBody(current, exchange, rule);
      if (next === "Done") return;
      current = next;
    }
    if (current === undefined) continue;
    exchange.forwarded += current.length;
    if (!outgoing.write(current)) await Promise.race([once(outgoing, "drain"), exchange.closed]);
    if (outgoing.destroyed) return;
  }
  complete = true;
  outgoing.end();
}

/** The lines of a stream, each with its newline. */
async function* wholeLines(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
      yield rest.subarray(0, end + 1);
      rest = rest.subarray(end + 1);
    }
  }
  if (rest.length > 0) yield rest;
}
