/**
 * Why a verdict is what it is: each name is stable (reports, metrics and tests match on it), each sentence says to a
 * person what it means.
 */
export const reasons = {
  // Unknown
  ClusterViewNotFresh: "What we know of the cluster may be out of date, so nothing is concluded.",
  RegistryViewNotFresh: "What we know of the registry may be out of date, so nothing is concluded.",
  PortNotDeclared: "The address is a node's, and no pod declares the port there: nobody can tell whose it is.",
  PortDeclaredTwice: "The address is a node's, and several pods declared the port there: nobody can tell whose it is.",
  WitnessDisagrees: "An EndpointSlice calls the address ready for a pod that the pod view does not hold there.",
  NodeUnreachable: "The process may live on a node that is out of touch, and the registry can not tell.",
  NobodyCanTell: "No pod network holds the address, and the registry can not tell whether its registrant lives.",

  // Foreign
  ManagedElsewhere: "Another controller is in charge of the entry.",
  MetadataDiffers: "The entry lacks metadata that every entry of this cluster carries.",
  OutsidePodNetwork: "The address is in no pod network of this cluster and belonged to none of its pods.",
  HostNameUnknown: "The host name is not that of a pod.",

  // Live and Draining
  OwnerLives: "A pod that lives has the address and may have made the registration.",
  AddressInUse: "A pod that lives has the address; the registration is older, but may be of the same service.",
  OwnerTerminating: "The pod that has the address is terminating.",

  // Contested and Resurrected
  CameBack: "We took the entry out, and somebody registered it again or put it back into rotation: hands off.",
  WrittenAfterDeath: "Somebody wrote the entry after its pod had died.",
  LeaseRefreshed: "Somebody refreshed the lease after the pod had died or left.",

  // Zombie
  DeathConfirmed: "Every pod that could have made the registration is dead by its kubelet's word.",
  AddressReused: "The address belongs to a younger pod of a workload that registers other services.",
  SilentAfterDeath: "The pod is gone without its kubelet's word, and the lease fell silent.",
  EndedByKubelet: "The pod was removed, and its node was Ready long enough to have ended every process of it.",
  NodeOutOfService: "The pod is gone, and an administrator vouches that nothing runs on its node.",
  NoPodAtAddress: "No pod has had the address for long enough.",

  // Suspect
  PossibleNewborn: "Its pod is dead, but a pod whose address is not known yet could have made the registration.",
  LeaseNotSilentYet: "The pod is gone without its kubelet's word, and the lease was not silent for long enough.",
  HeartbeatNotSilentYet:
    "No pod is left that could have made the registration, but its heartbeat was not missed for long enough.",
  KubeletNotDoneYet: "The pod was removed, and its node gets time to end what is left of it.",
  NotAbsentLongEnough: "No pod has the address, but not for long enough yet.",
} as const;

export type Reason = keyof typeof reasons;
