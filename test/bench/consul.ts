import Consul from "consul";

import { startConsul } from "../env/index.ts";
import { catalogRegistration, ConsulApi, EXTERNAL_NODE } from "../support/consul-api.ts";
import { applyConsulRegistry } from "../support/operator-objects.ts";
import type { BenchRegistry, RegistrationKind, StartContext } from "./registry.ts";

const PORT = 9000;
/** Nothing is to turn critical while it is measured. */
const LONG_TTL = "24h";
const SHORT_TTL_SECONDS = 15;
/** Consul's own minimum. */
const DEREGISTER_AFTER = "1m";
/** The Registry reads services whose names begin so, and no others. */
const MANAGED = "service-";
/** The observer asks about each service over a connection of its own; Consul's default is 200 for each client address. */
const OBSERVED_CONNECTIONS = 2_000;
/** Consul looks for what is to be deregistered every 30 s. */
const REAP_LIMIT_MS = 180_000;

/** A Consul with entries of the catalog alone, and entries that an agent keeps. */
export async function startConsulBench({ scope, log }: StartContext): Promise<BenchRegistry> {
  const { url, servers } = await startConsul({
    scope,
    log,
    settings: { limits: { http_max_conns_per_client: OBSERVED_CONNECTIONS } },
  });
  const [{ node } = { node: "" }] = servers;
  const api = new ConsulApi(url);
  const { hostname, port } = new URL(url);
  const { agent } = new Consul({ host: hostname, port: Number(port) });
  const atAgent = async (id: string, name: string, address: string, check: object): Promise<void> => {
    const registration = { id, name, address, port: PORT, check };
    await agent.service.register(registration as Parameters<typeof agent.service.register>[0] & object);
  };
  const beats = new Set<NodeJS.Timeout>();

  const catalog: RegistrationKind = {
    name: "Consul, catalog only",
    share: (instances) => Math.ceil(instances / 2),
    register: async (service, { name: id, address: host }) => {
      await api.put(
        "/v1/catalog/register",
        catalogRegistration({ id, service, host, port: PORT, status: "passing" as const }),
      );
      return `${EXTERNAL_NODE}/${id}`;
    },
    forgetting: undefined,
  };
  const kept: RegistrationKind = {
    name: "Consul, kept by an agent",
    share: (instances) => Math.floor(instances / 2),
    register: async (service, { name: id, address }) => {
      await atAgent(id, service, address, { ttl: LONG_TTL, status: "passing" });
      return `${node}/${id}`;
    },
    forgetting: {
      rule: `a TTL of ${SHORT_TTL_SECONDS} s and deregistration after ${DEREGISTER_AFTER}`,
      limitMs: REAP_LIMIT_MS,
      samples: 200,
      register: async ({ name, address }) => {
        const id = `left-${name}`;
        const check = {
          ttl: `${SHORT_TTL_SECONDS}s`,
          status: "passing",
          deregistercriticalserviceafter: DEREGISTER_AFTER,
        };
        await atAgent(id, "left-to-its-ttl", address, check);
        const beat = setInterval(
          () => {
            void agent.check.pass({ id: `service:${id}` }).catch(() => undefined);
          },
          (SHORT_TTL_SECONDS * 1000) / 3,
        );
        beats.add(beat);
        return {
          id: `${node}/${id}`,
          crash: () => {
            beats.delete(beat);
            clearInterval(beat);
          },
        };
      },
    },
  };
  return {
    access: { type: "Consul", url },
    kinds: [catalog, kept],
    apply: async (client, registry) => {
      await applyConsulRegistry(client, registry, { endpoints: [url], consul: { servicePrefixes: [MANAGED] } });
    },
    close: () => {
      for (const beat of beats) clearInterval(beat);
      return Promise.resolve();
    },
  };
}
