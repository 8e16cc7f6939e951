import type { Clock, Random } from "../../clock/clock.ts";
import type { BreakerRules } from "../breaker.ts";
import type { RegistryMetrics } from "../metrics.ts";
import type { LayoutRule } from "./layouts/layout-set.ts";

/** How to reach and trust one etcd cluster: what endpoints and Secrets say. */
export interface EtcdConnection {
  /** `http://host:port` or `https://host:port`, all of one scheme. */
  readonly endpoints: readonly string[];
  readonly tls?: EtcdTLS | undefined;
  readonly credentials?: EtcdCredentials | undefined;
}

export interface EtcdTLS {
  /** PEM; the system's authorities without it. */
  readonly ca?: Buffer | undefined;
  /** PEM, both or none. */
  readonly certificate?: Buffer | undefined;
  readonly key?: Buffer | undefined;
  /** Name expected in the server's certificate instead of the endpoint's host. */
  readonly serverName?: string | undefined;
}

export interface EtcdCredentials {
  readonly username: string;
  readonly password: string;
}

export interface EtcdAdapterOptions {
  /** Name of the Registry object. */
  readonly name: string;
  readonly connection: EtcdConnection;
  readonly layouts: readonly LayoutRule[];
  /** Where our own keys go, without the slash at the end; lies in no layout's prefix. */
  readonly recordPrefix: string;
  /** UID of the kube-system namespace: names our corner under the record prefix. */
  readonly clusterUid: string;
  /** Names this adapter among those of all replicas; part of a key. */
  readonly holder: string;
  readonly breaker: BreakerRules;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: RegistryMetrics;
  readonly timing?: Partial<EtcdTiming> | undefined;
  /** Whether a server of this version orders its progress answers; {@link ordersProgress} without it. */
  readonly ordersProgress?: ((version: string) => boolean) | undefined;
}

/** Milliseconds. */
export interface EtcdTiming {
  /** Between two canaries, jittered by a fifth. A verdict needs a view younger than 15 s: seven tries. */
  readonly canaryEvery: number;
  /** Deadline of a unary call. */
  readonly callTimeout: number;
  /** Deadline of one page of a list. */
  readonly pageTimeout: number;
  /** Between two complete compares with the registry. */
  readonly compareEvery: number;
  /** Wait before the first reconnect; doubles up to `reconnectMax`, jittered. */
  readonly reconnectMin: number;
  readonly reconnectMax: number;
}

export const DEFAULT_TIMING: EtcdTiming = {
  canaryEvery: 2_000,
  callTimeout: 3_000,
  pageTimeout: 15_000,
  compareEvery: 300_000,
  reconnectMin: 100,
  reconnectMax: 5_000,
};
