import { liveNames } from "../cluster/pod-keys.ts";
import type { AddressView, ClusterReader, PodRecord } from "../cluster/types.ts";
import type { Endpoint } from "../registry/port.ts";
import type { LivePods } from "./live-pods.ts";

/**
 * A quorum read of pods, with every one among them that can be reached at the endpoint's host.
 * @throws what LivePods raises
 */
export async function readHolders(
  endpoint: Endpoint,
  cluster: ClusterReader,
  live: LivePods,
  signal: AbortSignal,
): Promise<readonly PodRecord[]> {
  if (!canBeSelected(endpoint, cluster)) return await live.all(signal);
  const { live: running, tombstones } = cluster.lookup(endpoint.host, endpoint.port);
  const expected = [...running, ...tombstones].map(({ pod }) => pod);
  return await live.atAddress(endpoint.host, signal, expected);
}

/**
 * The API server selects on the text of a pod's primary address. Which family that is, pods known at the address tell:
 * it is the same for all pods of a node. An IPv6 address has many spellings. A node's address is shared by pods that
 * have others.
 */
function canBeSelected(endpoint: Endpoint, cluster: ClusterReader): boolean {
  if (!endpoint.isIp || endpoint.host.includes(":")) return false;
  const { live, tombstones, nodeAddress } = cluster.lookup(endpoint.host, endpoint.port);
  const known = [...live, ...tombstones];
  return !nodeAddress && known.length > 0 && known.every(({ pod }) => pod.addresses[0] === endpoint.host);
}

/** Undefined when a host name can not be a pod's. */
export function lookUp({ host, port, isIp }: Endpoint, cluster: ClusterReader): AddressView | undefined {
  return isIp ? cluster.lookup(host, port) : cluster.lookupHost(host);
}

/** Whether a process of the pod can be reached at the endpoint, for all the API server says. */
export function isHolder(pod: PodRecord, { host, port, isIp }: Endpoint, cluster: ClusterReader): boolean {
  if (!isIp) return isNamed(pod, host);
  const { nodeAddress } = cluster.lookup(host, port);
  if (pod.addresses.includes(host)) return !(pod.hostNetwork && nodeAddress) || occupies(pod, port);
  return nodeAddress && occupies(pod, port) && mayRunAt(host, pod, cluster);
}

/** By one of its names, or by one that spells an address of it out (`10-42-3-17.shop.pod`). */
function isNamed(pod: PodRecord, host: string): boolean {
  const [label] = host.split(".");
  return (
    liveNames(pod).some((name) => host === name || host.startsWith(`${name}.`)) ||
    pod.addresses.some((address) => address.replaceAll(/[.:]/g, "-") === label)
  );
}

function occupies(pod: PodRecord, port: number): boolean {
  return pod.node !== "" && pod.ports.some(({ hostPort }) => hostPort === port);
}

/** A kubelet reports the addresses of its node with a pod's first status; until then the Node object tells. */
function mayRunAt(host: string, { hostAddresses, node }: PodRecord, cluster: ClusterReader): boolean {
  const known = hostAddresses.length > 0 ? hostAddresses : (cluster.node(node)?.addresses ?? []);
  return known.length === 0 || known.includes(host);
}

export function nameOf({ namespace, name }: PodRecord): string {
  return `pod ${namespace}/${name}`;
}
