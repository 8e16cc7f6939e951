import { startEtcd } from "../../env/index.ts";
import { EntryOracle } from "../entry-oracle.ts";
import { applyRegistry } from "../operator-objects.ts";
import { EtcdSession, etcdNaming } from "../registrants/index.ts";
import type { TruthLog } from "../truth.ts";
import type { RegistryActor } from "./actor.ts";

const PREFIX = "naming";
const PORT = 8080;

/** An etcd with instances of its own gRPC naming that have no lease. */
export async function startEtcdActor(truth: TruthLog): Promise<RegistryActor> {
  const server = await startEtcd();
  const session = new EtcdSession({ endpoints: server.endpoints });
  const oracle = new EntryOracle(truth, async () => {
    const { keys } = await session.list(`${PREFIX}/`);
    return new Set(keys.map(({ key }) => key));
  });
  const { revision } = await session.list("/nothing/");
  const watch = session.watch(`${PREFIX}/`, revision + 1, {
    put: () => undefined,
    deleted: (key) => {
      oracle.left(key);
    },
    gap: () => undefined,
  });
  return {
    name: "etcd",
    oracle,
    apply: async (client) => {
      const layouts = [{ layout: "EtcdNaming" as const, prefix: PREFIX }];
      await applyRegistry(client, "etcd", { endpoints: server.endpoints, layouts });
    },
    register: async ({ address: host, uid }, service) => {
      const [entry] = etcdNaming({ service: `${PREFIX}/${service}`, host, port: PORT, lease: "Unleased" }).entries("0");
      if (entry === undefined) throw new Error("the layout writes no key");
      oracle.registering(entry.key, uid);
      await session.put(entry.key, entry.value);
      return entry.key;
    },
    pause: () => {
      for (const member of server.members) member.pause();
    },
    resume: () => {
      for (const member of server.members) member.resume();
    },
    close: async () => {
      watch.close();
      await session.close();
      await server.stop();
    },
  };
}
