import type { IncomingMessage, ServerResponse } from "node:http";

import type { BoundRule } from "./rules.ts";

/** A request as the rules see it. */
export interface ProxyRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly isWatch: boolean;
}

/** One request through the proxy and its answer. */
export class Exchange {
  readonly request: ProxyRequest;
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  /** Rules that matched when the request came or when they were made. */
  readonly rules = new Set<BoundRule>();
  /** Bytes of the answer's body that were forwarded. */
  forwarded = 0;
  /** The answer may become shorter: its length is not told beforehand. */
  lengthUnknown = false;
  /** Resolves when the client's connection or the answer has ended. */
  readonly closed: Promise<void>;

  constructor(incoming: IncomingMessage, outgoing: ServerResponse) {
    const url = new URL(incoming.url ?? "/", "https://proxy");
    this.request = {
      method: incoming.method ?? "GET",
      path: url.pathname,
      query: url.searchParams,
      isWatch: ["1", "true"].includes(url.searchParams.get("watch") ?? ""),
    };
    this.incoming = incoming;
    this.outgoing = outgoing;
    this.closed = new Promise((resolve) => outgoing.once("close", resolve));
  }

  /** Breaks the client's connection: with a reset, or as if the process on the other side had ended. */
  cut(how: "Reset" | "Close"): void {
    const { socket } = this.incoming;
    // A TLS socket can not reset; the TCP socket under it can.
    const tcp = (socket as unknown as { _parent?: { resetAndDestroy?: () => void } })._parent;
    if (how === "Reset" && tcp?.resetAndDestroy !== undefined) tcp.resetAndDestroy();
    else socket.destroy();
  }
}
