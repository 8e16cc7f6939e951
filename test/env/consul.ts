import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { request } from "undici";

import type { Log } from "./build.ts";
import type { ManagedProcess } from "./process.ts";
import { findPrograms } from "./programs.ts";
import { inScope, type Scope } from "./scope.ts";

export interface ConsulOptions {
  /** Further settings, as in Consul's JSON configuration; such as `acl` or `tls`. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Takes the progress of a build; default standard error. */
  readonly log?: Log;
  /** What the server is stopped with too. */
  readonly scope?: Scope;
}

/** A running Consul cluster of one server, which is an agent too. */
export interface ConsulServer {
  /** Base URL of its HTTP API. */
  readonly url: string;
  readonly process: ManagedProcess;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

/** Starts Consul on free ports of 127.0.0.1. It keeps its data through a restart. */
export async function startConsul(options: ConsulOptions = {}): Promise<ConsulServer> {
  const { consul } = await findPrograms(["consul"], options.log);
  return inScope(options.scope, async (scope) => {
    const directory = scope.directory("consul");
    const [http = 0, server = 0, serfLan = 0, grpc = 0] = await scope.ports(4);
    const settings = {
      server: true,
      bootstrap_expect: 1,
      node_name: "consul-0",
      data_dir: join(directory, "data"),
      bind_addr: "127.0.0.1",
      client_addr: "127.0.0.1",
      disable_update_check: true,
      // The timers of a fast network, as `-dev` has them.
      performance: { raft_multiplier: 1 },
      ports: { http, server, serf_lan: serfLan, grpc, serf_wan: -1, dns: -1, grpc_tls: -1 },
      ...options.settings,
    };
    writeFileSync(join(directory, "consul.json"), JSON.stringify(settings), { mode: 0o600 });
    const url = `http://127.0.0.1:${http}`;
    const process = await scope.start({
      name: "consul",
      command: consul,
      args: ["agent", `-config-file=${join(directory, "consul.json")}`],
      logFile: join(directory, "consul.log"),
      // Its own node is in the catalog: there is a leader, and the agent has joined.
      ready: async () => {
        const response = await request(`${url}/v1/status/leader`);
        return response.statusCode === 200 && (await response.body.json()) !== "";
      },
    });
    return { url, process, stop: () => scope.stop() };
  });
}
