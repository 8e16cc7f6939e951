import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";

import type { Clock } from "../clock/clock.ts";
import { Deadline } from "../clock/deadline.ts";
import { closeServer, IdleSockets, listen, parseBindAddress } from "../http/listener.ts";
import { HygeiaError } from "../errors.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { KeyPair } from "./certificates/key-pair.ts";
import { review, reviewReasons, type Reviewed, type ReviewParts } from "./review.ts";

/** The path that the MutatingWebhookConfiguration names. */
export const WEBHOOK_PATH = "/mutate-pods";

export interface WebhookServerOptions extends ReviewParts {
  /** `host:port`, `[v6]:port` or `:port` (every interface). */
  readonly address: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "admission">;
  /** Until a request must have been read and answered, in milliseconds. Default 1.5 s: the API server waits for 2. */
  readonly deadlineMs?: number;
  /** Longest body that is read. Default 7 MiB, as controller-runtime; the API server takes no object above 3 MiB. */
  readonly maxBodyBytes?: number;
}

/** The API server drops an idle connection after 90 s: it must never find one that was dropped here. */
const keepAliveMs = 95_000;
const handshakeMs = 5_000;
/** One API server keeps a few dozen connections; beyond this something is wrong. */
const maxConnections = 1_024;

/** Why a request got no review. */
type Refusal = "Deadline" | "TooLarge" | "Aborted" | "NoWebhookRequest";

/**
 * The HTTPS server that the API server asks about new pods. It begins to listen with the first certificate; a later one
 * takes its place for new connections, and those that stand end with their next answer. Each answer comes from memory.
 */
export class WebhookServer {
  readonly #options: WebhookServerOptions;
  #server: Server | undefined;
  #idle: IdleSockets | undefined;
  #listening = false;
  /** Connections made under the certificate that is served now. */
  #current = new WeakSet<object>();
  #isDraining = false;
  #closed = false;

  /** @throws HygeiaError `BadBindAddress` */
  constructor(options: WebhookServerOptions) {
    this.#options = options;
    if (parseBindAddress(options.address) === undefined)
      throw new HygeiaError("BadBindAddress", "the webhook needs an address to listen at; --admission=none is off");
  }

  /** The port really bound; undefined while it does not listen. */
  get port(): number | undefined {
    return this.#listening ? (this.#server?.address() as AddressInfo).port : undefined;
  }

