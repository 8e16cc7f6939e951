import { parseDuration, type RegistrySpec } from "../../api/v1alpha1/index.ts";
import type { Clock, Random } from "../../clock/clock.ts";
import { HygeiaError } from "../../errors.ts";
import { ConsulAdapter } from "../../registry/consul/adapter.ts";
import type { ConsulConnection } from "../../registry/consul/options.ts";
import { EtcdAdapter } from "../../registry/etcd/adapter.ts";
import type { EtcdConnection } from "../../registry/etcd/options.ts";
import type { RegistryMetrics } from "../../registry/metrics.ts";
import { NacosAdapter } from "../../registry/nacos/adapter.ts";
import type { NacosConnection } from "../../registry/nacos/options.ts";
import type { RegistryAdapter } from "../../registry/port.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { Credentials } from "./secrets.ts";

/** An adapter, and the way to hand it other credentials while it runs. */
export interface MadeAdapter {
  readonly adapter: RegistryAdapter;
  reconfigure(credentials: Credentials): void;
}

/**
 * Makes the adapter for a Registry's spec. Connects to nothing.
 * @throws an Error whose message says what in the spec can not be used
 */
export type AdapterFactory = (
  name: string,
  spec: RegistrySpec,
  credentials: Credentials,
  clusterUid: string,
) => MadeAdapter;

export interface AdapterContext {
  /** Names this process among the replicas. */
  readonly holder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Pick<Metrics, "registry">;
}

/** The adapters of all types of registry that the operator knows. */
export function adapterFactory(context: AdapterContext): AdapterFactory {
  let made = 0;
  // Each adapter has keys of its own, also beside one for the same registry, and beside the one it takes the place of.
  const own = (name: string): AdapterContext => ({ ...context, holder: `${context.holder}.${name}.${++made}` });
  const byType: Readonly<Record<RegistrySpec["type"], AdapterFactory>> = {
    Consul: (name, ...args) => makeConsul(own(name), name, ...args),
    Etcd: (name, ...args) => makeEtcd(own(name), name, ...args),
    Nacos: (name, spec, credentials) => makeNacos(context, name, spec, credentials),
  };
  return (name, spec, credentials, clusterUid) => byType[spec.type](name, spec, credentials, clusterUid);
}

function makeConsul(
  { holder, clock, random, metrics }: AdapterContext,
  name: string,
  spec: RegistrySpec,
  credentials: Credentials,
  clusterUid: string,
): MadeAdapter {
  const { consul } = spec;
  if (consul === undefined) throw new HygeiaError("InvalidSpec", "spec.consul: must be set when spec.type is Consul");
  const { datacenter, namespace, partition, servicePrefixes = [], agentPort, agentServerName, recordPrefix } = consul;
  const adapter = new ConsulAdapter({
    name,
    connection: consulConnection(spec, credentials),
    scope: { datacenter, namespace, partition },
    servicePrefixes,
    recordPrefix,
    agentPort,
    agentServerName,
    clusterUid,
    holder,
    breaker: { slowAfterMs: parseDuration(spec.breaker.slowAfter), timeouts: spec.breaker.timeouts },
    timing: { callTimeout: parseDuration(spec.requestTimeout) },
    clock,
    random,
    metrics: requestMetrics(name, metrics),
  });
  return {
    adapter,
    reconfigure: (changed) => {
      adapter.reconfigure(consulConnection(spec, changed));
    },
  };
}

function consulConnection({ endpoints, tls }: RegistrySpec, { ca, client, token }: Credentials): ConsulConnection {
  if (!endpoints.some((endpoint) => endpoint.startsWith("https:"))) return { endpoints, token };
  return {
    endpoints,
    token,
    tls: {
      ca: buffer(ca),
      certificate: buffer(client?.certificate),
      key: buffer(client?.privateKey),
      serverName: tls?.serverName,
    },
  };
}

function makeEtcd(
  { holder, clock, random, metrics }: AdapterContext,
  name: string,
  spec: RegistrySpec,
  credentials: Credentials,
  clusterUid: string,
): MadeAdapter {
  if (spec.etcd === undefined) throw new HygeiaError("InvalidSpec", "spec.etcd: must be set when spec.type is Etcd");
  const adapter = new EtcdAdapter({
    name,
    connection: etcdConnection(spec, credentials),
    layouts: spec.etcd.layouts,
    recordPrefix: spec.etcd.recordPrefix,
    clusterUid,
    holder,
    breaker: { slowAfterMs: parseDuration(spec.breaker.slowAfter), timeouts: spec.breaker.timeouts },
    timing: { callTimeout: parseDuration(spec.requestTimeout) },
    clock,
    random,
    metrics: requestMetrics(name, metrics),
  });
  return {
    adapter,
    reconfigure: (changed) => {
      adapter.reconfigure(etcdConnection(spec, changed));
    },
  };
}

function etcdConnection({ endpoints, tls }: RegistrySpec, { ca, client, login }: Credentials): EtcdConnection {
  if (!endpoints.some((endpoint) => endpoint.startsWith("https:"))) return { endpoints, credentials: login };
  return {
    endpoints,
    credentials: login,
    tls: {
      ca: buffer(ca),
      certificate: buffer(client?.certificate),
      key: buffer(client?.privateKey),
      serverName: tls?.serverName,
    },
  };
}

function makeNacos(
  { clock, random, metrics }: AdapterContext,
  name: string,
  spec: RegistrySpec,
  credentials: Credentials,
): MadeAdapter {
  if (spec.nacos === undefined) throw new HygeiaError("InvalidSpec", "spec.nacos: must be set when spec.type is Nacos");
  const { namespace, groups = [], servicePrefixes = [] } = spec.nacos;
  const adapter = new NacosAdapter({
    name,
    connection: nacosConnection(spec, credentials),
    scope: { namespace, groups, servicePrefixes },
    breaker: { slowAfterMs: parseDuration(spec.breaker.slowAfter), timeouts: spec.breaker.timeouts },
    timing: { callTimeout: parseDuration(spec.requestTimeout) },
    clock,
    random,
    metrics: requestMetrics(name, metrics),
  });
  return {
    adapter,
    reconfigure: (changed) => {
      adapter.reconfigure(nacosConnection(spec, changed));
    },
  };
}

function nacosConnection({ endpoints, tls }: RegistrySpec, { ca, client, login }: Credentials): NacosConnection {
  if (!endpoints.some((endpoint) => endpoint.startsWith("https:"))) return { endpoints, login };
  return {
    endpoints,
    login,
    tls: {
      ca: buffer(ca),
      certificate: buffer(client?.certificate),
      key: buffer(client?.privateKey),
      serverName: tls?.serverName,
    },
  };
}

function buffer(text: string | undefined): Buffer | undefined {
  return text === undefined ? undefined : Buffer.from(text);
}

/** Results that are no failures of the registry. */
const fine: ReadonlySet<string> = new Set(["OK", "Slow", "Aborted"]);

function requestMetrics(registry: string, { registry: metrics }: Pick<Metrics, "registry">): RegistryMetrics {
  return {
    call: (operation, result, seconds) => {
      metrics.requestSeconds.observe({ registry, operation, result }, seconds);
      if (!fine.has(result)) metrics.errors.inc({ registry, reason: result });
    },
    listed: (cause) => {
      metrics.lists.inc({ registry, cause });
    },
    repaired: (count) => {
      metrics.repaired.inc({ registry }, count);
    },
    watchEnded: (reason) => {
      metrics.errors.inc({ registry, reason });
    },
  };
}
