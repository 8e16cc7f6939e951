import type { NacosApi } from "./api.ts";
import { LegacyApi } from "./api-v1.ts";
import { AdminApiV3 } from "./api-v3.ts";
import type { NacosCall, NacosClient } from "./client.ts";
import { notUnderstood, objectIn, isObject } from "./model.ts";

/**
 * Finds out which API a server has.
 * @throws RegistryError `NotUnderstood` when it is no Nacos
 */
export async function detectApi(client: NacosClient, namespace: string, call: NacosCall): Promise<NacosApi> {
  const v3 = await versionAt(client, "/v3/admin/core/state", call);
  if (v3 !== undefined) return new AdminApiV3(client, namespace, v3);
  const v1 = await versionAt(client, "/v1/console/server/state", call);
  if (v1 !== undefined) return new LegacyApi(client, namespace, v1);
  throw notUnderstood(`no state at ${client.endpoint}: is it a Nacos, and its context path /nacos?`);
}

/** A sentence about a defect of this version that concerns what the operator does; undefined when none is known. */
export function defectOf(version: string): string | undefined {
  const [, major = "", minor = "", patch = ""] = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version) ?? [];
  if (major === "2" && minor === "2" && Number(patch) <= 4) {
    return (
      `Nacos ${version} does not drop dead gRPC connections (its ejector is broken, fixed in 2.3.0): their instances ` +
      "stay listed for ever; upgrade Nacos"
    );
  }
  return undefined;
}

async function versionAt(client: NacosClient, path: string, call: NacosCall): Promise<string | undefined> {
  const answer = await client.send("server.state", { method: "GET", path }, call, [404, 410]);
  if (answer.status !== 200) return undefined;
  const body = objectIn(answer.text);
  const state = isObject(body["data"]) ? body["data"] : body;
  const version = state["version"];
  return typeof version === "string" && version !== "" ? version.slice(0, 64) : undefined;
}
