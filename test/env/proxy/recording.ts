import type { Exchange } from "./exchange.ts";
import type { Action } from "./rules.ts";

interface RecordedAnswer {
  readonly key: string;
  readonly parts: Buffer[];
}

/** Answers that went through the proxy, kept to be given again later, as an API server would that has fallen behind. */
export class Recording {
  readonly #answers = new Map<Exchange, RecordedAnswer>();

  /** Records every answer of the requests that the rule matches. */
  readonly recorder: Action = {
    onBody: (part, exchange) => {
      let recorded = this.#answers.get(exchange);
      if (recorded === undefined) this.#answers.set(exchange, (recorded = { key: keyOf(exchange), parts: [] }));
      recorded.parts.push(part);
      return Promise.resolve(part);
    },
  };

  /**
   * Answers with what the same kind of request (path, list or watch, limit) was answered first. A watch stays open after
   * its last recorded line; what was never recorded is forwarded.
   */
  readonly player: Action = {
    onRequest: async (exchange) => {
      const key = keyOf(exchange);
      const recorded = this.#answers.values().find((answer) => answer.key === key);
      if (recorded === undefined) return "Forward";
      exchange.outgoing.writeHead(200, { "content-type": "application/json" });
      for (const part of recorded.parts) exchange.outgoing.write(part);
      if (exchange.request.isWatch) await exchange.closed;
      else exchange.outgoing.end();
      return "Done";
    },
  };

  /** How many answers are kept. */
  get size(): number {
    return this.#answers.size;
  }
}

function keyOf({ request }: Exchange): string {
  const { path, isWatch, query } = request;
  return JSON.stringify([path, isWatch, isWatch ? null : query.get("limit"), query.get("continue")]);
}
