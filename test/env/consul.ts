import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { Agent, request } from "undici";

import type { Log } from "./build.ts";
import { type Authority, createAuthority } from "./certificates.ts";
import type { ManagedProcess } from "./process.ts";
import { findPrograms } from "./programs.ts";
import { inScope, type Scope } from "./scope.ts";

export interface ConsulOptions {
  /** How many servers form the cluster; default 1. */
  readonly servers?: 1 | 3;
  /** Agents that are no servers, each on an address of its own in 127.0.0.0/8; default 0. */
  readonly agents?: number;
  /** The servers' APIs speak TLS. */
  readonly tls?: ConsulTlsOptions;
  /** ACLs are on, and deny by default; the value is the secret of a token that may do everything. */
  readonly acl?: { readonly managementToken: string };
  /** Further settings of every process, as in Consul's JSON configuration. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Takes the progress of a build; default standard error. */
  readonly log?: Log;
  /** What the server is stopped with too. */
  readonly scope?: Scope;
}

export interface ConsulTlsOptions {
  /** Whether a client must show a certificate of the same authority; default false. */
  readonly clientAuth?: boolean;
  /** Who issues the certificates; default a new authority. */
  readonly authority?: Authority;
  /** What the certificate stands for; default 127.0.0.1 and localhost. */
  readonly hosts?: readonly string[];
}

/** One process of the cluster: a server, which is an agent too, or an agent alone. */
export interface ConsulAgent {
  /** Base URL of its HTTP API. */
  readonly url: string;
  /** Its node's name in the catalog. */
  readonly node: string;
  readonly process: ManagedProcess;
}

