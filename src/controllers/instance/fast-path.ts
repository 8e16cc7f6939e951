import type { ClusterEvent } from "../../cluster/changes.ts";
import type { RegistryReader } from "../../registry/port.ts";
import type { RegistrySet } from "../types.ts";
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

/**
 * Which records a change of records concerns: those that changed, and those at the same addresses. What a pod registers
 * tells what else is listed at its address and is not its own.
 */
export function keysBeside(registry: string, ids: readonly string[], registries: RegistrySet): ReadonlySet<string> {
  const keys = new Set(ids.map((id) => keyOf(registry, id)));
  const view = registries.get(registry)?.view;
  for (const id of ids) {
    for (const { host } of view?.get(id)?.endpoints ?? []) {
      for (const record of view?.byHost(host) ?? []) keys.add(keyOf(registry, record.id));
    }
  }
  return keys;
}

function collect(view: RegistryReader, host: string, keys: string[]): void {
  for (const record of view.byHost(host)) keys.push(keyOf(view.name, record.id));
}
