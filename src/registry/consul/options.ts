import type { Clock, Random } from "../../clock/clock.ts";
import type { BreakerRules } from "../breaker.ts";
import type { RegistryMetrics } from "../metrics.ts";

/** How to reach and trust one Consul datacenter: what endpoints and Secrets say. */
export interface ConsulConnection {
  /** `http://host:port` or `https://host:port` of servers or agents, all of one scheme. */
  readonly endpoints: readonly string[];
  readonly tls?: ConsulTLS | undefined;
  /** Secret of an ACL token; goes into a header, never into a URL. */
  readonly token?: string | undefined;
}

export interface ConsulTLS {
  /** PEM; the system's authorities without it. */
  readonly ca?: Buffer | undefined;
  /** PEM, both or none. */
  readonly certificate?: Buffer | undefined;
  readonly key?: Buffer | undefined;
  /** Name expected in the server's certificate instead of the endpoint's host. */
  readonly serverName?: string | undefined;
}

/** Which part of a Consul federation is meant; goes with every request. */
export interface ConsulScope {
  /** Undefined: the datacenter of the endpoint. */
  readonly datacenter?: string | undefined;
  /** Consul Enterprise only. */
  readonly namespace?: string | undefined;
  /** Consul Enterprise only. */
  readonly partition?: string | undefined;
}

export interface ConsulAdapterOptions {
  /** Name of the Registry object. */
  readonly name: string;
  readonly connection: ConsulConnection;
  readonly scope: ConsulScope;
  /** Services whose name begins with one of these are read; all when empty. */
  readonly servicePrefixes: readonly string[];
  /** Where our own keys go, without the slash at the end. */
  readonly recordPrefix: string;
  /**
   * Port of the HTTP API of every node's agent, over which entries of living agents are removed; undefined: only entries
   * of an agent that is itself an endpoint can be.
   */
  readonly agentPort?: number | undefined;
  /** Name expected in the agents' certificates; their addresses without it. */
  readonly agentServerName?: string | undefined;
  /** UID of the kube-system namespace: names our corner under the record prefix. */
  readonly clusterUid: string;
  /** Names this adapter among those of all replicas; part of a key. */
  readonly holder: string;
  readonly breaker: BreakerRules;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: RegistryMetrics;
  readonly timing?: Partial<ConsulTiming> | undefined;
}

/** Milliseconds. */
export interface ConsulTiming {
  /** Between two canaries, jittered by a fifth. A verdict needs a view younger than 15 s: seven tries. */
  readonly canaryEvery: number;
  /** Deadline of a call that does not wait for changes. */
  readonly callTimeout: number;
  /** Deadline of a complete list. */
  readonly listTimeout: number;
  /** How long one blocking query waits for a change. */
  readonly waitFor: number;
  /** Between two complete compares with the registry. */
  readonly compareEvery: number;
  /** Wait before the first reconnect; doubles up to `reconnectMax`, jittered. */
  readonly reconnectMin: number;
  readonly reconnectMax: number;
  /**
   * Consul forgets the canary one to two of these after its last renewal, 10 s to 24 h. A server that stands still for
   * longer and goes on forgets it at once, and with it what shows that the data is what it was: so far beyond any outage
   * that is to cost nothing.
   */
  readonly canarySessionTtl: number;
}

export const DEFAULT_TIMING: ConsulTiming = {
  canaryEvery: 2_000,
  callTimeout: 3_000,
  listTimeout: 20_000,
  waitFor: 60_000,
  compareEvery: 300_000,
  reconnectMin: 100,
  reconnectMax: 5_000,
  canarySessionTtl: 900_000,
};
