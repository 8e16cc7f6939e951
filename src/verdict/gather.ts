import type { AddressLookup, AddressView, ClusterReader, LivePod, NodeState, Tombstone } from "../cluster/types.ts";
import type { ViewProblem } from "../kube/types.ts";
import { type Cidr, parseCidr } from "../net/address.ts";
import type { Endpoint, InstanceRecord, RegistryFreshness } from "../registry/port.ts";
import type { DeadWriter, EndpointFacts, Facts, Owner } from "./facts.ts";
import { noMemory } from "./memory.ts";
import type { InstanceMemory, Rules, ServiceKnowledge } from "./types.ts";

/** Everything a judgement rests on. */
export interface JudgeInput {
  readonly record: InstanceRecord;
  readonly cluster: ClusterReader;
  /** Freshness of the view that `record` is from. */
  readonly registry: RegistryFreshness;
  /** Undefined for a record that was never judged. */
  readonly memory: InstanceMemory | undefined;
  readonly knowledge: ServiceKnowledge;
  readonly rules: Rules;
  /** Capabilities.exactGuard of the registry's adapter. */
  readonly exactGuard: boolean;
  /** Local monotonic milliseconds. */
  readonly now: number;
  /** Age from which the registry view counts as stale, milliseconds. Default 15 s, the limit of the cluster view. */
  readonly maxRegistryAgeMs?: number;
}

const DEFAULT_MAX_AGE_MS = 15_000;

/**
 * A container in a crash loop is seen terminated when its successor may run already: the kubelet's report can be this
 * late, milliseconds. The kubelet retries a status with its then latest content, so that only one request under way
 * can be late; API requests of that kind rarely outlive 10 s.
 */
const LATE_STATUS_MS = 10_000;

/** No machine comes back, and starts its pods under other addresses, faster than this, milliseconds. */
const QUICK_RESTART_MS = 15_000;

/**
 * Within this time before and after a node is seen Ready again its pods may have addresses that nobody was told,
 * milliseconds: its kubelet was in touch up to 70 s before we see it (see KUBELET_HEARS_MS), and reports within 5 s.
 */
const RETURN_MS = 75_000;

/** Makes every look-up that a judgement needs, so that the checks are functions of one plain object. */
export function gather(input: JudgeInput): Facts {
  const { record, cluster, registry, rules, exactGuard, now } = input;
  const memory = input.memory ?? noMemory;
  const freshness = cluster.freshness(now);
  const writersKnown = isAddressOfAllKnown(input, freshness.caughtUpTo);
  return {
    now,
    record,
    rules,
    memory,
    clusterProblem: freshness.fresh ? undefined : (freshness.problem ?? notSaid),
    registryProblem: registryProblemOf(registry, now, input.maxRegistryAgeMs ?? DEFAULT_MAX_AGE_MS),
    completeLists: cluster.completeLists,
    exactGuard,
    endpoints: record.endpoints.map((endpoint) => gatherEndpoint(endpoint, input, memory, writersKnown)),
  };
}

const notSaid: ViewProblem = { reason: "NotSynced", message: "the pods have not been listed yet" };

/** Why nothing can be concluded from a registry's view now; undefined when something can. Ages in milliseconds. */
export function registryProblemOf(registry: RegistryFreshness, now: number, maxAgeMs: number): ViewProblem | undefined {
  if (!registry.synced) return { reason: "NotSynced", message: "the registry has not been read yet" };
  if (registry.problem !== undefined) return registry.problem;
  if (registry.mode !== "Normal") return { reason: registry.mode, message: "the registry is too slow or down" };
  const age = now - registry.caughtUpTo;
  if (age <= maxAgeMs) return undefined;
  return { reason: "Stale", message: `no canary came back for ${Math.round(age / 1000)} s` };
}

/** No pod without a known address can have written the record: neither one in the view nor one that is not in it yet. */
function isAddressOfAllKnown({ record, cluster, exactGuard, now }: JudgeInput, caughtUpTo: number): boolean {
  const hiddenSince = cluster.hiddenSince(now);
  return record.seenAt < caughtUpTo && (exactGuard ? record.seenAt < hiddenSince : hiddenSince === Infinity);
}

function gatherEndpoint(
  endpoint: Endpoint,
  input: JudgeInput,
  memory: InstanceMemory,
  writersKnown: boolean,
): EndpointFacts {
  const { cluster, rules } = input;
  const lookup = lookUp(endpoint, cluster);
  const kind = kindOf(endpoint, lookup);
  const live = lookup?.live ?? [];
  const strangers = kind === "PodAddress" ? live.filter((pod) => isStranger(pod, input)) : [];
  const tombstones = withRemembered(lookup?.tombstones ?? [], endpoint, memory, live);
  const writers = tombstones.filter((t) => canHaveWritten(t, input)).map((t) => deadWriterOf(t, kind, input));
  const nodes = [...live, ...writers.map(({ tombstone }) => tombstone)].map(({ pod }) => cluster.node(pod.node));
  return {
    endpoint,
    kind,
    owners: live.filter((pod) => !strangers.includes(pod)).map((pod) => ownerOf(pod, input)),
    strangers,
    writers,
    tombstones,
    writersKnown: writersKnown && nodes.every((node) => hasKnownAddresses(node, input)),
    witnesses: kind === "PodAddress" ? cluster.witnesses(endpoint.host) : [],
    // Asked for by few checks, and of few records: most have an owner that lives.
    get inPodNetwork() {
      return endpoint.isIp && isInPodNetwork(endpoint.host, cluster, rules);
    },
    get unreachableUntil() {
      return endpoint.isIp ? cluster.unreachableUntil(endpoint.host) : Infinity;
    },
  };
}

