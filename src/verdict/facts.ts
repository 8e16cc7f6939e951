import type { LivePod, NodeState, SliceWitness, Tombstone } from "../cluster/types.ts";
import type { ViewProblem } from "../kube/types.ts";
import type { Endpoint, InstanceRecord } from "../registry/port.ts";
import type { InstanceMemory, Rules } from "./types.ts";

/** All that is known of one record at one moment. Checks read this and nothing else. */
export interface Facts {
  /** Local monotonic milliseconds. */
  readonly now: number;
  readonly record: InstanceRecord;
  readonly rules: Rules;
  readonly memory: InstanceMemory;
  /** Why the cluster view or the registry view can not be relied on; undefined when both can. */
  readonly clusterProblem: ViewProblem | undefined;
  readonly registryProblem: ViewProblem | undefined;
  /** Complete lists of pods so far. */
  readonly completeLists: number;
  /** The adapter's compare-and-delete tells every newborn's registration from the old one. */
  readonly exactGuard: boolean;
  readonly endpoints: readonly EndpointFacts[];
}

export interface EndpointFacts {
  readonly endpoint: Endpoint;
  /** `Unmatchable` is a host name that can not be a pod's. */
  readonly kind: "PodAddress" | "NodeAddress" | "HostName" | "Unmatchable";
  /** Pods that live at the address and are not proven to be another service's: each may be the registrant. */
  readonly owners: readonly Owner[];
  /** Pods that live at the address, are younger than the record, and whose workload registers other services. */
  readonly strangers: readonly LivePod[];
  /** Dead pods that could have written the record, newest death first. */
  readonly writers: readonly DeadWriter[];
  /** Every death known at the address, newest first; also those that could not have written the record. */
  readonly tombstones: readonly Tombstone[];
  /**
   * Every pod that could have written the record is in the view with its address. Where the guard is not exact the
   * record may have been rewritten unseen at any time, so then nobody at all may be without an address.
   */
  readonly writersKnown: boolean;
  readonly witnesses: readonly SliceWitness[];
  readonly inPodNetwork: boolean;
  /** See ClusterReader.unreachableUntil. */
  readonly unreachableUntil: number;
}

export interface Owner extends LivePod {
  /** False when the record is proven older than the pod. */
  readonly mayHaveWritten: boolean;
}

export interface DeadWriter {
  readonly tombstone: Tombstone;
  /** A kubelet's word that no process is left which could have written this record. */
  readonly confirmed: boolean;
  /** The record was seen before the death was: it is not newer than the pod. */
  readonly seenBeforeDeath: boolean;
  /** Its node now; undefined when there is no such Node object. */
  readonly node: NodeState | undefined;
}
