import type { InstanceRecord, RestorePayload } from "../port.ts";
import { instanceIn, isObject, type NacosInstance } from "./model.ts";

/** Everything needed to register an instance again. */
export function restoreOf(
  registry: string,
  { id, format, ttlMs }: InstanceRecord,
  instance: NacosInstance,
): RestorePayload {
  const { beatTimeout: _beat, deleteTimeout: _delete, cluster: clusterName, ...rest } = instance;
  return { registry, id, format, value: JSON.stringify({ ...rest, clusterName }), encoding: "utf8", ttlMs };
}

/** @returns undefined when the text is no instance */
export function restorableIn(text: string): NacosInstance | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    if (!isObject(parsed)) return undefined;
    const { group, service } = parsed;
    if (typeof group !== "string" || typeof service !== "string") return undefined;
    return instanceIn(parsed, { group, service });
  } catch {
    return undefined;
  }
}
