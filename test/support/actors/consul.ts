import { startConsul } from "../../env/index.ts";
import { catalogRegistration, ConsulApi, EXTERNAL_NODE } from "../consul-api.ts";
import { ConsulDepartures } from "../consul-departures.ts";
import { EntryOracle } from "../entry-oracle.ts";
import { applyConsulRegistry } from "../operator-objects.ts";
import type { TruthLog } from "../truth.ts";
import type { RegistryActor } from "./actor.ts";

const PORT = 8080;

/** A Consul with entries of the catalog alone, on an external node. */
export async function startConsulActor(truth: TruthLog): Promise<RegistryActor> {
  const server = await startConsul();
  const api = new ConsulApi(server.url);
  const list = async (): Promise<ReadonlySet<string>> => {
    const services = (await api.services(EXTERNAL_NODE)) ?? [];
    return new Set(services.map(idOf));
  };
  const oracle = new EntryOracle(truth, list);
  const follow = async (): Promise<ConsulDepartures> => {
    const departures = new ConsulDepartures(server.url, (id) => {
      oracle.left(id);
    });
    await departures.start();
    return departures;
  };
  let departures = await follow();
  return {
    name: "consul",
    oracle,
    endpoints: [server.url],
    apply: async (client, endpoints = [server.url], spec = {}) => {
      await applyConsulRegistry(client, "consul", { endpoints: [...endpoints], spec });
    },
    register: async ({ address: host, uid }, service, meta = {}) => {
      // Named by its address: whoever comes to the address next registers the very same entry.
      const id = `${service}-${host}`;
      oracle.registering(idOf(id), uid);
      const registration = { id, service, host, port: PORT, meta, status: "passing" as const };
      await api.put("/v1/catalog/register", catalogRegistration(registration));
      return idOf(id);
    },
    registerStranger: async ({ service, host, port = PORT, metadata: meta = {} }) => {
      const id = `${service}-${host}-${String(port)}`;
      const registration = { id, service, host, port, meta, status: "passing" as const };
      await api.put("/v1/catalog/register", catalogRegistration(registration));
      return idOf(id);
    },
    list,
    pause: () => {
      server.process.pause();
    },
    resume: () => {
      server.process.resume();
    },
    wipe: async () => {
      oracle.registryLost();
      departures.close();
      await server.wipe();
      departures = await follow();
      oracle.registryBack();
    },
    close: async () => {
      departures.close();
      await server.stop();
    },
  };
}

function idOf(service: string): string {
  return `${EXTERNAL_NODE}/${service}`;
}
