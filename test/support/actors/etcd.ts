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
  const list = async (): Promise<ReadonlySet<string>> => {
    const { keys } = await session.list(`${PREFIX}/`);
    return new Set(keys.map(({ key }) => key));
  };
  const oracle = new EntryOracle(truth, list);
  const follow = async (): Promise<ReturnType<EtcdSession["watch"]>> => {
    const { revision } = await session.list("/nothing/");
    return session.watch(`${PREFIX}/`, revision + 1, {
      put: () => undefined,
      deleted: (key) => {
        oracle.left(key);
      },
      gap: () => undefined,
    });
  };
  let watch = await follow();
  const write = async (layout: ReturnType<typeof etcdNaming>, before: (key: string) => void): Promise<string> => {
    const [entry] = layout.entries("0");
    if (entry === undefined) throw new Error("the layout writes no key");
    before(entry.key);
    await session.put(entry.key, entry.value);
    return entry.key;
  };
  return {
    name: "etcd",
    oracle,
    endpoints: server.endpoints,
    apply: async (client, endpoints = server.endpoints, spec = {}) => {
      const layouts = [{ layout: "EtcdNaming" as const, prefix: PREFIX }];
      await applyRegistry(client, "etcd", { endpoints, layouts, spec });
    },
    register: async ({ address: host, uid }, service, metadata = {}) => {
      const layout = etcdNaming({ service: `${PREFIX}/${service}`, host, port: PORT, metadata, lease: "Unleased" });
      return write(layout, (key) => {
        oracle.registering(key, uid);
      });
    },
    registerStranger: async ({ service, host, port = PORT, metadata = {} }) => {
      const layout = etcdNaming({ service: `${PREFIX}/${service}`, host, port, metadata, lease: "Unleased" });
      return write(layout, () => undefined);
    },
    list,
    pause: () => {
      for (const member of server.members) member.pause();
    },
    resume: () => {
      for (const member of server.members) member.resume();
    },
    wipe: async () => {
      oracle.registryLost();
      watch.close();
      await server.wipe();
      watch = await follow();
      oracle.registryBack();
    },
    close: async () => {
      watch.close();
      await session.close();
      await server.stop();
    },
  };
}
