import type { ClusterReader, LivePod, NodeState, PodRecord, SliceWitness, Tombstone } from "../../src/cluster/types.ts";
import type { ViewProblem } from "../../src/kube/types.ts";
import type { Endpoint, InstanceRecord, RegistryFreshness } from "../../src/registry/port.ts";
import type { JudgeInput } from "../../src/verdict/gather.ts";
import { noMemory } from "../../src/verdict/memory.ts";
import type { InstanceMemory, LifeMemory, Rules } from "../../src/verdict/types.ts";

/** The moment of every judgement in tests of the verdict, local monotonic milliseconds. */
export const NOW = 10_000_000;
/** When the record under judgement was seen first, long ago. */
export const SEEN = NOW - 600_000;

/** One record and what is known around it, in few words; what is not named is as usual. */
export interface Scene {
  readonly record?: Partial<InstanceRecord>;
  /** Host and port of each endpoint; one at 10.42.0.7:80 when missing. */
  readonly at?: readonly string[];
  readonly live?: readonly LivePod[];
  readonly tombstones?: readonly Tombstone[];
  /** Hosts that only one of the endpoints has; others have what `live` and `tombstones` say. */
  readonly only?: Readonly<Record<string, { live?: readonly LivePod[]; tombstones?: readonly Tombstone[] }>>;
  readonly caughtUpTo?: number;
  readonly hiddenSince?: number;
  readonly clusterProblem?: ViewProblem;
  readonly registry?: Partial<RegistryFreshness>;
  readonly nodes?: readonly NodeState[];
  readonly witnesses?: readonly SliceWitness[];
  readonly unreachableUntil?: number;
  readonly completeLists?: number;
  readonly knows?: Readonly<Record<string, readonly string[]>>;
  readonly memory?: Partial<InstanceMemory>;
  readonly rules?: Partial<Rules>;
  readonly exactGuard?: boolean;
}

const podDefaults: PodRecord = {
  uid: "uid-a",
  namespace: "shop",
  name: "a",
  resourceVersion: "1",
  phase: "Running",
  deleting: false,
  terminated: false,
  ready: true,
  node: "node-1",
  hostNetwork: false,
  graceMs: 30_000,
  addresses: ["10.42.0.7"],
  hostAddresses: ["192.168.0.1"],
  ports: [],
  labels: {},
  annotations: {},
  workload: "shop/Deployment/a",
  dnsNames: [],
  nameOverride: undefined,
  template: "{}",
};

/** @param name also makes UID and workload */
export function pod(name: string, fields: Partial<PodRecord> = {}): PodRecord {
  return { ...podDefaults, uid: `uid-${name}`, name, workload: `shop/Deployment/${name}`, ...fields };
}

export function living(name: string, fields: Partial<LivePod> = {}, podFields: Partial<PodRecord> = {}): LivePod {
  const deletingAfter = podFields.deleting === true ? SEEN : undefined;
  return { pod: pod(name, podFields), createdAfter: -Infinity, seenAt: SEEN - 1_000, deletingAfter, ...fields };
}

/** A pod that was there before the record and whose end was seen a second ago. */
export function dead(name: string, fields: Partial<Tombstone> = {}, podFields: Partial<PodRecord> = {}): Tombstone {
  return {
    pod: pod(name, podFields),
    createdAfter: SEEN - 60_000,
    reason: "Finished",
    seenAt: NOW - 1_000,
    endedAfter: NOW - 3_000,
    ...fields,
  };
}

export function node(fields: Partial<NodeState> = {}): NodeState {
  return {
    name: "node-1",
    ready: true,
    since: -Infinity,
    returnedAt: undefined,
    addresses: ["192.168.0.1"],
    podCIDRs: ["10.42.0.0/24"],
    outOfService: false,
    labels: {},
    system: { operatingSystem: "linux", kubeletVersion: "v1.36.3", kernelVersion: "6.1.0" },
    ...fields,
  };
}

/** A lease of 60 s that was watched since `firstAt`, and refreshed for the last time at `refreshedAt`. */
export function life(fields: Partial<LifeMemory> & { readonly refreshedAt?: number } = {}): LifeMemory {
  const { refreshedAt = NOW - 300_000, ...rest } = fields;
  return {
    lease: "7",
    readings: 2,
    firstAt: NOW - 200_000,
    lastAt: NOW - 1_000,
    grantedMs: 60_000,
    refreshedAfter: refreshedAt,
    refreshedBefore: refreshedAt,
    ...rest,
  };
}

function endpointOf(text: string): Endpoint {
  const colon = text.lastIndexOf(":");
  const host = text.slice(0, colon);
  return { host, isIp: /^[\d.]+$/.test(host), port: Number(text.slice(colon + 1)) };
}

export function recordOf(scene: Scene): InstanceRecord {
  return {
    registry: "etcd",
    id: "/services/cart/10.42.0.7:80",
    service: "cart",
    instance: "10.42.0.7:80",
    endpoints: (scene.at ?? ["10.42.0.7:80"]).map(endpointOf),
    format: "Test",
    metadata: {},
    version: "1.100.0",
    seenAt: SEEN,
    writtenAfter: SEEN - 2_000,
    touchedAfter: SEEN - 2_000,
    ttlMs: 0,
    managedBy: undefined,
    quarantined: false,
    removal: { effective: "Yes" },
    ...scene.record,
  };
}

/** What judge() gets in this scene. Addresses that begin with 192.168. are those of nodes. */
export function inputOf(scene: Scene): JudgeInput {
  const nodes = new Map((scene.nodes ?? [node()]).map((state) => [state.name, state]));
  const viewOf = (host: string): { live: readonly LivePod[]; tombstones: readonly Tombstone[] } => ({
    live: scene.only?.[host]?.live ?? scene.live ?? [],
    tombstones: scene.only?.[host]?.tombstones ?? scene.tombstones ?? [],
  });
  const cluster: ClusterReader = {
    freshness: () => ({
      fresh: scene.clusterProblem === undefined,
      problem: scene.clusterProblem,
      caughtUpTo: scene.caughtUpTo ?? NOW - 1_500,
    }),
    lookup: (ip) => ({ ...viewOf(ip), nodeAddress: ip.startsWith("192.168.") }),
    lookupHost: (host) => (host.endsWith(".shop") ? viewOf(host) : undefined),
    hiddenSince: () => scene.hiddenSince ?? Infinity,
    witnesses: () => scene.witnesses ?? [],
    node: (name) => nodes.get(name),
    inPodNetwork: (ip) => ip.startsWith("10.42."),
    unreachableUntil: () => scene.unreachableUntil ?? -Infinity,
    completeLists: scene.completeLists ?? 9,
  };
  return {
    record: recordOf(scene),
    cluster,
    registry: {
      synced: true,
      caughtUpTo: NOW - 1_000,
      problem: undefined,
      mode: "Normal",
      serverVersion: "3.6.8",
      clusterId: "1",
      ...scene.registry,
    },
    memory: scene.memory === undefined ? undefined : { ...noMemory, ...scene.memory },
    knowledge: { servicesOf: (_, workload) => new Set(scene.knows?.[workload]) },
    rules: {
      absentForMs: 120_000,
      silentForMs: 0,
      terminating: "Wait",
      requiredMetadata: {},
      podCIDRs: [],
      ...scene.rules,
    },
    exactGuard: scene.exactGuard ?? true,
    now: NOW,
  };
}
