/** Parts of a policy that a pod obeys, each set whole or not at all. */
export const podParts = ["dns", "goResolver", "keepalive", "gracePeriod", "preStop"] as const;
export type PodPart = (typeof podParts)[number];

/** One option of resolv.conf; most have no value. */
export interface ResolverOption {
  readonly name: string;
  readonly value: string | undefined;
}

/** What `spec.dns` asks for. */
export interface DnsRule {
  /** `ndots` first, if it is asked for. */
  readonly options: readonly ResolverOption[];
  readonly searches: readonly string[];
  /** dnsPolicy None: the pod's search domains are `searches` and nothing else. */
  readonly replacesSearches: boolean;
  readonly nameservers: readonly string[];
  /** Options that the pod's author set are set anew. */
  readonly overrides: boolean;
}

/** What `spec.dns.goResolver` asks for. */
export interface GoResolverRule {
  /** The value of `netdns` in GODEBUG. */
  readonly netdns: "go" | "cgo";
  readonly containers: readonly string[];
}

/** One sysctl of a pod, as `spec.securityContext.sysctls` holds it. */
export interface Sysctl {
  readonly name: string;
  readonly value: string;
}

/** What a RegistrationPolicy wants of the pods it is in charge of, compiled when the policy arrives. */
export interface PodPolicy {
  readonly name: string;
  readonly generation: number;
  readonly dns: DnsRule | undefined;
  readonly goResolver: GoResolverRule | undefined;
  /** Undefined also where the keepalive does not nest: then it is not set at all. */
  readonly sysctls: readonly Sysctl[] | undefined;
  /** Seconds. */
  readonly gracePeriod: number | undefined;
  /** Seconds. */
  readonly preStopSleep: number | undefined;
}

/** Why part of a policy is left out for a pod. Stable: annotations, metrics and docs name them. */
export const skipReasons = [
  "ExcludedNamespace",
  "OptedOut",
  "StaticPod",
  "NotUnderstood",
  "AnnotationsFull",
  "SetByAuthor",
  "HostNetwork",
  "WindowsPod",
  "PodSecurity",
  "NodeTooOld",
  "NodesUnknown",
  "NamespaceUnknown",
  "ViewNotFresh",
  "RuntimeClass",
  "UserNamespace",
  "ConflictingInjection",
  "PolicyEngine",
  "ClusterDNSUnknown",
  "TooManyNameservers",
  "TooManySearches",
  "SearchNotAccepted",
  "NoSuchContainer",
  "SleepActionUnknown",
  "GracePeriodTooShort",
] as const;
export type SkipReason = (typeof skipReasons)[number];

export interface Skipped {
  readonly part: PodPart;
  readonly reason: SkipReason;
  /** For a person. */
  readonly message: string;
}

/** What the nodes that must not get a pod have under one label. */
export interface NodeLabel {
  /** Each once, sorted; undefined where there are too many to look at. */
  readonly values: readonly string[] | undefined;
  /** All of these nodes have the label. */
  readonly onAll: boolean;
}

export interface SysctlObstacle {
  readonly reason: Extract<SkipReason, "NodeTooOld" | "NodesUnknown" | "NamespaceUnknown" | "ViewNotFresh">;
  /** For a person. */
  readonly message: string;
  /**
   * By name, the labels of all nodes that are the obstacle: there is none for a pod that they keep off these nodes.
   * Undefined where no pod can be told apart by them.
   */
  readonly nodeLabels?: ReadonlyMap<string, NodeLabel> | undefined;
}

/** Where a pod is going to run, as far as it decides what it may be given. */
export interface Site {
  readonly namespace: string;
  readonly namespaceLabels: Readonly<Record<string, string>>;
  /** Minor version of the API server, 36 for v1.36.3. */
  readonly serverMinor: number;
  /** Addresses of the cluster's DNS service; undefined when they are not known for certain. */
  readonly clusterNameservers: readonly string[] | undefined;
  /**
   * Why a pod with the keepalive sysctls could land on a node that refuses it, or in a namespace that does; undefined
   * when none would.
   */
  readonly sysctlObstacle: SysctlObstacle | undefined;
  /** Why a pod with the sysctls is refused in this namespace by a policy engine, or may be; undefined when it is not. */
  readonly engineObjection: string | undefined;
}

/** RFC 6902. Nothing is ever removed. */
export interface PatchOperation {
  readonly op: "add";
  readonly path: string;
  readonly value: unknown;
}

/** What is to be done to a pod so that it obeys its policy; an empty patch when it does. */
export interface Mutation {
  readonly patch: readonly PatchOperation[];
  /** Parts that the patch sets, or that hold already. */
  readonly applied: readonly PodPart[];
  /** Parts that the patch sets. */
  readonly changed: readonly PodPart[];
  readonly skipped: readonly Skipped[];
}

/** Annotation: the policy and generation that the pod was made to obey, `<policy>@<generation>`. */
export const APPLIED_ANNOTATION = "hygeia.dev/applied";
/** Annotation: parts that were left out and why, `keepalive=HostNetwork,dns=SetByAuthor`. */
export const SKIPPED_ANNOTATION = "hygeia.dev/skipped";
/**
 * Annotation: single values that we set, `ndots=2,net.ipv4.tcp_keepalive_time=300`. A value that is found here is not
 * its author's, so that a later generation of the policy may set another.
 */
export const SET_ANNOTATION = "hygeia.dev/set";
/** Annotation on a pod: `true` keeps every policy away from it and from its registrations. */
export const IGNORE_ANNOTATION = "hygeia.dev/ignore";
/** Label on a pod: `Disabled` exempts it from all changes. */
export const ADMISSION_LABEL = "hygeia.dev/admission";

/** The policy in charge of a pod that is being created, and where it will run. Answers from memory. */
export interface AdmissionSnapshot {
  /** Undefined where no policy in mode Enforce that wants anything of pods is in charge. @param labels the pod's own */
  inChargeOf(
    namespace: string,
    labels: Readonly<Record<string, string>>,
  ): { readonly policy: PodPolicy; readonly site: Site } | undefined;
}
