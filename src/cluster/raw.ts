/**
 * The parts of Kubernetes objects that are read, as the API server's JSON has them. Everything is optional: an object
 * is input, and what is missing must read as "not known".
 */
export interface RawMetadata {
  uid?: string;
  namespace?: string;
  name?: string;
  resourceVersion?: string;
  deletionTimestamp?: string | null;
  labels?: Record<string, string> | null;
  annotations?: Record<string, string> | null;
  ownerReferences?: readonly RawOwner[] | null;
}

export interface RawOwner {
  kind?: string;
  name?: string;
  controller?: boolean;
}

export interface RawContainer {
  name?: string;
  restartPolicy?: string;
  ports?: readonly { name?: string; containerPort?: number; hostPort?: number }[] | null;
}

export interface RawContainerStatus {
  name?: string;
  state?: { terminated?: unknown } | null;
}

export interface RawPod {
  metadata?: RawMetadata;
  spec?: {
    nodeName?: string;
    hostNetwork?: boolean;
    hostname?: string;
    subdomain?: string;
    hostnameOverride?: string;
    terminationGracePeriodSeconds?: number;
    containers?: readonly RawContainer[] | null;
    initContainers?: readonly RawContainer[] | null;
  };
  status?: {
    phase?: string;
    podIP?: string;
    podIPs?: readonly { ip?: string }[] | null;
    hostIP?: string;
    hostIPs?: readonly { ip?: string }[] | null;
    conditions?: readonly RawCondition[] | null;
    containerStatuses?: readonly RawContainerStatus[] | null;
    initContainerStatuses?: readonly RawContainerStatus[] | null;
  };
}

export interface RawCondition {
  type?: string;
  status?: string;
  reason?: string;
}

export interface RawNode {
  metadata?: RawMetadata;
  spec?: { podCIDR?: string; podCIDRs?: readonly string[] | null; taints?: readonly { key?: string }[] | null };
  status?: {
    addresses?: readonly { address?: string }[] | null;
    conditions?: readonly RawCondition[] | null;
    nodeInfo?: { operatingSystem?: string; kubeletVersion?: string; kernelVersion?: string } | null;
  };
}

export interface RawEndpointSlice {
  metadata?: RawMetadata;
  addressType?: string;
  endpoints?: readonly RawEndpoint[] | null;
}

export interface RawEndpoint {
  addresses?: readonly string[] | null;
  conditions?: { ready?: boolean | null } | null;
  targetRef?: { kind?: string; uid?: string } | null;
}

export interface RawService {
  metadata?: RawMetadata;
  spec?: { clusterIP?: string; clusterIPs?: readonly string[] | null };
}

export interface RawNamespace {
  metadata?: RawMetadata;
}
