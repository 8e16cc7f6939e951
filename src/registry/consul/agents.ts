import { isIP } from "node:net";

import type { Clock, Timer } from "../../clock/clock.ts";
import { RegistryError } from "../errors.ts";
import { type ConsulClient, within } from "./client.ts";
import { isObject } from "./model.ts";
import type { AgentAddress, AgentRoute } from "./ownership.ts";

/**
 * How long an agent that did not answer counts as out of reach before it is tried again, milliseconds: the first time, and
 * at most, for it doubles with each time. One that was only busy is soon tried again.
 */
const BROKEN_FOR_MS = 5_000;
const LONGEST_BROKEN_MS = 60_000;

/** What is asked of an endpoint to know whose agent it is must not hold up the start, milliseconds. */
const SELF_TIMEOUT_MS = 2_000;

export interface AgentRoutesOptions {
  /** Port of every agent's HTTP API; undefined: only endpoints can be asked. */
  readonly port: number | undefined;
  /** Name expected in the certificates of agents that are reached over that port. */
  readonly serverName: string | undefined;
  readonly clock: Clock;
  /** What is known of the way to a node's agent has changed. */
  readonly onChange: (node: string) => void;
}

/** An agent did not answer. */
interface Break {
  readonly why: string;
  /** Milliseconds. */
  readonly lasts: number;
  /** It has lasted so long: the agent may be tried again. */
  isOver: boolean;
  /** Tells of its end. */
  readonly timer: Timer;
}

/**
 * The ways to agents: endpoints of the Registry that say that they are one, and, where a port is given, the address that
 * the catalog has for a node.
 */
export class AgentRoutes {
  readonly #options: AgentRoutesOptions;
  readonly #endpoints = new Map<string, string>();
  readonly #asked = new Set<string>();
  readonly #broken = new Map<string, Break>();
  #addresses: ReadonlyMap<string, string> = new Map();
  #scheme = "http";

  constructor(options: AgentRoutesOptions) {
    this.#options = options;
  }

  /** The nodes' addresses as the catalog has them now. */
  learnAddresses(nodes: readonly { readonly Node: string; readonly Address: string }[]): void {
    if (this.#options.port === undefined) return;
    this.#addresses = new Map(nodes.map(({ Node, Address }) => [Node, Address]));
  }

  /**
   * Asks the endpoints whose agents they are. One that does not say is asked again the next time.
   * @throws the signal's reason
   */
  async learnEndpoints(client: ConsulClient, signal: AbortSignal): Promise<void> {
    const { endpoints } = client;
    if (endpoints[0]?.startsWith("https:") === true) this.#scheme = "https";
    for (const known of [...this.#endpoints]) if (!endpoints.includes(known[1])) this.#endpoints.delete(known[0]);
    const unknown = endpoints.filter((endpoint) => !this.#asked.has(endpoint));
    await Promise.all(
      unknown.map((endpoint) => this.#ask(client.at({ url: endpoint, isDerived: false }), endpoint, signal)),
    );
  }

  routeTo(node: string): AgentRoute {
    const address = this.#addressOf(node);
    if (address === undefined) return { kind: "Unknown" };
    const broken = this.#broken.get(node);
    if (broken === undefined || broken.isOver) return { kind: "Open", address };
    return { kind: "Broken", why: broken.why };
  }

  /** The agent of the node did not answer. */
  broken(node: string, why: string): void {
    const { clock, onChange } = this.#options;
    const before = this.#broken.get(node);
    // Requests that were under way together fail together.
    if (before?.isOver === false) return;
    const lasts = before === undefined ? BROKEN_FOR_MS : Math.min(LONGEST_BROKEN_MS, before.lasts * 2);
    // Nothing else may happen in Consul by then that would have the entries looked at.
    const timer = clock.setTimer(() => {
      now.isOver = true;
      onChange(node);
    }, lasts);
    const now: Break = { why, lasts, isOver: false, timer };
    this.#broken.set(node, now);
    onChange(node);
  }

  answered(node: string): void {
    this.#broken.get(node)?.timer.cancel();
    this.#broken.delete(node);
  }

  /** Nothing is told any more. */
  close(): void {
    for (const { timer } of this.#broken.values()) timer.cancel();
  }

  #addressOf(node: string): AgentAddress | undefined {
    const endpoint = this.#endpoints.get(node);
    if (endpoint !== undefined) return { url: endpoint, isDerived: false };
    const { port, serverName } = this.#options;
    const address = this.#addresses.get(node);
    if (port === undefined || address === undefined || isIP(address) === 0) return undefined;
    const host = isIP(address) === 6 ? `[${address}]` : address;
    return { url: `${this.#scheme}://${host}:${String(port)}`, serverName, isDerived: true };
  }

  async #ask(client: ConsulClient, endpoint: string, signal: AbortSignal): Promise<void> {
    try {
      const call = within(SELF_TIMEOUT_MS, signal);
      const { body } = await client.send("agent.self", { method: "GET", path: "/agent/self" }, call);
      const config: unknown = isObject(body) ? body["Config"] : undefined;
      const node: unknown = isObject(config) ? config["NodeName"] : undefined;
      if (typeof node === "string" && node !== "") this.#endpoints.set(node, endpoint);
      this.#asked.add(endpoint);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof RegistryError)) throw error;
      // Whoever may not know keeps working, and reports what is kept by agents.
      if (error.code === "PermissionDenied") this.#asked.add(endpoint);
    } finally {
      client.close();
    }
  }
}