  /** Where this process can reach itself; undefined while it does not listen. */
  get reachableAt(): { readonly host: string; readonly port: number } | undefined {
    if (!this.#listening) return undefined;
    const { address, port } = this.#server?.address() as AddressInfo;
    const host = address === "0.0.0.0" ? "127.0.0.1" : address === "::" ? "::1" : address;
    return { host, port };
  }

  /**
   * Serves with this certificate from now on. Resolves when the server listens.
   * @throws HygeiaError `ListenFailed`
   */
  async use({ certificate, privateKey }: KeyPair): Promise<void> {
    if (this.#closed) return;
    if (this.#server !== undefined) {
      this.#server.setSecureContext({ cert: certificate, key: privateKey, minVersion: "TLSv1.2" });
      this.#current = new WeakSet();
      return;
    }
    const { address } = this.#options;
    const where = parseBindAddress(address);
    if (where === undefined) return;
    const server = createServer(
      {
        cert: certificate,
        key: privateKey,
        minVersion: "TLSv1.2",
        handshakeTimeout: handshakeMs,
        keepAliveTimeout: keepAliveMs,
        headersTimeout: handshakeMs,
        requestTimeout: handshakeMs,
        connectionsCheckingInterval: 1_000,
        noDelay: true,
      },
      (request, response) => void this.#respond(request, response),
    );
    server.maxConnections = maxConnections;
    server.on("tlsClientError", (error: NodeJS.ErrnoException, socket: TLSSocket) => {
      this.#options.metrics.admission.tlsErrors.inc({ reason: tlsReasonOf(error) });
      socket.destroy();
    });
    server.on("secureConnection", (socket: TLSSocket) => this.#current.add(socket));
    this.#server = server;
    this.#idle = new IdleSockets(server);
    await listen(server, where, address);
    this.#listening = true;
  }

  /** From now on each connection ends with its next answer, so that the API server turns to other replicas by itself. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Takes no new connection, lets answers under way finish for `graceMs`, then breaks what is left. */
  async close(graceMs: number): Promise<void> {
    this.#closed = true;
    this.#listening = false;
    if (this.#server === undefined || this.#idle === undefined) return;
    await closeServer({ server: this.#server, idle: this.#idle }, graceMs, this.#options.clock);
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { clock, log, metrics } = this.#options;
    const startedAt = clock.monotonic();
    const status = refusalOf(request);
    if (status !== undefined) {
      request.resume();
      metrics.admission.requests.inc({ result: "Failed", reason: "NoWebhookRequest" satisfies Refusal });
      response.writeHead(status, { "content-length": 0, ...(status === 405 ? { allow: "POST" } : {}) }).end();
      return;
    }
    try {
      const body = await this.#read(request);
      if (typeof body !== "object") {
        metrics.admission.requests.inc({ result: "Failed", reason: body });
        // What was not read would be taken for the next request.
        response.writeHead(body === "TooLarge" ? 413 : 408, { "content-length": 0, connection: "close" });
        response.end(() => request.destroy());
        return;
      }
      const reviewed = review(body.text, this.#options);
      this.#count(reviewed);
      const text = JSON.stringify(reviewed.answer);
      response.writeHead(200, {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(text),
        // One made under an older certificate ends with this answer: what can not be trusted any more shows early.
        ...(this.#isDraining || !this.#current.has(request.socket) ? { connection: "close" } : {}),
      });
      response.end(text);
    } catch (error) {
      log.error({ err: error }, "the webhook failed to answer; the pod is created unchanged");
      metrics.admission.requests.inc({ result: "Failed", reason: "Exception" });
      request.destroy();
    }
    metrics.admission.seconds.observe((clock.monotonic() - startedAt) / 1000);
  }

  /** Reads the body whole, or says why not. */
  async #read(request: IncomingMessage): Promise<{ readonly text: string } | Refusal> {
    const { clock, deadlineMs = 1_500, maxBodyBytes = 7 * 1024 * 1024 } = this.#options;
    if (Number(request.headers["content-length"] ?? 0) > maxBodyBytes) return "TooLarge";
    using deadline = new Deadline(clock, deadlineMs, "a webhook request");
    const { signal } = deadline;
    return await new Promise((resolve) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      signal.addEventListener("abort", () => resolve("Deadline"), { once: true });
      request.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > maxBodyBytes) {
          request.pause();
          resolve("TooLarge");
        } else chunks.push(chunk);
      });
      request.once("end", () => resolve({ text: Buffer.concat(chunks, bytes).toString("utf8") }));
      request.once("close", () => resolve("Aborted"));
      request.once("error", () => resolve("Aborted"));
    });
  }

  #count({ reason, mutation, error }: Reviewed): void {
    const { admission } = this.#options.metrics;
    admission.requests.inc({ result: reviewReasons[reason], reason });
    for (const skipped of mutation?.skipped ?? [])
      admission.skipped.inc({ part: skipped.part, reason: skipped.reason });
    if (error !== undefined)
      this.#options.log.error({ err: error }, "a pod could not be judged and is created unchanged");
  }
}

/** The HTTP status for what is no call of our webhook. */
function refusalOf(request: IncomingMessage): number | undefined {
  const [path] = (request.url ?? "").split("?", 1);
  if (path !== WEBHOOK_PATH) return 404;
  return request.method === "POST" ? undefined : 405;
}

/** Whether the other side did not trust our certificate, which is worth an alert, or anything else. */
function tlsReasonOf({ code = "" }: NodeJS.ErrnoException): "CertificateRefused" | "Other" {
  return /ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_EXPIRED|CERTIFICATE_UNKNOWN|UNSUPPORTED_CERTIFICATE)/.test(code)
    ? "CertificateRefused"
    : "Other";
}