/** A running Consul cluster. */
export interface ConsulServer {
  /** Base URL of the first server's HTTP API. */
  readonly url: string;
  /** The first server. */
  readonly process: ManagedProcess;
  /** To start several stopped servers again, start them at the same time: none is ready before a majority runs. */
  readonly servers: readonly ConsulAgent[];
  readonly agents: readonly ConsulAgent[];
  /** With the option `tls` only. */
  readonly authority: Authority | undefined;
  /** Stops the servers and starts them again empty. */
  wipe(): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

interface Plan extends Omit<ConsulAgent, "process"> {
  readonly address: string;
  readonly isServer: boolean;
  readonly http: number;
  readonly rpc: number;
  readonly serf: number;
  readonly grpc: number;
  readonly directory: string;
}

/** Starts Consul on free ports of 127.0.0.1. It keeps its data through a restart. */
export async function startConsul(options: ConsulOptions = {}): Promise<ConsulServer> {
  const { consul } = await findPrograms(["consul"], options.log);
  return inScope(options.scope, async (scope) => {
    const directory = scope.directory("consul");
    const authority = options.tls && (options.tls.authority ?? (await createAuthority("consul authority")));
    const scheme = authority === undefined ? "http" : "https";
    const servers = await planServers(scope, directory, options.servers ?? 1, scheme);
    const agents = await planAgents(scope, options.agents ?? 0, scheme);
    const pair = await authority?.issue({
      commonName: "consul",
      hosts: options.tls?.hosts ?? ["127.0.0.1", "localhost"],
    });
    if (authority !== undefined && pair !== undefined) {
      writeFileSync(join(directory, "ca.pem"), authority.certificate);
      writeFileSync(join(directory, "server.pem"), pair.certificate);
      writeFileSync(join(directory, "server-key.pem"), pair.key, { mode: 0o600 });
    }
    const dispatcher =
      pair && new Agent({ connect: { rejectUnauthorized: false, cert: pair.certificate, key: pair.key } });
    const start = async (plan: Plan): Promise<ConsulAgent> => {
      const file = join(plan.directory, "consul.json");
      const settings = { ...settingsOf(plan, servers, directory, options), ...options.settings };
      writeFileSync(file, JSON.stringify(settings), { mode: 0o600 });
      const process = await scope.start({
        name: servers.length + agents.length === 1 ? "consul" : plan.node,
        command: consul,
        args: ["agent", `-config-file=${file}`],
        logFile: join(plan.directory, "consul.log"),
        ready: () => isReady(plan, options, dispatcher),
      });
      return { url: plan.url, node: plan.node, process };
    };
    const started = await Promise.all(servers.map(start));
    const startedAgents = await Promise.all(agents.map(start));
    const [first] = started;
    if (first === undefined) throw new Error("a cluster has a server");
    return {
      url: first.url,
      process: first.process,
      servers: started,
      agents: startedAgents,
      authority,
      wipe: async () => {
        await Promise.all(started.map(({ process }) => process.stop()));
        for (const plan of servers) rmSync(join(plan.directory, "data"), { recursive: true, force: true });
        await Promise.all(started.map(({ process }) => process.start()));
      },
      stop: async () => {
        await scope.stop();
        await dispatcher?.close();
      },
    };
  });
}

async function planServers(scope: Scope, directory: string, count: number, scheme: string): Promise<readonly Plan[]> {
  const plans: Plan[] = [];
  for (let i = 0; i < count; i++) {
    const [http = 0, rpc = 0, serf = 0, grpc = 0] = await scope.ports(4);
    const address = "127.0.0.1";
    const url = `${scheme}://${address}:${http}`;
    const own = count === 1 ? directory : scope.directory(`consul-${i}`);
    plans.push({ url, node: `consul-${i}`, address, isServer: true, http, rpc, serf, grpc, directory: own });
  }
  return plans;
}

/** All agents have one port, as in a real cluster, and addresses of their own. */
async function planAgents(scope: Scope, count: number, scheme: string): Promise<readonly Plan[]> {
  if (count === 0) return [];
  const [http = 0, rpc = 0, serf = 0, grpc = 0] = await scope.ports(4);
  return Array.from({ length: count }, (_, i) => {
    // Spread over 127.0.0.0/8, so that clusters that run at the same time do not meet.
    const address = `127.${1 + (http % 200)}.${1 + (rpc % 200)}.${2 + i}`;
    const url = `${scheme}://${address}:${http}`;
    const own = scope.directory(`consul-agent-${i}`);
    return { url, node: `agent-${i}`, address, isServer: false, http, rpc, serf, grpc, directory: own };
  });
}

function settingsOf(
  plan: Plan,
  servers: readonly Plan[],
  directory: string,
  { acl, tls }: ConsulOptions,
): Readonly<Record<string, unknown>> {
  const { http, rpc, serf, grpc, isServer } = plan;
  const api = tls === undefined ? { http, https: -1 } : { http: -1, https: http };
  return {
    server: isServer,
    ...(isServer ? { bootstrap_expect: servers.length } : {}),
    node_name: plan.node,
    data_dir: join(plan.directory, "data"),
    bind_addr: plan.address,
    client_addr: plan.address,
    retry_join: servers.filter((server) => server !== plan).map(({ address, serf }) => `${address}:${serf}`),
    retry_interval: "1s",
    disable_update_check: true,
    // The timers of a fast network, as `-dev` has them.
    performance: { raft_multiplier: 1 },
    ports: { ...api, server: rpc, serf_lan: serf, grpc: isServer ? grpc : -1, serf_wan: -1, dns: -1, grpc_tls: -1 },
    ...(acl === undefined
      ? {}
      : {
          acl: {
            enabled: true,
            default_policy: "deny",
            tokens: { initial_management: acl.managementToken, agent: acl.managementToken },
          },
        }),
    ...(tls === undefined
      ? {}
      : {
          tls: {
            defaults: {
              ca_file: join(directory, "ca.pem"),
              cert_file: join(directory, "server.pem"),
              key_file: join(directory, "server-key.pem"),
            },
            https: { verify_incoming: tls.clientAuth === true },
          },
        }),
  };
}

/** There is a leader, and the process' own node is in the catalog. */
async function isReady({ url, node }: Plan, { acl }: ConsulOptions, dispatcher: Agent | undefined): Promise<boolean> {
  const get = async (path: string): Promise<unknown> => {
    const response = await request(`${url}${path}`, {
      ...(dispatcher === undefined ? {} : { dispatcher }),
      headers: acl === undefined ? {} : { "x-consul-token": acl.managementToken },
    });
    const text = await response.body.text();
    return response.statusCode === 200 ? JSON.parse(text) : undefined;
  };
  const leader = await get("/v1/status/leader");
  if (leader === undefined || leader === "") return false;
  const services = (await get(`/v1/health/node/${node}`)) as readonly unknown[] | undefined;
  return services !== undefined && services.length > 0;
}
