import { RegistryError } from "../errors.ts";
import type { Membership } from "./api.ts";
import { NacosServer, type Reading, type ServerOptions } from "./server.ts";

/**
 * How many servers must answer. `Most`: more than half, for what a few say may be old. `All`: also one that is out of our
 * reach may be in that of a process that lives, and then be the only one that knows.
 */
export type Quorum = "Most" | "All";

/** All servers named as endpoints: each is asked, for each may say something else. */
export class Fleet {
  readonly servers: readonly NacosServer[];
  /** Why the last {@link read} is not what all servers say, where it is enough. */
  absence: string | undefined;

  constructor(options: ServerOptions) {
    this.servers = options.connection.endpoints.map((endpoint) => new NacosServer(endpoint, options));
  }

  /** What all servers that answer list, in the order of the endpoints. @throws as {@link ask} does */
  async read(signal: AbortSignal): Promise<readonly [Reading, ...Reading[]]> {
    const { results, failures } = await this.#settle((server) => server.read(signal), signal, "Most");
    this.absence = await this.#absence(failures, signal);
    return results;
  }

  /**
   * The server that keeps what HTTP registers at an address; undefined where any server takes it to that one.
   * @throws RegistryError as {@link ask} does, `PermissionDenied` where only an administrator is told; `SplitView` when
   *   servers name different ones; `Unreachable` when it is none of the endpoints
   */
  async keeperOf(
    address: { readonly ip: string; readonly port: number },
    signal: AbortSignal,
  ): Promise<NacosServer | undefined> {
    const ask = async (server: NacosServer): Promise<string | undefined> => {
      const api = await server.api(signal);
      return await api.keeper(address, server.call(signal));
    };
    const memberships = await this.#memberships(signal);
    // One that does not tell whether it is alone is taken to be.
    if (memberships.length === 1 && (memberships[0]?.members.length ?? 1) === 1) return undefined;
    const names = await this.ask(ask, signal, "All");
    const [keeper] = names;
    if (names.some((name) => name !== keeper))
      throw new RegistryError("SplitView", `the servers disagree on who keeps ${address.ip}:${String(address.port)}`);
    if (keeper === undefined) return undefined;
    const server = this.servers[memberships.findIndex((membership) => membership?.self === keeper)];
    if (server === undefined) throw new RegistryError("Unreachable", unnamedMessage(keeper));
    return server;
  }

  /**
   * Makes sure that every server of the cluster is among the endpoints: one that is not may be the only one that knows of
   * a process that lives. @throws RegistryError `Unreachable` when one is not; or as {@link ask} does
   */
  async requireAllNamed(signal: AbortSignal): Promise<void> {
    const unnamed = await this.#unnamed(signal);
    if (unnamed !== undefined) throw new RegistryError("Unreachable", unnamedMessage(unnamed));
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

  async #absence([failure]: readonly Error[], signal: AbortSignal): Promise<string | undefined> {
    if (failure !== undefined) return absentMessage(failure);
    try {
      const unnamed = await this.#unnamed(signal);
      return unnamed === undefined ? undefined : unnamedMessage(unnamed);
    } catch (error) {
      if (isAbsence(error)) return absentMessage(error);
      throw error;
    }
  }

  /** The cluster as each server knows it, in the order of the endpoints. */
  async #memberships(signal: AbortSignal): Promise<readonly [Membership | undefined, ...(Membership | undefined)[]]> {
    return await this.ask((server) => server.membership(signal), signal, "All");
  }

  /** A server of the cluster that is none of the endpoints. */
  async #unnamed(signal: AbortSignal): Promise<string | undefined> {
    const memberships = await this.#memberships(signal);
    const named = new Set(memberships.map((membership) => membership?.self));
    return memberships.flatMap((membership) => membership?.members ?? []).find((member) => !named.has(member));
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

function absentMessage({ message }: Error): string {
  return `${message}; nothing is taken out until every server answers: remove from spec.endpoints what is gone`;
}

function unnamedMessage(address: string): string {
  return `the server ${address} of its cluster is none of spec.endpoints; nothing is taken out until it is: name every server there`;
}

/** One server less is nothing that must be put right before anything can be done. */
function isAbsence(error: unknown): error is RegistryError {
  return error instanceof RegistryError && (error.code === "Unreachable" || error.code === "TimedOut");
}
