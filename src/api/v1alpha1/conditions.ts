/**
 * The conditions of the kinds and the reasons they can have, each with a sentence. docs/reference.md is generated from
 * this, and the compiler refuses a reason that is not here.
 */

/** What one condition says, and what its reasons mean. Key of `reasons`: the reason as scripts see it. */
interface ConditionDoc {
  readonly meaning: string;
  readonly reasons: Readonly<Record<string, { readonly status: "True" | "False" | "Unknown"; readonly says: string }>>;
}

export const REGISTRY_CONDITIONS = {
  Reachable: {
    meaning: "The registry answers in time and lets the operator in.",
    reasons: {
      Answering: { status: "True", says: "The last request was answered." },
      PartlyAnswering: {
        status: "True",
        says: "Enough of its servers answer to know its content, but one does not, or is missing in spec.endpoints: the message names it.",
      },
      KnownDefect: {
        status: "True",
        says: "It answers, but its version has a defect, which the message names: upgrade it.",
      },
      Connecting: { status: "Unknown", says: "No request has ended yet." },
      Unreachable: { status: "False", says: "No endpoint accepts a connection, or connections break." },
      TimedOut: { status: "False", says: "Requests are not answered within spec.requestTimeout." },
      NoLeader: { status: "False", says: "A server answers, but its cluster has no quorum." },
      TLSFailed: { status: "False", says: "No TLS connection could be made; TLSHealthy says why." },
      Unauthenticated: { status: "False", says: "The registry refuses the credentials, or asks for some." },
      PermissionDenied: { status: "False", says: "The user may not do to the prefixes what the operator must do." },
      NoSpace: { status: "False", says: "The registry accepts no writes until it is given room." },
      TooLarge: { status: "False", says: "The registry holds a larger answer than the operator accepts." },
      RequestTooLong: { status: "False", says: "The registry refuses a request of the operator for its length." },
      SecretNotFound: { status: "False", says: "A Secret that the spec names does not exist." },
      SecretKeyMissing: { status: "False", says: "A Secret has nothing under a key that is needed." },
      SecretUnreadable: { status: "False", says: "A Secret that the spec names could not be read." },
      SecretInvalid: { status: "False", says: "A Secret holds something that can not be used." },
      NotUnderstood: { status: "False", says: "What answers is not the registry the spec describes." },
      InvalidSpec: { status: "False", says: "The spec does not fit the schema of this operator version." },
    },
  },
  Synced: {
    meaning: "The registry's content is known completely and is current.",
    reasons: {
      Current: { status: "True", says: "A canary of ours, or a complete list, was read back a moment ago." },
      NotSynced: { status: "Unknown", says: "The first complete read has not arrived yet." },
      Stale: { status: "False", says: "No canary or list has come back in time: the view may be old." },
      Compacted: { status: "False", says: "The registry dropped history that was not read yet; it is read anew." },
      WentBack: {
        status: "False",
        says: "The registry's data went backwards (wiped, restored, or lost from memory); it is read anew.",
      },
      ClusterChanged: { status: "False", says: "The registry's identity changed; it is read anew." },
      LeaseNotFound: { status: "False", says: "The lease of the canary is gone; it is written anew." },
      SplitView: {
        status: "False",
        says: "The registry's servers list different things: nothing is done until they agree.",
      },
      FilteredByACLs: { status: "False", says: "The registry leaves out what the operator's token may not see." },
      Disconnected: { status: "False", says: "The registry is not reachable; the last view is kept." },
    },
  },
  TLSHealthy: {
    meaning: "Certificates are valid and not about to expire.",
    reasons: {
      Valid: { status: "True", says: "All certificates in use are valid for longer than the warning time." },
      NotUsed: { status: "True", says: "The endpoints are plain http." },
      NotChecked: { status: "Unknown", says: "No TLS connection has been tried yet." },
      ExpiresSoon: { status: "False", says: "A certificate expires soon; status.certificateExpiry says when." },
      NotYetValid: { status: "False", says: "A certificate is not valid yet: a clock is wrong." },
      Expired: { status: "False", says: "A certificate has expired." },
      NotTrusted: { status: "False", says: "The registry's certificate is not signed by a trusted authority." },
      WrongName: { status: "False", says: "The registry's certificate is for another name." },
      ClientRejected: { status: "False", says: "The registry refuses our client certificate." },
      HandshakeFailed: { status: "False", says: "The TLS handshake failed for another cause." },
    },
  },
  Ready: {
    meaning: "Verdicts can rest on this registry: it is reachable, synced and in mode Normal.",
    reasons: {
      Ready: { status: "True", says: "Everything needed holds." },
      CredentialsOutdated: {
        status: "True",
        says: "It works with credentials read before; the Secrets can not be used as they are now.",
      },
      Starting: { status: "Unknown", says: "The operator has just begun with this registry." },
      NotReachable: { status: "False", says: "Condition Reachable does not hold." },
      NotSynced: { status: "False", says: "Condition Synced does not hold." },
      Fallback: { status: "False", says: "The breaker is open: the registry is too slow or does not answer." },
      InvalidSpec: { status: "False", says: "The spec does not fit the schema of this operator version." },
    },
  },
} as const satisfies Record<string, ConditionDoc>;

