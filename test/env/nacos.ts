import { appendFileSync, copyFileSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { request } from "undici";

import type { Log } from "./build.ts";
import type { ManagedProcess } from "./process.ts";
import { findNacos } from "./programs.ts";
import { inScope, type Scope } from "./scope.ts";

/** Where Nacos puts its other ports, as distances from the HTTP port: gRPC for clients and for servers, and Raft. */
const OTHER_PORTS = [1000, 1001, -1000];

/** Name of the one user that a server with `password` has at first: an administrator. */
export const NACOS_USER = "nacos";

export interface NacosOptions {
  /** Switches authentication on, for the admin API too, and gives the user "nacos" this password. */
  readonly password?: string;
  /** Further settings, as in application.properties. */
  readonly settings?: readonly string[];
  /** Takes the progress of a build; default standard error. */
  readonly log?: Log;
  /** What the server is stopped with too. */
  readonly scope?: Scope;
}

/** A running Nacos server: alone, or one of a cluster. */
export interface NacosServer {
  /** Base URL of its HTTP API; paths start with `/nacos/`. The gRPC port is 1000 above. */
  readonly url: string;
  readonly process: ManagedProcess;
  /** Where it keeps its data and its access log. */
  readonly directory: string;
  /** What runs it; its class path holds Nacos' Java client too. */
  readonly java: string;
  readonly classPath: string;
  /** Stops it and starts it again empty; with `password`, without its administrator. */
  wipe(): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

/** Starts Nacos on free ports, with 512 MiB of heap. It takes about ten seconds. */
export async function startNacos(options: NacosOptions = {}): Promise<NacosServer> {
  const program = await findNacos(options.log);
  return inScope(options.scope, async (scope) => {
    const { password, settings = [] } = options;
    const [port = 0] = await scope.ports(1, OTHER_PORTS);
    const further = [...(password === undefined ? [] : WITH_AUTH), ...settings];
    const server = await start(scope, program, { port, args: ["-Dnacos.standalone=true"], settings: further });
    if (password !== undefined) await createAdministrator(server.url, password);
    return server;
  });
}

/** Starts servers of one cluster, which keep their data in their own Raft group. It takes about half a minute. */
export async function startNacosCluster(
  size: number,
  options: Omit<NacosOptions, "password"> = {},
): Promise<readonly NacosServer[]> {
  const program = await findNacos(options.log);
  return inScope(options.scope, async (scope) => {
    const ports = await scope.ports(size, OTHER_PORTS);
    const members = ports.map((port) => `127.0.0.1:${port}`).join(",");
    const args = [
      "-Dnacos.standalone=false",
      "-DembeddedStorage=true",
      `-Dnacos.member.list=${members}`,
      // The part of it that keeps configurations ends the server where no leader is found at its start in time.
      "-Dnacos.functionMode=naming",
    ];
    const settings = ["nacos.standalone=false", ...(options.settings ?? [])];
    return await Promise.all(ports.map((port) => start(scope.child(), program, { port, args, settings })));
  });
}

/** How one server is started. */
interface Setup {
  readonly port: number;
  /** Alone, or with whom. */
  readonly args: readonly string[];
  /** As in application.properties. */
  readonly settings: readonly string[];
}

async function start(
  scope: Scope,
  { java, classPath }: Pick<NacosServer, "java" | "classPath">,
  { port, args, settings }: Setup,
): Promise<NacosServer> {
  const directory = scope.directory("nacos");
  mkdirSync(join(directory, "conf"));
  const properties = join(directory, "conf", "application.properties");
  copyFileSync(fileURLToPath(new URL("components/nacos/application.properties", import.meta.url)), properties);
  appendFileSync(properties, settings.map((line) => `\n${line}`).join(""));
  const url = `http://127.0.0.1:${port}`;
  const process = await scope.start({
    name: "nacos",
    command: java,
    args: [
      "-Xmx512m",
      ...args,
      "-Dnacos.deployment.type=server",
      `-Dnacos.home=${directory}`,
      `-Duser.home=${directory}`,
      `-Djava.io.tmpdir=${directory}`,
      "-Dnacos.server.ip=127.0.0.1",
      "-Dnacos.remote.grpc.listen.ip=127.0.0.1",
      "-Dserver.address=127.0.0.1",
      `-Dnacos.server.main.port=${port}`,
      `-Dspring.config.additional-location=file:${directory}/conf/`,
      "-cp",
      classPath,
      "NacosServer",
    ],
    cwd: directory,
    logFile: join(directory, "nacos.log"),
    ready: async () => {
      const response = await request(`${url}/nacos/v3/admin/core/state/readiness`);
      await response.body.dump();
      return response.statusCode === 200;
    },
    readyTimeout: 180_000,
  });
  const wipe = async (): Promise<void> => {
    await process.stop();
    rmSync(join(directory, "data"), { recursive: true, force: true });
    await process.start();
  };
  return { url, process, directory, java, classPath, wipe, stop: () => scope.stop() };
}

const WITH_AUTH = [
  "nacos.core.auth.enabled=true",
  "nacos.core.auth.admin.enabled=true",
  "nacos.core.auth.console.enabled=true",
  "server.tomcat.accesslog.enabled=true",
];

/** Users and roles are cached for up to 15 s: only then may the administrator do what administrators may. */
async function createAdministrator(url: string, password: string): Promise<void> {
  const made = await post(`${url}/nacos/v3/auth/user/admin`, { password });
  if (made.status !== 200) throw new Error(`Nacos made no administrator: ${made.text}`);
  const list = `${url}/nacos/v3/admin/ns/service/list?pageNo=1&pageSize=1`;
  const deadline = performance.now() + 60_000;
  for (;;) {
    const login = await post(`${url}/nacos/v3/auth/user/login`, { username: NACOS_USER, password });
    if (login.status === 200) {
      const { accessToken } = JSON.parse(login.text) as { readonly accessToken: string };
      const response = await request(list, { headers: { accessToken } });
      await response.body.dump();
      if (response.statusCode === 200) return;
    }
    if (performance.now() > deadline) throw new Error("Nacos does not let its administrator in");
    await delay(500);
  }
}

async function post(
  url: string,
  form: Readonly<Record<string, string>>,
): Promise<{ readonly status: number; readonly text: string }> {
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const body = new URLSearchParams(form).toString();
  const response = await request(url, { method: "POST", headers, body });
  return { status: response.statusCode, text: await response.body.text() };
}
