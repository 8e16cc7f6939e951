import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { NacosNamingClient } from "nacos";

import type { NacosServer } from "../env/index.ts";
import { type ManagedProcess, prepareProcess } from "../env/process.ts";
import { NacosApi, type NacosRegistration } from "./nacos-api.ts";

const SOURCE = fileURLToPath(new URL("../env/components/nacos/NacosRegistrant.java", import.meta.url));

/** A process that registered itself, for as long as it runs. */
export interface GrpcRegistrant {
  readonly process: ManagedProcess;
  /** Ends it, frozen or not. */
  end(): Promise<void>;
}

/**
 * Starts a process of its own that registers over gRPC with Nacos' Java client, weight 3 and metadata `owner: registrant`.
 * Several addresses are registered in one batch.
 * @param api may see who registered
 */
export async function runGrpcRegistrant(
  { url, java, classPath }: Pick<NacosServer, "url" | "java" | "classPath">,
  service: string,
  addresses: readonly string[],
  api = new NacosApi(url),
): Promise<GrpcRegistrant> {
  const directory = mkdtempSync(join(tmpdir(), "hygeia-registrant-"));
  const before = new Set(await api.publishers(service));
  const process = prepareProcess({
    name: `registrant of ${service}`,
    command: java,
    args: [
      "-Xmx64m",
      `-Duser.home=${directory}`,
      "-cp",
      classPath,
      SOURCE,
      new URL(url).host,
      "public",
      "DEFAULT_GROUP",
      service,
      ...addresses,
    ],
    cwd: directory,
    logFile: join(directory, "registrant.log"),
    ready: async () => (await api.publishers(service)).some((clientId) => !before.has(clientId)),
    readyTimeout: 60_000,
    stopGrace: 0,
  });
  const end = async (): Promise<void> => {
    if (process.running) {
      process.resume();
      await process.stop();
    }
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await process.start();
  } catch (error) {
    await end();
    throw error;
  }
  return { process, end };
}

/** Registers with the npm package `nacos`, which beats every five seconds. @returns what ends the beats */
export async function runHttpRegistrant(
  { url }: Pick<NacosServer, "url">,
  { service, ip, port, metadata = {} }: NacosRegistration,
): Promise<() => Promise<void>> {
  const silent = (): void => undefined;
  const logger = { info: silent, warn: silent, error: silent, debug: silent, log: silent };
  const options = { serverList: new URL(url).host, namespace: "public", logger };
  const client = new NacosNamingClient(options as unknown as ConstructorParameters<typeof NacosNamingClient>[0]);
  await client.ready();
  const instance = { ip, port, metadata };
  await client.registerInstance(service, instance as unknown as Parameters<typeof client.registerInstance>[1]);
  return () => (client as unknown as { close(): Promise<void> }).close();
}
