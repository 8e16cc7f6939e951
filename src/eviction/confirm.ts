import type { Clock } from "../clock/clock.ts";
import type { AddressView, ClusterReader, LivePod, PodRecord } from "../cluster/types.ts";
import type { Endpoint, InstanceRecord } from "../registry/port.ts";
import { isHolder, lookUp, nameOf, readHolders } from "./holders.ts";
import type { LivePods } from "./live-pods.ts";

/** What the last look before a write compares the API server's answer with. */
export interface ClusterKnowledge extends ClusterReader {
  /** Undefined when no pod of this UID lives. */
  pod(uid: string): LivePod | undefined;
}

export interface ConfirmParts {
  readonly cluster: ClusterKnowledge;
  readonly live: LivePods;
}

export interface ConfirmQuestion {
  readonly record: InstanceRecord;
  /** Capabilities.exactGuard of the registry's adapter. */
  readonly exactGuard: boolean;
  readonly clock: Pick<Clock, "monotonic">;
}

/**
 * How long a look at the pods stands where no exact guard protects the write, milliseconds: a pod that is born, takes over
 * the address and registers the very same entry needs about that long.
 */
export const LOOK_STANDS_MS = 2_000;

/**
 * The confirm read. A verdict rests on our view; this asks the API server itself, by quorum read, whether the view
 * misses a pod that could be the registrant: one at the record's address, or one so new that its address is not
 * reported yet. A pod the view does know is left to the judgement that the caller makes after this returns.
 *
 * With an exact guard the reads may take their time: whoever registers after they began moves the record's version.
 * @returns what speaks against the write, undefined when nothing does
 * @throws what LivePods raises; then nothing may be written
 */
export async function confirmAgainstApi(
  { record, exactGuard, clock }: ConfirmQuestion,
  parts: ConfirmParts,
  signal: AbortSignal,
): Promise<string | undefined> {
  const byHost = Map.groupBy(record.endpoints, ({ host }) => host);
  const hosts = Promise.all(Array.from(byHost.values(), (endpoints) => confirmHost(endpoints, parts, signal)));
  const reads: Promise<string | undefined>[] = [hosts.then((found) => found.find((one) => one !== undefined))];
  // Every pod that existed before the record was written is in the view only once the view has caught up with it.
  // Without an exact guard a newer pod may have written the very same again.
  if (!exactGuard) reads.push(confirmNobodyWasBorn(hosts, clock, parts, signal));
  else if (record.seenAt >= parts.cluster.freshness(clock.monotonic()).caughtUpTo) {
    reads.push(confirmNobodyIsHidden(parts, signal));
  }
  const objections = await Promise.all(reads);
  return objections.find((objection) => objection !== undefined);
}

/** @param endpoints all with the same host */
async function confirmHost(
  endpoints: readonly Endpoint[],
  { cluster, live }: ConfirmParts,
  signal: AbortSignal,
): Promise<string | undefined> {
  const [first] = endpoints;
  if (first === undefined) return undefined;
  const { host } = first;
  const pods = await readHolders(first, cluster, live, signal);
  for (const endpoint of endpoints) {
    // Looked up after the read: a pod that the view learned of meanwhile is left to the judgement that follows.
    const known = lookUp(endpoint, cluster);
    if (known === undefined) return `${host} can not be looked up`;
    const unseen = pods.find((pod) => isHolder(pod, endpoint, cluster) && !isJudged(pod, known));
    if (unseen !== undefined) return `${nameOf(unseen)} holds ${host} and was not in the view`;
  }
  return undefined;
}

/** The judgement knows the pod at the endpoint, alive or dead, as far as the API server does. */
function isJudged(pod: PodRecord, { live, tombstones }: AddressView): boolean {
  if (live.some((known) => known.pod.uid === pod.uid)) return true;
  const isFinished = pod.phase === "Succeeded" || pod.phase === "Failed";
  return pod.terminated && (isFinished || tombstones.some((known) => known.pod.uid === pod.uid));
}

/** A pod that is born while the addresses are read has none yet when they are: where that takes long, only another look shows it. */
async function confirmNobodyWasBorn(
  hosts: Promise<unknown>,
  clock: Pick<Clock, "monotonic">,
  parts: ConfirmParts,
  signal: AbortSignal,
): Promise<string | undefined> {
  for (;;) {
    const askedAt = clock.monotonic();
    const [objection] = await Promise.all([confirmNobodyIsHidden(parts, signal), hosts]);
    if (objection !== undefined || clock.monotonic() - askedAt < LOOK_STANDS_MS) return objection;
  }
}

async function confirmNobodyIsHidden(
  { cluster, live }: ConfirmParts,
  signal: AbortSignal,
): Promise<string | undefined> {
  const pending = await live.pending(signal);
  const unseen = pending.find(
    (pod) => pod.node !== "" && !pod.hostNetwork && pod.addresses.length === 0 && !isKnownToRun(pod, cluster),
  );
  return unseen && `${nameOf(unseen)} is starting, has no address yet and was not in the view`;
}

/** In the view and bound: the judgement counts it, by its address or as one that has none yet. */
function isKnownToRun({ uid }: PodRecord, cluster: ClusterKnowledge): boolean {
  return (cluster.pod(uid)?.pod.node ?? "") !== "";
}
