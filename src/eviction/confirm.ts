import type { ClusterReader, LivePod, PodRecord } from "../cluster/types.ts";
import type { Endpoint, InstanceRecord } from "../registry/port.ts";
import type { LivePods } from "./live-pods.ts";

/** What the last look before a write compares the API server's answer with. */
export interface ClusterKnowledge extends ClusterReader {
  /** Undefined when no pod of this UID lives. */
  pod(uid: string): LivePod | undefined;
}

/** Undefined when nothing speaks against the write, else who does. */
export type Objection =
  { readonly podNamespace: string; readonly podName: string; readonly message: string } | undefined;

/**
 * The confirm read. A verdict rests on our view; this asks the API server itself, by quorum read, whether the view
 * misses a pod that could be the registrant: one at the record's address, or one so new that its address is not
 * reported yet. A pod the view does know was already judged. The caller judges once more after this returns.
 *
 * @param now local monotonic milliseconds
 * @throws KubeError when a read fails; then nothing may be written
 */
export async function confirmAgainstApi(
  record: InstanceRecord,
  cluster: ClusterKnowledge,
  live: LivePods,
  now: number,
  signal: AbortSignal,
): Promise<Objection> {
  const reads: Promise<Objection>[] = record.endpoints.map((endpoint) =>
    confirmEndpoint(endpoint, cluster, live, signal),
  );
  // Every pod that existed before the record was written is in the view only once the view has caught up with it.
  if (record.seenAt >= cluster.freshness(now).caughtUpTo) {
    reads.push(confirmNobodyIsHidden(cluster, live, signal));
  }
  const objections = await Promise.all(reads);
  return objections.find((objection) => objection !== undefined);
}

async function confirmEndpoint(
  endpoint: Endpoint,
  cluster: ClusterKnowledge,
  live: LivePods,
  signal: AbortSignal,
): Promise<Objection> {
  const holders = await readHolders(endpoint, cluster, live, signal);
  // Looked up after the read: a pod that the view learned of meanwhile is left to the judgement that follows.
  const known = endpoint.isIp ? cluster.lookup(endpoint.host, endpoint.port) : cluster.lookupHost(endpoint.host);
  if (known === undefined) return objectTo(undefined, `${endpoint.host} can not be looked up`);
  const judged = new Set(known.live.map((entry) => entry.pod.uid));
  const unseen = holders.find((pod) => !hasEnded(pod) && !judged.has(pod.uid));
  return unseen && objectTo(unseen, `holds ${endpoint.host} and was not in the view`);
}

async function readHolders(
  endpoint: Endpoint,
  cluster: ClusterKnowledge,
  live: LivePods,
  signal: AbortSignal,
): Promise<readonly PodRecord[]> {
  if (!endpoint.isIp) {
    const pods = await live.all(signal);
    return pods.filter((pod) =>
      pod.dnsNames.some((name) => endpoint.host === name || endpoint.host.startsWith(`${name}.`)),
    );
  }
  const lookup = cluster.lookup(endpoint.host, endpoint.port);
  if (lookup.nodeAddress) {
    const node = lookup.tombstones[0]?.pod.node ?? "";
    const pods = node === "" ? await live.all(signal) : await live.onNode(node, signal);
    return pods.filter((pod) => declares(pod, endpoint.port));
  }
  // The API server selects on a pod's primary address only; without a tombstone nobody knows which family that is.
  const { tombstones } = lookup;
  const selectable = tombstones.length > 0 && tombstones.every(({ pod }) => pod.addresses[0] === endpoint.host);
  if (selectable) return await live.atAddress(endpoint.host, signal);
  return (await live.all(signal)).filter((pod) => pod.addresses.includes(endpoint.host));
}

async function confirmNobodyIsHidden(
  cluster: ClusterKnowledge,
  live: LivePods,
  signal: AbortSignal,
): Promise<Objection> {
  const pending = await live.pending(signal);
  const unseen = pending.find(
    (pod) => pod.node !== "" && !pod.hostNetwork && pod.addresses.length === 0 && cluster.pod(pod.uid) === undefined,
  );
  return unseen && objectTo(unseen, "is starting, has no address yet and was not in the view");
}

function hasEnded(pod: PodRecord): boolean {
  return (pod.phase === "Succeeded" || pod.phase === "Failed") && pod.terminated;
}

function declares(pod: PodRecord, port: number): boolean {
  return pod.ports.some((declared) => (pod.hostNetwork ? declared.port === port : declared.hostPort === port));
}

function objectTo(pod: PodRecord | undefined, what: string): Objection {
  return {
    podNamespace: pod?.namespace ?? "",
    podName: pod?.name ?? "",
    message: pod === undefined ? what : `pod ${pod.namespace}/${pod.name} ${what}`,
  };
}
