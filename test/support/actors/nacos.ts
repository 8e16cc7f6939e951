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

export interface NacosActorOptions {
  /** `Persistent` instances have no heartbeat at all; default `Ephemeral`, registered over HTTP. */
  readonly instances?: "Ephemeral" | "Persistent";
}

/** A Nacos with instances that registered over HTTP. */
export async function startNacosActor(truth: TruthLog, options: NacosActorOptions = {}): Promise<RegistryActor> {
  const server = await startNacos({ settings: SETTINGS });
  const api = new NacosApi(server.url);
  const ephemeral = options.instances !== "Persistent";
  const list = async (): Promise<ReadonlySet<string>> => new Set((await api.all()).keys());
  const oracle = new EntryOracle(truth, list);
  const follow = async (): Promise<NacosDepartures> => {
    const departures = new NacosDepartures(api, (id) => {
      oracle.left(id);
    });
    await departures.start();
    return departures;
  };
  let departures = await follow();
  return {
    name: "nacos",
    oracle,
    endpoints: [server.url],
    apply: async (client, endpoints = [server.url], spec = {}) => {
      await applyNacosRegistry(client, "nacos", { endpoints: [...endpoints], spec });
    },
    register: async ({ address: ip, uid }, service, metadata = {}) => {
      const id = idOf(service, ip, PORT);
      oracle.registering(id, uid);
      await api.register({ service, ip, port: PORT, ephemeral, metadata: { ...UNHURRIED, ...metadata } });
      return id;
    },
    registerStranger: async ({ service, host: ip, port = PORT, metadata = {} }) => {
      await api.register({ service, ip, port, ephemeral, metadata: { ...UNHURRIED, ...metadata } });
      return idOf(service, ip, port);
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

function idOf(service: string, ip: string, port: number): string {
  return ["public", "DEFAULT_GROUP", service, "DEFAULT", ip, String(port)].join("/");
}
