import { startEtcd } from "../env/index.ts";
import { applyRegistry } from "../support/operator-objects.ts";
import { EtcdSession, kratos, Registrant } from "../support/registrants/index.ts";
import type { BenchRegistry, RegistrationKind, StartContext } from "./registry.ts";

const PORT = 9000;
/** Nothing is to expire while it is measured. */
const LONG_LEASE_SECONDS = 3_600;
const SHORT_LEASE_SECONDS = 15;
/** Under a prefix that no layout of the Registry names: nobody evicts these. */
const UNMANAGED = "/left-to-its-lease";

/** An etcd with kratos' registrations, each with a lease. */
export async function startEtcdBench({ scope, log }: StartContext): Promise<BenchRegistry> {
  const { endpoints } = await startEtcd({ scope, log });
  const session = new EtcdSession({ endpoints });
  const leased: RegistrationKind = {
    name: "etcd, lease",
    share: (instances) => instances,
    register: async (service, { address }) => {
      const lease = await session.grant(LONG_LEASE_SECONDS);
      const [entry] = kratos({ service, host: address, port: PORT }).entries(lease);
      if (entry === undefined) throw new Error("the layout writes no key");
      await session.put(entry.key, entry.value, lease);
      return entry.key;
    },
    forgetting: {
      rule: "a lease of 15 s",
      limitMs: (2 * SHORT_LEASE_SECONDS + 30) * 1000,
      samples: 200,
      register: async ({ address: host }) => {
        const layout = kratos({ service: "baseline", host, port: PORT, namespace: UNMANAGED });
        const registrant = await Registrant.register(session, layout, { ttl: SHORT_LEASE_SECONDS });
        return {
          id: registrant.key,
          crash: () => {
            registrant.crash();
          },
        };
      },
    },
  };
  return {
    access: { type: "Etcd", etcd: { endpoints } },
    kinds: [leased],
    apply: async (client, name) => {
      await applyRegistry(client, name, { endpoints, layouts: [{ layout: "Kratos" }] });
    },
    close: () => session.close(),
  };
}
