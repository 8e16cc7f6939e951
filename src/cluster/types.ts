import type { ObjectIdentity, ViewProblem } from "../kube/types.ts";
import type { PodTemplate } from "./pod-template.ts";

/** A container port as a pod declares it. */
export interface DeclaredPort {
  readonly port: number;
  /** The port on the node, 0 when none is asked for. On the host network it equals `port`. */
  readonly hostPort: number;
  readonly name: string;
}

/** What is kept of a Pod: at most 1 KiB, projected when it arrives. Strings that repeat are interned. */
export interface PodRecord extends ObjectIdentity {
  /** `Unknown` also where PodGC made it Failed: then no kubelet vouches for it. */
  readonly phase: "Pending" | "Running" | "Succeeded" | "Failed" | "Unknown";
  /** `metadata.deletionTimestamp` is set. */
  readonly deleting: boolean;
  /** Every container of the spec (init sidecars included) has a status, and that status is `terminated`. */
  readonly terminated: boolean;
  /** Condition Ready is True. */
  readonly ready: boolean;
  /** Name of the node it is bound to, or the empty string. */
  readonly node: string;
  readonly hostNetwork: boolean;
  /**
   * `spec.terminationGracePeriodSeconds` in milliseconds. A kubelet lets the processes of a pod run this long after its
   * object was removed by force.
   */
  readonly graceMs: number;
  /** `status.podIPs` in canonical text form (RFC 5952 for IPv6), IPv4-mapped addresses as IPv4. */
  readonly addresses: readonly string[];
  /** `status.hostIPs`, canonical. */
  readonly hostAddresses: readonly string[];
  readonly ports: readonly DeclaredPort[];
  readonly labels: Readonly<Record<string, string>>;
  /** Only the annotations that a policy names, and those of our own domain. */
  readonly annotations: Readonly<Record<string, string>>;
  /**
   * What the pod belongs to, coarse on purpose: `<namespace>/<kind>/<name>` of the controlling owner, a ReplicaSet
   * with a `pod-template-hash` counted as its Deployment; the pod's own UID without one.
   */
  readonly workload: string;
  /** DNS names under which the pod can be registered, without the cluster domain: `host.subdomain.namespace`. */
  readonly dnsNames: readonly string[];
  /**
   * What `spec.hostnameOverride` has the pod call itself, in the form of dnsNames; undefined where it is no such name. DNS
   * does not know it as the pod's: who lives under it is protected, and nobody is known to have died under it.
   */
  readonly nameOverride: string | undefined;
  /** What decides whether it obeys a policy. */
  readonly template: PodTemplate;
}

/** A pod that has not ended, and what we saw of it. All times are local monotonic milliseconds. */
export interface LivePod {
  readonly pod: PodRecord;
  /** The pod was created after this moment (see Change.createdAfter). */
  readonly createdAfter: number;
  /** When we first saw the UID. */
  readonly seenAt: number;
  /** It was asked to end after this moment: -Infinity when it was first seen so, undefined while it is not. */
  readonly deletingAfter: number | undefined;
}

/**
 * - `Finished`: phase Succeeded or Failed, and not by PodGC's word, with every container terminated. Kubelets of 1.27 and
 *   later report this before they let a pod be deleted.
 * - `ContainersTerminated`: gone, or terminating, with every container terminated but the phase not terminal.
 * - `NotConfirmed`: the object went away while a container was not terminated (forced delete, PodGC).
 * - `NotWitnessed`: missing from a later complete list, last seen while it was running.
 * - `AddressReleased`: the pod lives on under another address.
 */
export type DeathReason = "Finished" | "ContainersTerminated" | "NotConfirmed" | "NotWitnessed" | "AddressReleased";

