import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { Agent, request } from "undici";

import type { Scope } from "../scope.ts";
import { DNS_ADDRESS } from "./settings.ts";

/**
 * Lower-case names without a dot at the end. A name that is there without addresses of the type that is asked for is
 * answered with none (NODATA), one that is not there with NXDOMAIN, and one with "ServerFailure" with SERVFAIL.
 */
export type Zone = Readonly<
  Record<string, { readonly A?: readonly string[]; readonly AAAA?: readonly string[] } | "ServerFailure">
>;

/** One question that the server was asked. */
export interface Query {
  /** Lower case, without a dot at the end. */
  readonly name: string;
  readonly type: string;
  readonly transport: "udp" | "tcp";
}

/** The DNS server of a test node's cluster. */
export interface DnsServer {
  /** Sets what it knows, in place of what it knew. */
  serve(zone: Zone): Promise<void>;
  /** What it was asked since its start or the last {@link forget}, in order. */
  queries(): Promise<readonly Query[]>;
  forget(): Promise<void>;
}

/** @param network path of the network namespace that it serves in */
export async function startDnsServer(scope: Scope, directory: string, network: string): Promise<DnsServer> {
  const socketPath = join(directory, "dns.sock");
  const dispatcher = new Agent({ connect: { socketPath } });
  scope.onStop(() => dispatcher.destroy());

  const call = async (method: "GET" | "PUT" | "DELETE", path: string, body?: object): Promise<string> => {
    const response = await request(`http://localhost${path}`, {
      method,
      dispatcher,
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    });
    const text = await response.body.text();
    if (response.statusCode !== 200)
      throw new Error(`the DNS server answers ${method} ${path}: ${response.statusCode}`);
    return text;
  };

  const program = fileURLToPath(new URL("dns-server.ts", import.meta.url));
  await scope.start({
    name: "DNS server",
    command: "nsenter",
    args: [`--net=${network}`, "--", process.execPath, program, DNS_ADDRESS, socketPath],
    logFile: join(directory, "dns.log"),
    ready: () => call("GET", "/queries").then(() => true),
    stopGrace: 0,
  });
  return {
    serve: async (zone) => {
      await call("PUT", "/zone", zone);
    },
    queries: async () => JSON.parse(await call("GET", "/queries")) as Query[],
    forget: async () => {
      await call("DELETE", "/queries");
    },
  };
}