export const POLICY_CONDITIONS = {
  Accepted: {
    meaning: "The policy can be understood and is in force.",
    reasons: {
      Accepted: { status: "True", says: "The policy is in force." },
      InvalidSpec: { status: "False", says: "A field does not fit the schema of this operator version." },
      InvalidSelector: { status: "False", says: "A selector under spec.match can not be understood." },
    },
  },
  Ready: {
    meaning:
      "The policy is accepted, the registries it names, if any, exist, and its primary registries and the cluster are known completely.",
    reasons: {
      Ready: { status: "True", says: "Everything needed holds." },
      Starting: { status: "Unknown", says: "The operator has just begun with this policy." },
      Paused: { status: "False", says: "spec.mode is Paused." },
      NotAccepted: { status: "False", says: "Condition Accepted does not hold." },
      RegistryNotFound: { status: "False", says: "spec.registration.registries names a Registry that does not exist." },
      RegistryNotReady: { status: "False", says: "A registry with role Primary is not ready." },
      ClusterViewNotFresh: { status: "False", says: "The view of pods is not fresh, so every verdict is Unknown." },
      Superseded: { status: "False", says: "Other policies are in charge of all pods it matches." },
    },
  },
  EvictionBlocked: {
    meaning: "A zombie is left in place; the reason says by what.",
    reasons: {
      NotBlocked: { status: "False", says: "Nothing holds evictions back." },
      NotAccepted: { status: "True", says: "The policy is not in force: condition Accepted does not hold." },
      Audit: { status: "True", says: "spec.mode is Audit: zombies are reported only." },
      Paused: { status: "True", says: "spec.mode is Paused." },
      ReportOnly: { status: "True", says: "spec.registration.zombies.action is Report." },
      NotConfigured: {
        status: "True",
        says: "spec.registration is absent: what the policy's pods register is judged by nobody.",
      },
      NotEvictable: { status: "True", says: "The registry can not do what the action asks." },
      QuarantineLimit: {
        status: "True",
        says: "As many entries are in quarantine as the report can hold; one more could not be released for certain.",
      },
      MinInstances: { status: "True", says: "minInstances of a service would be undercut." },
      Budget: { status: "True", says: "evictionsPerSecond and burst are used up for the moment." },
      UnexplainedBudget: { status: "True", says: "unexplainedPercentPerMinute is used up for the moment." },
      SelfPreservation: {
        status: "True",
        says: "Too much looks dead at once without a witness; released when that is over.",
      },
      RemovalNotPossible: { status: "True", says: "A delete would have no effect on these entries." },
      Deleting: { status: "True", says: "The policy or the registry is being deleted." },
      ViewNotFresh: { status: "True", says: "The cluster or a registry is not known completely now." },
    },
  },
  Superseded: {
    meaning: "Other policies with a higher priority are in charge of pods that this one matches.",
    reasons: {
      NotSuperseded: { status: "False", says: "It is in charge of all pods it matches." },
      PartlySuperseded: { status: "True", says: "Other policies are in charge of some of the pods it matches." },
      WhollySuperseded: { status: "True", says: "Other policies are in charge of all pods it matches." },
    },
  },
  PodsCompliant: {
    meaning: "Every pod the policy is in charge of obeys what it wants of pods, or is exempt.",
    reasons: {
      AllCompliant: { status: "True", says: "No pod differs." },
      NothingWanted: { status: "True", says: "The policy has no dns, keepalive or lifecycle to obey." },
      NotJudgedYet: { status: "Unknown", says: "Pods have not been looked at since the policy came or changed." },
      Paused: { status: "Unknown", says: "spec.mode is Paused." },
      NotAccepted: { status: "Unknown", says: "The policy is not in force: condition Accepted does not hold." },
      PodsDrifted: {
        status: "False",
        says: "Pods differ; they were created without the policy, or before it was as it is now.",
      },
    },
  },
  AppliedToNewPods: {
    meaning: "Pods that are created now are made to obey what the policy wants of pods, and how.",
    reasons: {
      Webhook: { status: "True", says: "The operator's webhook changes them." },
      AdmissionPolicy: { status: "True", says: "The API server changes them, by a MutatingAdmissionPolicy." },
      PartlyLeftOut: {
        status: "True",
        says: "The API server changes them, but leaves out a part for all of them; the message names the field.",
      },
      NothingWanted: { status: "True", says: "The policy has no dns, keepalive or lifecycle to obey." },
      NotKnownYet: {
        status: "Unknown",
        says: "The operator has just begun, or does not know the cluster well enough.",
      },
      NotAccepted: { status: "Unknown", says: "The policy is not in force: condition Accepted does not hold." },
      NotEnforced: { status: "False", says: "spec.mode is not Enforce, or the operator runs with --dry-run." },
      NoWay: {
        status: "False",
        says: "--admission=none, or auto with neither a webhook installed nor MutatingAdmissionPolicy served.",
      },
      NotServed: {
        status: "False",
        says: "--admission=policy, and the API server serves no MutatingAdmissionPolicy v1.",
      },
      NotWritten: { status: "False", says: "The MutatingAdmissionPolicy could not be written; the message says why." },
      TooManyPolicies: {
        status: "False",
        says: "More policies come before it than a MutatingAdmissionPolicy can tell of: use the webhook.",
      },
    },
  },
  KeepaliveNested: {
    meaning: "The TCP keepalive of spec.keepalive comes before every path forgets an idle connection.",
    reasons: {
      Nested: { status: "True", says: "It fits into every path with its margins." },
      NestedWithWarnings: {
        status: "True",
        says: "It cuts no connections, but a margin is narrow, a path ignores it, or a dead peer is found out late.",
      },
      NotConfigured: { status: "True", says: "spec.keepalive is absent: pods keep what they have." },
      NoPaths: { status: "Unknown", says: "spec.keepalive.paths is absent: what it must fit into is not known." },
      NotAccepted: { status: "Unknown", says: "The policy is not in force: condition Accepted does not hold." },
      CutsConnections: {
        status: "False",
        says: "A path would forget connections that live; the sysctls are not set.",
      },
    },
  },
  DNSSafe: {
    meaning: "Names that pods find without spec.dns are found with it, by every resolver that spec.dns.libc allows.",
    reasons: {
      Safe: { status: "True", says: "Every usual way to write a name is found as before." },
      SafeWithWarnings: { status: "True", says: "So it is, but for names that are rarely written so." },
      NotConfigured: { status: "True", says: "spec.dns is absent: pods keep what they have." },
      NotAccepted: { status: "Unknown", says: "The policy is not in force: condition Accepted does not hold." },
      NamesLost: { status: "False", says: "Short names are no longer found with one of the resolvers." },
      MuslSearchIgnored: { status: "False", says: "The search domains make a line that musl does not read at all." },
      SearchesTruncated: { status: "False", says: "There are more search domains than a kubelet writes." },
      NameserversRaced: {
        status: "False",
        says: "musl asks all name servers at once, and one may not know the cluster's names.",
      },
      AskedUpstreamFirst: {
        status: "False",
        says: "Names of services are asked for outside of the cluster first, where somebody else may answer.",
      },
    },
  },
  RolledOut: {
    meaning: "No workload is left whose pods spec.rollout would replace.",
    reasons: {
      Complete: { status: "True", says: "Every workload with pods that differed was rolled out, or there was none." },
      NotConfigured: { status: "True", says: "spec.rollout is absent or None, or the policy wants nothing of pods." },
      NotAccepted: { status: "Unknown", says: "The policy is not in force: condition Accepted does not hold." },
      NotJudgedYet: { status: "Unknown", says: "Pods have not been judged since the policy came or changed." },
      RollingOut: { status: "False", says: "Workloads are being rolled out." },
      NotPossible: {
        status: "False",
        says: "What is left can not be rolled out as it is (DaemonSets, OnDelete, one replica, ...): do it by hand.",
      },
      Stopped: {
        status: "False",
        says: "A workload did not become available, or its new pods differ too; a change of the spec lets it go on.",
      },
      Paused: { status: "False", says: "spec.rollout.state is Paused." },
      Audit: { status: "False", says: "spec.mode is not Enforce, or the operator runs with --dry-run." },
      InvalidWindow: {
        status: "False",
        says: "schedule or timeZone of spec.rollout.maintenanceWindow can not be understood.",
      },
      OutsideWindow: { status: "False", says: "The maintenance window is closed." },
      AdmissionInactive: {
        status: "False",
        says: "Nothing changes new pods now, or not for certain: they would differ too.",
      },
      EvictionsBehind: {
        status: "False",
        says: "Self-preservation, a view that is not fresh or a used-up budget keeps the evictor from following.",
      },
      PerHour: { status: "False", says: "spec.rollout.perHour is used up for the moment." },
      MemoryFull: { status: "False", says: "The report can not remember more workloads for this generation." },
    },
  },
} as const satisfies Record<string, ConditionDoc>;

type Conditions<T extends Record<string, ConditionDoc>> = {
  [Type in keyof T]: { readonly type: Type; readonly reason: keyof T[Type]["reasons"] };
}[keyof T];

/** A condition type of Registry with a reason it can have. */
export type RegistryConditionReason = Conditions<typeof REGISTRY_CONDITIONS>;
/** A condition type of RegistrationPolicy with a reason it can have. */
export type PolicyConditionReason = Conditions<typeof POLICY_CONDITIONS>;
