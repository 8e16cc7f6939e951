import { startNacos } from "../../env/index.ts";
import { EntryOracle } from "../entry-oracle.ts";
import { NacosApi } from "../nacos-api.ts";
import { NacosDepartures } from "../nacos-departures.ts";
import { applyNacosRegistry } from "../operator-objects.ts";
import type { TruthLog } from "../truth.ts";
import type { RegistryActor } from "./actor.ts";

const PORT = 8080;
/** Nacos itself must forget nobody while a test looks on: neither an instance without heartbeats nor its client. */
const SETTINGS = ["nacos.naming.client.expired.time=3600000"];
const UNHURRIED = { "preserved.heart.beat.timeout": "3600000", "preserved.ip.delete.timeout": "3600000" };

/** A Nacos with instances that registered over HTTP. */
export async function startNacosActor(truth: TruthLog): Promise<RegistryActor> {
  const server = await startNacos({ settings: SETTINGS });
  const api = new NacosApi(server.url);
  const oracle = new EntryOracle(truth, async () => new Set((await api.all()).keys()));
  const departures = new NacosDepartures(api, (id) => {
    oracle.left(id);
  });
  await departures.start();
  return {
    name: "nacos",
    oracle,
    apply: async (client) => {
      await applyNacosRegistry(client, "nacos", { endpoints: [server.url] });
    },
    register: async ({ address: ip, uid }, service) => {
      const id = ["public", "DEFAULT_GROUP", service, "DEFAULT", ip, String(PORT)].join("/");
      oracle.registering(id, uid);
      await api.register({ service, ip, port: PORT, metadata: UNHURRIED });
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
