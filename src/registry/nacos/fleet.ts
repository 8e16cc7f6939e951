import { RegistryError } from "../errors.ts";
import { NacosServer, type Reading, type ServerOptions } from "./server.ts";

/**
 * How many servers must answer. `Most`: more than half, for what a few say may be old. `All`: also one that is out of our
 * reach may be in that of a process that lives, and then be the only one that knows.
 */
export type Quorum = "Most" | "All";

/** All servers named as endpoints: each is asked, for each may say something else. */
export class Fleet {
  readonly servers: readonly NacosServer[];
  /** Why a server did not answer the last {@link read}, where the others were enough. */
  absence: Error | undefined;

  constructor(options: ServerOptions) {
    this.servers = options.connection.endpoints.map((endpoint) => new NacosServer(endpoint, options));
  }

  /** What all servers that answer list, in the order of the endpoints. @throws as {@link ask} does */
  async read(signal: AbortSignal): Promise<readonly [Reading, ...Reading[]]> {
    const { results, failures } = await this.#settle((server) => server.read(signal), signal, "Most");
    this.absence = failures[0];
    return results;
  }

  /**
   * Asks every server. So many must answer; and none may say that we are not let in.
   * @throws RegistryError, that of the first server that did not answer; or the signal's reason
   */
  async ask<Result>(
    question: (server: NacosServer) => Promise<Result>,
    signal: AbortSignal,
    quorum: Quorum = "Most",
  ): Promise<readonly [Result, ...Result[]]> {
    return (await this.#settle(question, signal, quorum)).results;
  }

  close(): void {
    for (const server of this.servers) server.close();
  }

  async #settle<Result>(
    question: (server: NacosServer) => Promise<Result>,
    signal: AbortSignal,
    quorum: Quorum,
  ): Promise<{ readonly results: readonly [Result, ...Result[]]; readonly failures: readonly Error[] }> {
    const settled = await Promise.allSettled(this.servers.map(question));
    signal.throwIfAborted();
    const results: Result[] = [];
    const failures: Error[] = [];
    for (const outcome of settled) {
      if (outcome.status === "fulfilled") results.push(outcome.value);
      else failures.push(outcome.reason as Error);
    }
    const grave = failures.find((failure) => !isAbsence(failure));
    if (grave !== undefined) throw grave;
    const [failure] = failures;
    const isEnough = quorum === "Most" && results.length * 2 > this.servers.length;
    if (failure !== undefined && !isEnough) throw failure;
    return { results: results as [Result, ...Result[]], failures };
  }
}

/** One server less is nothing that must be put right before anything can be done. */
function isAbsence(error: unknown): boolean {
  return error instanceof RegistryError && (error.code === "Unreachable" || error.code === "TimedOut");
}
