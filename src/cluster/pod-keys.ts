import type { PodRecord } from "./types.ts";

/** A port of a node: `node-1#8080` by the node's name, `10.0.0.7#8080` by an address of it. */
export function nodePort(host: string, port: number): string {
  return `${host}#${port}`;
}

/** The names under which a live pod is found. */
export function liveNames({ dnsNames, nameOverride }: PodRecord): readonly string[] {
  return nameOverride === undefined || dnsNames.includes(nameOverride) ? dnsNames : [...dnsNames, nameOverride];
}

/** The keys under which a live pod is found: its own addresses, its names and `node#port`. */
export function liveKeys(pod: PodRecord): string[] {
  const keys = [...ownAddresses(pod), ...liveNames(pod)];
  if (pod.node !== "") keys.push(...hostPorts(pod).map((port) => nodePort(pod.node, port)));
  return keys;
}

/**
 * The keys under which a dead pod is found. Node ports are kept by address: the Node may be gone when somebody asks.
 * @param hostAddresses addresses of the node it ran on
 */
export function deathKeys(pod: PodRecord, hostAddresses: readonly string[]): string[] {
  const keys = [...ownAddresses(pod), ...pod.dnsNames];
  for (const port of hostPorts(pod)) keys.push(...hostAddresses.map((address) => nodePort(address, port)));
  return keys;
}

/** Addresses that are the pod's alone: on the host network it has none. */
export function ownAddresses(pod: PodRecord): readonly string[] {
  return pod.hostNetwork ? [] : pod.addresses;
}

/** The ports it occupies on its node, each once. */
export function hostPorts(pod: PodRecord): number[] {
  const ports: number[] = [];
  for (const { hostPort } of pod.ports) if (hostPort > 0 && !ports.includes(hostPort)) ports.push(hostPort);
  return ports;
}
