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
  const oracle = new EntryOracle(truth, async () => {
    const services = (await api.services(EXTERNAL_NODE)) ?? [];
    return new Set(services.map((id) => `${EXTERNAL_NODE}/${id}`));
  });
  const departures = new ConsulDepartures(server.url, (id) => {
    oracle.left(id);
  });
  await departures.start();
  return {
    name: "consul",
    oracle,
    apply: async (client) => {
      await applyConsulRegistry(client, "consul", { endpoints: [server.url] });
    },
    register: async ({ address: host, name, uid }, service) => {
      const id = `${EXTERNAL_NODE}/${name}`;
      oracle.registering(id, uid);
      const registration = { id: name, service, host, port: PORT, status: "passing" as const };
      await api.put("/v1/catalog/register", catalogRegistration(registration));
      return id;
    },
    pause: () => {
      server.process.pause();
    },
    resume: () => {
      server.process.resume();
    },
    close: async () => {
      departures.close();
      await server.stop();
    },
  };
}
