/** A record across all registries: the key of the instance controller's queue, and of its log lines. */
export interface InstanceKey {
  readonly registry: string;
  readonly id: string;
}

/** Names of objects hold no colon, so the first one ends the registry's name. */
const SEPARATOR = ":";

export function keyOf(registry: string, id: string): string {
  return registry + SEPARATOR + id;
}

export function parseKey(key: string): InstanceKey {
  const end = key.indexOf(SEPARATOR);
  return { registry: key.slice(0, end), id: key.slice(end + 1) };
}
