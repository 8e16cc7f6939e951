import type { Clock, Random } from "../../clock/clock.ts";
import type { BreakerRules } from "../breaker.ts";
import type { RegistryMetrics } from "../metrics.ts";

/** How to reach and trust one Nacos cluster: what endpoints and Secrets say. */
export interface NacosConnection {
  /** `http://host:port` or `https://host:port`, all of one scheme; each is one server of the cluster. */
  readonly endpoints: readonly string[];
  readonly tls?: NacosTLS | undefined;
  /** Goes into the body of a login, and nowhere else. */
  readonly login?: NacosLogin | undefined;
}

export interface NacosLogin {
  readonly username: string;
  readonly password: string;
}

export interface NacosTLS {
  /** PEM; the system's authorities without it. */
  readonly ca?: Buffer | undefined;
  /** PEM, both or none. */
  readonly certificate?: Buffer | undefined;
  readonly key?: Buffer | undefined;
  /** Name expected in the server's certificate instead of the endpoint's host. */
  readonly serverName?: string | undefined;
}

/** Which instances of a Nacos cluster are meant. */
export interface NacosScope {
  /** Id of the namespace; `public` is the one that is always there. */
  readonly namespace: string;
  /** Only these groups; all when empty. */
  readonly groups: readonly string[];
  /** Only services whose name begins with one of these; all when empty. */
  readonly servicePrefixes: readonly string[];
}

export interface NacosAdapterOptions {
  /** Name of the Registry object. */
  readonly name: string;
  readonly connection: NacosConnection;
  readonly scope: NacosScope;
  readonly breaker: BreakerRules;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: RegistryMetrics;
  readonly timing?: Partial<NacosTiming> | undefined;
}

/** Milliseconds. */
export interface NacosTiming {
  /** Between two lists, jittered by a fifth, where they are quick; slow ones are further apart. */
  readonly pollEvery: number;
  /** Deadline of a call. */
  readonly callTimeout: number;
  /** Deadline of one page of a list. */
  readonly listTimeout: number;
  /**
   * A server's lists may lag behind its writes for so long: it renews them 500 ms after a change (`pushTaskDelay`), and up
   * to 100 ms later.
   */
  readonly listLag: number;
  /** A change that one server took reaches the others within so long, when all is well. */
  readonly syncLag: number;
  /** Servers that still disagree on an instance after so long are split. */
  readonly splitAfter: number;
  /** Who registered a service is asked again after so long, even where nothing seems to have changed. */
  readonly recheckEvery: number;
  /** Wait before the next try after trouble; doubles up to `retryMax`, jittered. */
  readonly retryMin: number;
  readonly retryMax: number;
}

export const DEFAULT_TIMING: NacosTiming = {
  pollEvery: 1_000,
  callTimeout: 3_000,
  listTimeout: 20_000,
  listLag: 1_000,
  syncLag: 2_000,
  splitAfter: 10_000,
  recheckEvery: 30_000,
  retryMin: 100,
  retryMax: 5_000,
};
