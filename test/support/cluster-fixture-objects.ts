/** The bodies that a kubelet, or a user, sends for nodes and pods. */
import { KUBERNETES_VERSION } from "../env/components.ts";

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
}

/** What a pod is made of. */
export interface PodTemplate {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
  /** Names of the containers; default `app`. */
  readonly containers?: readonly string[];
  /** The pod has its node's address. */
  readonly hostNetwork?: boolean;
  /** With `subdomain`, the pod has a DNS name. */
  readonly hostname?: string;
  readonly subdomain?: string;
}

export type ReadyStatus = "True" | "False" | "Unknown";

/** Phase of a pod whose containers have all ended. */
export type TerminalPhase = "Succeeded" | "Failed";

export function nodeObject(name: string, address: string, podCidrs: readonly string[]): object {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" } },
    spec: { podCIDR: podCidrs[0], podCIDRs: podCidrs },
    status: {
      ...nodeStatus("True"),
      addresses: [
        { type: "InternalIP", address },
        { type: "Hostname", address: name },
      ],
      capacity: { cpu: "1k", memory: "1Ti", pods: "1M" },
      allocatable: { cpu: "1k", memory: "1Ti", pods: "1M" },
      nodeInfo: {
        architecture: "amd64",
        bootID: "",
        containerRuntimeVersion: "containerd://2.4.2",
        kernelVersion: "6.12.0",
        kubeProxyVersion: "",
        kubeletVersion: `v${KUBERNETES_VERSION}`,
        machineID: "",
        operatingSystem: "linux",
        osImage: "Debian GNU/Linux 12",
        systemUUID: "",
      },
    },
  };
}

export function nodeStatus(ready: ReadyStatus): object {
  const now = new Date().toISOString();
  const reason = ready === "True" ? "KubeletReady" : ready === "False" ? "KubeletNotReady" : "NodeStatusUnknown";
  return {
    conditions: [
      { type: "Ready", status: ready, reason, message: "", lastHeartbeatTime: now, lastTransitionTime: now },
    ],
  };
}

export function leaseObject(node: string): object {
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name: node },
    spec: { holderIdentity: node, leaseDurationSeconds: 40, renewTime: microTime() },
  };
}

/** Now, with the six digits that Kubernetes insists on. */
export function microTime(): string {
  return new Date().toISOString().replace("Z", "000Z");
}

export function podObject(name: string, nodeName: string, template: PodTemplate): object {
  const { labels, annotations, finalizers, ownerReferences, hostNetwork, hostname, subdomain } = template;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels, annotations, finalizers, ownerReferences },
    spec: {
      nodeName,
      hostNetwork,
      hostname,
      subdomain,
      automountServiceAccountToken: false,
      containers: containersOf(template).map((container) => ({ name: container, image: "registry.invalid/app:1" })),
    },
  };
}

export function containersOf(template: PodTemplate): readonly string[] {
  return template.containers ?? ["app"];
}

export interface RunningStatus {
  readonly containers: readonly string[];
  readonly addresses: readonly string[];
  readonly hostAddress: string;
  readonly ready: boolean;
}

/** Status of a pod all of whose containers run. */
export function runningStatus({ containers, addresses, hostAddress, ready }: RunningStatus): object {
  const now = new Date().toISOString();
  const conditions = ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"].map((type) => ({
    type,
    status: ready || !type.endsWith("Ready") ? "True" : "False",
    lastTransitionTime: now,
  }));
  return {
    phase: "Running",
    startTime: now,
    hostIP: hostAddress,
    hostIPs: [{ ip: hostAddress }],
    podIP: addresses[0],
    podIPs: addresses.map((ip) => ({ ip })),
    conditions,
    containerStatuses: containers.map((name) => ({
      ...containerStatus(name),
      ready,
      started: true,
      state: { running: { startedAt: now } },
    })),
  };
}

/** What a kubelet adds to the status when all containers have ended; without `phase` they are about to restart. */
export function terminatedStatus(containers: readonly string[], phase?: TerminalPhase): object {
  const now = new Date().toISOString();
  const exit = phase === "Succeeded" ? { exitCode: 0, reason: "Completed" } : { exitCode: 137, reason: "Error" };
  return {
    ...(phase && { phase }),
    containerStatuses: containers.map((name) => ({
      ...containerStatus(name),
      ready: false,
      started: false,
      state: { terminated: { ...exit, startedAt: now, finishedAt: now } },
    })),
  };
}

function containerStatus(name: string): object {
  return { name, image: "registry.invalid/app:1", imageID: "", restartCount: 0 };
}
