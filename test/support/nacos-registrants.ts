import { onTestFinished } from "vitest";

import type { NacosServer } from "../env/index.ts";
import type { ManagedProcess } from "../env/process.ts";
import type { NacosApi, NacosRegistration } from "./nacos-api.ts";
import { runGrpcRegistrant, runHttpRegistrant } from "./nacos-processes.ts";

/** As {@link runGrpcRegistrant}, until the end of the test. */
export async function startGrpcRegistrant(
  server: Pick<NacosServer, "url" | "java" | "classPath">,
  service: string,
  addresses: readonly string[],
  api?: NacosApi,
): Promise<ManagedProcess> {
  const registrant = await runGrpcRegistrant(server, service, addresses, api);
  onTestFinished(() => registrant.end());
  return registrant.process;
}

/** As {@link runHttpRegistrant}, until the end of the test. */
export async function startHttpRegistrant(
  server: Pick<NacosServer, "url">,
  registration: NacosRegistration,
): Promise<void> {
  onTestFinished(await runHttpRegistrant(server, registration));
}
