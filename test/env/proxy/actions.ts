import type { Exchange } from "./exchange.ts";
import type { Action } from "./rules.ts";

/** Answers in the server's place, with a `v1.Status` unless another body is given. */
export function answer(options: {
  readonly status: number;
  readonly reason?: string;
  readonly retryAfterSeconds?: number;
  readonly body?: unknown;
}): Action {
  const { status, reason = "", retryAfterSeconds } = options;
  const body = options.body ?? {
    kind: "Status",
    apiVersion: "v1",
    status: "Failure",
    code: status,
    reason,
    message: "by the proxy",
  };
  return {
    onRequest: async ({ outgoing }) => {
      outgoing.writeHead(status, {
        "content-type": "application/json",
        ...(retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) }),
      });
      outgoing.end(typeof body === "string" ? body : JSON.stringify(body));
      return Promise.resolve("Done");
    },
  };
}

/** Accepts a watch and sends these lines, then ends it, or leaves it open without another byte. */
export function answerWatch(lines: readonly unknown[], then: "End" | "Stay" = "End"): Action {
  return {
    onRequest: async (exchange) => {
      exchange.outgoing.writeHead(200, { "content-type": "application/json" });
      exchange.outgoing.flushHeaders();
      for (const line of lines) exchange.outgoing.write(typeof line === "string" ? line : `${JSON.stringify(line)}\n`);
      if (then === "End") exchange.outgoing.end();
      else await exchange.closed;
      return "Done";
    },
  };
}

/** Keeps requests, and the answers of those under way, until the rule is removed. */
export function hold(): Action {
  const wait = (exchange: Exchange, removed: Promise<undefined>): Promise<unknown> =>
    Promise.race([removed, exchange.closed]);
  return {
    onRequest: async (exchange, rule) => {
      await wait(exchange, rule.removed);
      return "Forward";
    },
    onBody: async (part, exchange, rule) => {
      await wait(exchange, rule.removed);
      return part;
    },
  };
}

/** Forwards the request and keeps the answer, its head included, until the rule is removed. */
export function holdAnswer(): Action {
  return {
    onHead: async (exchange, rule) => {
      await Promise.race([rule.removed, exchange.closed]);
      return "Forward";
    },
  };
}

/** Forwards each request and each part of an answer later. */
export function delay(milliseconds: number): Action {
  const wait = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));
  return {
    onRequest: async () => {
      await wait();
      return "Forward";
    },
    onBody: async (part) => {
      await wait();
      return part;
    },
  };
}

/**
 * The connection stays open and carries nothing any more: no answer to a new request, no further byte of an answer that
 * has begun. Removing the rule does not bring back what was lost.
 */
export function blackHole(): Action {
  return {
    onRequest: async (exchange) => {
      await exchange.closed;
      return "Done";
    },
    onBody: async (_part, exchange) => {
      await exchange.closed;
      return "Done";
    },
  };
}

/** As {@link blackHole}, but lets the answer's head and these many lines of a watch through. */
export function silenceAfter(lines: number): Action {
  const seen = new WeakMap<Exchange, number>();
  return {
    onBody: async (part, exchange) => {
      const count = (seen.get(exchange) ?? 0) + 1;
      seen.set(exchange, count);
      if (count <= lines) return part;
      await exchange.closed;
      return "Done";
    },
  };
}

/** Breaks the connection before the answer, or after so many bytes of its body (in the middle of a part, if need be). */
export function cut(options: { readonly how?: "Reset" | "Close"; readonly afterBytes?: number } = {}): Action {
  const { how = "Reset", afterBytes } = options;
  if (afterBytes === undefined)
    return {
      onRequest: (exchange) => {
        exchange.cut(how);
        return Promise.resolve("Done");
      },
    };
  return {
    onBody: async (part, exchange) => {
      const room = afterBytes - exchange.forwarded;
      if (part.length < room) return part;
      if (room > 0) await new Promise((resolve) => exchange.outgoing.write(part.subarray(0, room), resolve));
      exchange.cut(how);
      return "Done";
    },
  };
}

/** Ends the answer in good order after so many bytes, as a broken proxy would. */
export function truncate(afterBytes: number): Action {
  return {
    onHead: (exchange) => {
      exchange.lengthUnknown = true;
      return Promise.resolve("Forward");
    },
    onBody: async (part, exchange) => {
      const room = afterBytes - exchange.forwarded;
      if (part.length < room) return part;
      if (room > 0) await new Promise((resolve) => exchange.outgoing.write(part.subarray(0, room), resolve));
      exchange.outgoing.end();
      return "Done";
    },
  };
}

/** Swallows the events of a watch for which `drop` is true. */
export function dropEvents(drop: (event: WatchLine) => boolean): Action {
  return {
    onBody: (part, { request }) => {
      if (!request.isWatch) return Promise.resolve(part);
      return Promise.resolve(drop(JSON.parse(part.toString("utf8")) as WatchLine) ? undefined : part);
    },
  };
}

/** As much of a watch event as tests look at. */
export interface WatchLine {
  readonly type: string;
  readonly object: {
    readonly metadata: { readonly name: string; readonly uid: string; readonly resourceVersion: string };
  };
}
