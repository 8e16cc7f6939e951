import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

import { Pool } from "undici";

/** How to reach an apiserver, and as whom. */
export interface KubeAccess {
  readonly url: string;
  /** Path of the PEM file with the authority of the apiserver's certificate. */
  readonly caFile: string;
  /** Bearer token. */
  readonly token: string;
}

/** The parts of any Kubernetes object that tests read. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
}

export interface KubeList<Item = KubeObject> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly Item[];
}

/** One event of a watch. */
export interface KubeEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: KubeObject;
}

/** The apiserver answered with an error. */
export class KubeApiError extends Error {
  /** HTTP status. */
  readonly status: number;
  /** Kubernetes' own word for it, such as `AlreadyExists`. */
  readonly reason: string;

  constructor(request: string, status: number, reason: string, message: string) {
    super(`${request}: ${status} ${reason}: ${message}`);
    this.name = "KubeApiError";
    this.status = status;
    this.reason = reason;
  }
}

export type Query = Readonly<Record<string, string | number | boolean>>;

/** Content types of a patch. */
export type PatchType = "application/merge-patch+json" | "application/json-patch+json" | "application/apply-patch+yaml";

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** How long one call may take, in milliseconds. */
const DEADLINE = 30_000;

/**
 * Calls an apiserver by path, without the operator's own transport: what tests prepare and check must not depend on
 * what they test.
 */
export class KubeClient {
  readonly #pool: Pool;
  readonly #authorization: string;

  /** @param connections how many requests run at a time; further ones wait */
  constructor(access: KubeAccess, connections = 32) {
    this.#pool = new Pool(access.url, { connections, connect: { ca: readFileSync(access.caFile) } });
    this.#authorization = `Bearer ${access.token}`;
  }

  /** @throws KubeApiError */
  async get<Answer = KubeObject>(path: string, query: Query = {}): Promise<Answer> {
    return this.#call("GET", path, query);
  }

  /**
   * The object, or undefined when it is not there.
   * @throws KubeApiError
   */
  async find<Answer = KubeObject>(path: string): Promise<Answer | undefined> {
    return this.#unless(404, this.get<Answer>(path));
  }

  /**
   * All objects of a collection, page by page.
   * @throws KubeApiError
   */
  async list<Item = KubeObject>(path: string, query: Query = {}): Promise<Item[]> {
    const items: Item[] = [];
    let next = "";
    do {
      const page = await this.get<KubeList<Item>>(path, { limit: 500, ...query, ...(next && { continue: next }) });
      items.push(...page.items);
      next = page.metadata.continue ?? "";
    } while (next !== "");
    return items;
  }

  /**
   * What has happened in a collection since a resourceVersion, up to about now.
   * @throws KubeApiError
   */
  async watch(path: string, resourceVersion: string): Promise<KubeEvent[]> {
    const text = await this.#text("GET", path, { watch: true, resourceVersion, timeoutSeconds: 1 });
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as KubeEvent);
  }

  /** @throws KubeApiError */
  async create<Answer = KubeObject>(path: string, body: object, query: Query = {}): Promise<Answer> {
    return this.#call("POST", path, query, body);
  }

  /**
   * What the API server warns of when this is created.
   * @throws KubeApiError
   */
  async warningsOf(path: string, body: object, query: Query = {}): Promise<string[]> {
    const { warnings } = await this.#send("POST", path, query, body);
    return warnings;
  }

  /** @throws KubeApiError */
  async replace<Answer = KubeObject>(path: string, body: object): Promise<Answer> {
    return this.#call("PUT", path, {}, body);
  }

  /** @throws KubeApiError */
  async patch<Answer = KubeObject>(
    path: string,
    body: object,
    type: PatchType = "application/merge-patch+json",
    query: Query = {},
  ): Promise<Answer> {
    return this.#call("PATCH", path, query, body, type);
  }

  /**
   * Deletes an object (or, by a collection's path, all of them); one that is not there is no error.
   * @param options fields of Kubernetes' DeleteOptions
   * @throws KubeApiError
   */
  async delete(path: string, options: object = {}): Promise<void> {
    await this.#unless(404, this.#call("DELETE", path, {}, options));
  }

  /** Ends the connections. */
  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  async #unless<Answer>(status: number, call: Promise<Answer>): Promise<Answer | undefined> {
    try {
      return await call;
    } catch (error) {
      if (error instanceof KubeApiError && error.status === status) return undefined;
      throw error;
    }
  }

  async #call<Answer>(
    method: Method,
    path: string,
    query: Query,
    body?: object,
    contentType?: string,
  ): Promise<Answer> {
    return JSON.parse(await this.#text(method, path, query, body, contentType)) as Answer;
  }

  async #text(method: Method, path: string, query: Query, body?: object, contentType?: string): Promise<string> {
    return (await this.#send(method, path, query, body, contentType)).text;
  }

  async #send(
    method: Method,
    path: string,
    query: Query,
    body?: object,
    contentType = "application/json",
  ): Promise<{ readonly text: string; readonly warnings: string[] }> {
    const signal = AbortSignal.timeout(DEADLINE);
    for (;;) {
      const response = await this.#pool.request({
        method,
        path,
        query,
        signal,
        headers: { authorization: this.#authorization, accept: "application/json", "content-type": contentType },
        body: body === undefined ? null : JSON.stringify(body),
      });
      const text = await response.body.text();
      if (response.statusCode < 300) return { text, warnings: readWarnings(response.headers["warning"]) };
      if (response.statusCode === 429 && response.headers["retry-after"] !== undefined) {
        await delay(Number(response.headers["retry-after"]) * 1000, undefined, { signal });
        continue;
      }
      const { reason, message } = readStatus(text);
      throw new KubeApiError(`${method} ${path}`, response.statusCode, reason, message);
    }
  }
}

/** A Kubernetes `Status` object, where the answer is one. */
function readStatus(text: string): { reason: string; message: string } {
  try {
    const status = JSON.parse(text) as { reason?: string; message?: string };
    return { reason: status.reason ?? "", message: status.message ?? text };
  } catch {
    return { reason: "", message: text };
  }
}

/** Texts of `Warning: 299 - "TEXT"` headers, which come in one line or in several. */
function readWarnings(header: string | string[] | undefined): string[] {
  const found = [header ?? []]
    .flat()
    .join(", ")
    .matchAll(/299 \S+ "((?:[^"\\]|\\.)*)"/gs);
  return [...found].map(([, text = ""]) => text.replaceAll(/\\(.)/gs, "$1"));
}
