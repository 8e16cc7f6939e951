import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { NacosNamingClient } from "nacos";
import { onTestFinished } from "vitest";

import type { ManagedProcess, NacosServer } from "../env/index.ts";
import { prepareProcess } from "../env/process.ts";
import { NacosApi, type NacosRegistration } from "./nacos-api.ts";

const SOURCE = fileURLToPath(new URL("../env/components/nacos/NacosRegistrant.java", import.meta.url));

/**
 * A process of its own that registers over gRPC with Nacos' Java client, weight 3 and metadata `owner: registrant`, and
 * lives until the end of the test. Several addresses are registered in one batch.
 * @param api may see who registered
 */
export async function startGrpcRegistrant(
  { url, java, classPath }: Pick<NacosServer, "url" | "java" | "classPath">,
  service: string,
  addresses: readonly string[],
  api = new NacosApi(url),
): Promise<ManagedProcess> {
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
  onTestFinished(async () => {
    if (process.running) {
      process.resume();
      await process.stop();
    }
    rmSync(directory, { recursive: true, force: true });
  });
  await process.start();
  return process;
}

/** Registers with the npm package `nacos`, which beats every five seconds until the end of the test. */
export async function startHttpRegistrant(
  { url }: Pick<NacosServer, "url">,
  { service, ip, port }: NacosRegistration,
): Promise<void> {
  const silent = (): void => undefined;
  const logger = { info: silent, warn: silent, error: silent, debug: silent, log: silent };
  const options = { serverList: new URL(url).host, namespace: "public", logger };
  const client = new NacosNamingClient(options as unknown as ConstructorParameters<typeof NacosNamingClient>[0]);
  onTestFinished(async () => {
    await (client as unknown as { close(): Promise<void> }).close();
  });
  await client.ready();
  await client.registerInstance(service, { ip, port } as Parameters<typeof client.registerInstance>[1]);
}
