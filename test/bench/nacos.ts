import { startNacos } from "../env/index.ts";
import { NacosApi, type NacosRegistration } from "../support/nacos-api.ts";
import { type GrpcRegistrant, runGrpcRegistrant } from "../support/nacos-processes.ts";
import { applyNacosRegistry } from "../support/operator-objects.ts";
import type { BenchRegistry, RegistrationKind, StartContext } from "./registry.ts";

const PORT = 9000;
/** Nothing is to be forgotten while it is measured: neither an instance without heartbeats nor its client. */
const SETTINGS = ["nacos.naming.client.expired.time=86400000"];
const UNHURRIED = { "preserved.heart.beat.timeout": "86400000", "preserved.ip.delete.timeout": "86400000" };
/** Nacos' own defaults. */
const BEAT_MS = 5_000;
const FORGET_LIMIT_MS = 90_000;
/** The Registry looks at services whose names begin so, and at no others. */
const MANAGED = "service-";
/** Each is a JVM of its own. */
const GRPC_INSTANCES = 20;
const GRPC_SAMPLES = 3;
/** How long it is watched that a frozen client stays listed. */
const FROZEN_LIMIT_MS = 60_000;

/** A Nacos with instances that registered over HTTP, persistent ones, and ones that hang on gRPC connections. */
export async function startNacosBench({ scope, log }: StartContext): Promise<BenchRegistry> {
  const server = await startNacos({ scope, log, settings: SETTINGS });
  const api = new NacosApi(server.url);
  const beats = new Set<NodeJS.Timeout>();
  const processes = new Map<string, GrpcRegistrant>();
  const idOf = ({ service, ip, port }: NacosRegistration): string =>
    ["public", "DEFAULT_GROUP", service, "DEFAULT", ip, String(port)].join("/");
  const register = async (registration: NacosRegistration): Promise<string> => {
    await api.register(registration);
    return idOf(registration);
  };
  let lastStart: Promise<unknown> = Promise.resolve();
  /** One JVM after the other. */
  const overGrpc = async (service: string, ip: string): Promise<string> => {
    const started = lastStart.then(() => runGrpcRegistrant(server, service, [`${ip}:${PORT}`], api));
    lastStart = started.catch(() => undefined);
    const id = idOf({ service, ip, port: PORT });
    processes.set(id, await started);
    return id;
  };
  const freeze = (id: string): void => {
    processes.get(id)?.process.pause();
  };

  const overHttp: RegistrationKind = {
    name: "Nacos, HTTP",
    share: (instances) => Math.ceil(instances / 2),
    register: (service, { address: ip }) => register({ service, ip, port: PORT, metadata: UNHURRIED }),
    forgetting: {
      rule: "no heartbeat for 30 s",
      limitMs: FORGET_LIMIT_MS,
      samples: 200,
      register: async ({ address: ip }) => {
        // At a port of its own: a client is an address to Nacos, and heartbeats of one registration are the other's too.
        const registration = { service: "left-to-its-heartbeat", ip, port: PORT + 1 };
        const id = await register(registration);
        const beat = setInterval(() => void api.beat(registration).catch(() => undefined), BEAT_MS);
        beats.add(beat);
        return {
          id,
          crash: () => {
            beats.delete(beat);
            clearInterval(beat);
          },
        };
      },
    },
  };
  const unchecked = new Map<string, Promise<void>>();
  const persistent: RegistrationKind = {
    name: "Nacos, persistent",
    share: (instances) => Math.floor(instances / 2) - GRPC_INSTANCES,
    // A service's instances are all persistent or none is.
    register: async (service, { address: ip }) => {
      const name = `${service}-persistent`;
      const id = await register({ service: name, ip, port: PORT, ephemeral: false });
      // Nobody is at these addresses. What the server finds there would be written into the registration.
      if (!unchecked.has(name)) unchecked.set(name, api.leaveUnchecked(name));
      await unchecked.get(name);
      return id;
    },
    forgetting: undefined,
  };
  const connected: RegistrationKind = {
    name: "Nacos, gRPC and frozen (quarantined)",
    share: () => GRPC_INSTANCES,
    register: (service, { address: ip }) => overGrpc(`${service}-grpc`, ip),
    crash: freeze,
    forgetting: {
      rule: "the connection's end",
      limitMs: FROZEN_LIMIT_MS,
      mayStay: true,
      samples: GRPC_SAMPLES,
      register: async ({ address: ip }) => {
        const id = await overGrpc("left-to-its-connection", ip);
        return {
          id,
          crash: () => {
            freeze(id);
          },
        };
      },
    },
  };
  return {
    access: { type: "Nacos", url: server.url },
    kinds: [overHttp, persistent, connected],
    apply: async (client, name) => {
      await applyNacosRegistry(client, name, { endpoints: [server.url], nacos: { servicePrefixes: [MANAGED] } });
    },
    close: async () => {
      for (const beat of beats) clearInterval(beat);
      await Promise.all(Array.from(processes.values(), (process) => process.end()));
    },
  };
}