/** The memory of a pod that owned an address and ended (or left the address). */
export interface Tombstone {
  readonly pod: PodRecord;
  readonly createdAfter: number;
  readonly reason: DeathReason;
  /**
   * Local monotonic milliseconds at which the death was seen: for `Finished` and `ContainersTerminated` the first
   * moment from which the pod was continuously seen with every container terminated; else when it was missed.
   */
  readonly seenAt: number;
  /**
   * Lower bound on when the API server committed that death, local monotonic milliseconds: what the view was caught
   * up to just before it saw it (for `Finished` and `ContainersTerminated`, before the first state of `seenAt`).
   * The event may have reached us long after; a process that started in between is younger than `endedAfter`.
   */
  readonly endedAfter: number;
}

/** True for the two reasons in which a kubelet says that no process is left. */
export function isConfirmed(reason: DeathReason): boolean {
  return reason === "Finished" || reason === "ContainersTerminated";
}

/** Everything known about the pods at one address. */
export interface AddressView {
  /** Pods that have not ended: running, pending with this address, or terminating. */
  readonly live: readonly LivePod[];
  /** Newest death first. */
  readonly tombstones: readonly Tombstone[];
}

/** What an EndpointSlice says of an address: a second witness beside the pods. */
export interface SliceWitness {
  /** UID of the pod the endpoint refers to, or the empty string. */
  readonly podUid: string;
  readonly ready: boolean;
}

/** What runs on a node, as its kubelet reports it; empty where it did not. Nodes with the same share one object. */
export interface NodeSystem {
  /** `linux` or `windows`. */
  readonly operatingSystem: string;
  /** Such as `v1.36.3`. */
  readonly kubeletVersion: string;
  /** Such as `6.1.0-18-amd64`. */
  readonly kernelVersion: string;
}

export interface NodeState {
  readonly name: string;
  readonly ready: boolean;
  /** Local monotonic milliseconds of the last change of `ready` that we saw. */
  readonly since: number;
  /**
   * When it became Ready again, or came back under its name, local monotonic milliseconds: its pods may have been
   * started anew, each at another address than before. Undefined when it was never away while we watched.
   */
  readonly returnedAt: number | undefined;
  readonly addresses: readonly string[];
  readonly podCIDRs: readonly string[];
  /** Taint node.kubernetes.io/out-of-service: an administrator vouches that nothing runs there any more. */
  readonly outOfService: boolean;
  /** Without a prototype. */
  readonly labels: Readonly<Record<string, string>>;
  readonly system: NodeSystem;
}

/** The verdict's way to read the cluster. Every look-up is by index. */
export interface ClusterReader {
  freshness(now: number): ClusterFreshness;
  /** By pod address. `port` matters only for addresses that belong to a node (host network, host ports). */
  lookup(ip: string, port: number): AddressLookup;
  /** By DNS name, the cluster domain and a trailing dot removed. Undefined when the name can not be a pod's. */
  lookupHost(host: string): AddressView | undefined;
  /**
   * Earliest moment since which some pod without a known address may have been running: pods that are bound to a node
   * but have no address yet. `Infinity` when there is none. A registration seen before it can not be theirs. It speaks
   * of the pods in the view: whoever relies on it must also have seen the registration before `freshness.caughtUpTo`.
   */
  hiddenSince(now: number): number;
  witnesses(ip: string): readonly SliceWitness[];
  /** Undefined when no such Node object exists. */
  node(name: string): NodeState | undefined;
  /** True when the address is inside the pod network known from Nodes. */
  inPodNetwork(ip: string): boolean;
  /**
   * Until when a process at this address could have run without a pod object: the last moment at which the node whose
   * pod network holds the address, or any node where none does, was not Ready (and not out of service). `Infinity`
   * while that is so, `-Infinity` when no node was ever seen so. A node first seen Ready counts until it was seen.
   */
  unreachableUntil(ip: string): number;
  /** Complete quorum lists of pods applied so far. */
  readonly completeLists: number;
}

export type AddressLookup = AddressView & {
  /** The address is a node's: only pods that declare this port on the node are listed. */
  readonly nodeAddress: boolean;
};

export interface ClusterFreshness {
  readonly fresh: boolean;
  /** Why not. */
  readonly problem: ViewProblem | undefined;
  /** Local monotonic milliseconds: the pod view holds everything committed before this moment. */
  readonly caughtUpTo: number;
}
