import type { ClusterEvent } from "../../cluster/changes.ts";
import type { RegistryReader } from "../../registry/port.ts";
import { keyOf } from "./keys.ts";

/**
 * The fast path: which records a change of a pod concerns. By index only: a pod that is registered nowhere costs one
 * look-up per address and registry. Changes of nodes and namespaces are left to the sweep.
 */
export function keysAt(event: ClusterEvent, registries: Iterable<RegistryReader>): string[] {
  if (event.kind !== "Pod") return [];
  const keys: string[] = [];
  for (const view of registries) {
    for (const host of event.addresses) collect(view, host, keys);
    for (const host of event.hosts) collect(view, host, keys);
  }
  return keys;
}

function collect(view: RegistryReader, host: string, keys: string[]): void {
  for (const record of view.byHost(host)) keys.push(keyOf(view.name, record.id));
}