/** A node that came back starts its pods anew, at other addresses than those that are still listed. */
function hasKnownAddresses(node: NodeState | undefined, { record, now }: JudgeInput): boolean {
  if (node?.returnedAt === undefined || now - node.returnedAt >= RETURN_MS) return true;
  return record.seenAt < node.returnedAt - RETURN_MS;
}

function lookUp(endpoint: Endpoint, cluster: ClusterReader): AddressView | AddressLookup | undefined {
  return endpoint.isIp ? cluster.lookup(endpoint.host, endpoint.port) : cluster.lookupHost(endpoint.host);
}

function kindOf(endpoint: Endpoint, lookup: AddressView | AddressLookup | undefined): EndpointFacts["kind"] {
  if (lookup === undefined) return "Unmatchable";
  if (!endpoint.isIp) return "HostName";
  return "nodeAddress" in lookup && lookup.nodeAddress ? "NodeAddress" : "PodAddress";
}

/** Proven older than the pod, and not a service that the pod's workload is known to register. */
function isStranger(pod: LivePod, { record, knowledge }: JudgeInput): boolean {
  if (record.seenAt >= pod.createdAfter) return false;
  const services = knowledge.servicesOf(record.registry, pod.pod.workload);
  return services.size > 0 && !services.has(record.service);
}

function ownerOf(live: LivePod, input: JudgeInput): Owner {
  const { pod, createdAfter, seenAt, deletingAfter } = live;
  return { pod, createdAfter, seenAt, deletingAfter, mayHaveWritten: !isYounger(live, input) };
}

/** Proven younger than the record. Without an exact guard a younger pod may have written the very same once more. */
function isYounger({ createdAfter }: { readonly createdAfter: number }, { record, exactGuard }: JudgeInput): boolean {
  return exactGuard && record.seenAt < createdAfter;
}

/** Deaths that no kubelet confirmed outlive the cluster view's memory of them: what they say does not age. */
function withRemembered(
  known: readonly Tombstone[],
  endpoint: Endpoint,
  memory: InstanceMemory,
  live: readonly LivePod[],
): readonly Tombstone[] {
  if (memory.unconfirmed.length === 0) return known;
  const uids = new Set([...known, ...live].map(({ pod }) => pod.uid));
  const forgotten = memory.unconfirmed.filter(
    ({ host, tombstone }) => host === endpoint.host && !uids.has(tombstone.pod.uid),
  );
  return [...known, ...forgotten.map(({ tombstone }) => tombstone)].sort((a, b) => b.seenAt - a.seenAt);
}

/** Neither younger than the record nor dead for good before it was written. */
function canHaveWritten(tombstone: Tombstone, input: JudgeInput): boolean {
  const deadBefore = tombstone.reason === "Finished" && tombstone.seenAt <= input.record.writtenAfter;
  return !deadBefore && !isYounger(tombstone, input);
}

function deadWriterOf(
  tombstone: Tombstone,
  kind: EndpointFacts["kind"],
  { record, cluster, exactGuard }: JudgeInput,
): DeadWriter {
  // On a node's address processes that declare nothing may listen as well, as soon as the port is free; and while a
  // view lags, a pod known under another address may have got this one. Then the record must have been there while the
  // pod still lived, not only before we heard of its death.
  const lagged = tombstone.seenAt - tombstone.endedAfter > QUICK_RESTART_MS;
  const death = kind === "NodeAddress" || lagged ? tombstone.endedAfter : tombstone.seenAt;
  return {
    tombstone,
    confirmed: isConfirmedFor(tombstone, record, exactGuard),
    seenBeforeDeath: record.seenAt < death,
    node: cluster.node(tombstone.pod.node),
  };
}

function isConfirmedFor(tombstone: Tombstone, record: InstanceRecord, exactGuard: boolean): boolean {
  switch (tombstone.reason) {
    case "Finished":
      return true;
    case "ContainersTerminated":
      // A container that was started again after that report registers anew, which only an exact guard shows.
      return exactGuard && record.seenAt < tombstone.endedAfter - LATE_STATUS_MS;
    case "NotConfirmed":
    case "NotWitnessed":
    case "AddressReleased":
      return false;
  }
}

function isInPodNetwork(ip: string, cluster: ClusterReader, rules: Rules): boolean {
  if (rules.podCIDRs.length === 0) return cluster.inPodNetwork(ip);
  return networksOf(rules.podCIDRs).some((network) => network.contains(ip));
}

const parsed = new WeakMap<readonly string[], readonly Cidr[]>();

/** Parsed once for each list of a policy, not once for each record. */
function networksOf(texts: readonly string[]): readonly Cidr[] {
  let networks = parsed.get(texts);
  if (networks === undefined) {
    networks = texts.map(parseCidr).filter((network) => network !== undefined);
    parsed.set(texts, networks);
  }
  return networks;
}
