/** What containerd, its networks and the kubelet of a test node are told. */
import { join } from "node:path";

/** Addresses of a test node. They exist in its own network only, which leads nowhere, so they are free everywhere. */
export const NODE_ADDRESS = "10.89.0.1";
/** Where the cluster's DNS server is to listen. */
export const DNS_ADDRESS = "10.255.0.10";
const POD_SUBNET = "10.244.0.0/24";
const CLUSTER_DOMAIN = "cluster.local";

export const PAUSE_IMAGE = "localhost/pause:3.10";

export interface NodeSettings {
  /** The node's own directory. */
  readonly directory: string;
  readonly pluginDirectory: string;
}

export function socketOf(directory: string): string {
  return join(directory, "containerd.sock");
}

export function containerdSettings({ directory, pluginDirectory }: NodeSettings): string {
  const quoted = (...segments: string[]): string => JSON.stringify(join(directory, ...segments));
  return `version = 3
root = ${quoted("containerd")}
state = ${quoted("containerd-state")}
[grpc]
  address = ${JSON.stringify(socketOf(directory))}
[plugins."io.containerd.internal.v1.opt"]
  path = ${quoted("opt")}
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = ${JSON.stringify(PAUSE_IMAGE)}
[plugins."io.containerd.cri.v1.runtime"]
  # A profile would be loaded into the machine's kernel and stay there.
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = [${JSON.stringify(pluginDirectory)}]
  conf_dir = ${quoted("cni")}
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
`;
}

/** A bridge in the node's own network, without a way out of it. */
export function networkSettings({ directory }: NodeSettings): object {
  return {
    cniVersion: "1.0.0",
    name: "hygeia-pods",
    plugins: [
      {
        type: "bridge",
        bridge: "cni0",
        isGateway: true,
        ipam: {
          type: "host-local",
          dataDir: join(directory, "addresses"),
          ranges: [[{ subnet: POD_SUBNET }]],
          routes: [{ dst: "0.0.0.0/0" }],
        },
      },
    ],
  };
}

export function kubeletSettings({ directory }: NodeSettings): object {
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    // Its own ports are in the node's network, where nobody is but the tests.
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: "AlwaysAllow" },
    failCgroupV1: false,
    failSwapOn: false,
    cgroupDriver: "cgroupfs",
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    containerRuntimeEndpoint: `unix://${socketOf(directory)}`,
    clusterDNS: [DNS_ADDRESS],
    clusterDomain: CLUSTER_DOMAIN,
    resolvConf: join(directory, "resolv.conf"),
    podLogsDir: join(directory, "pod-logs"),
    volumePluginDir: join(directory, "volume-plugins"),
    imageGCHighThresholdPercent: 100,
    evictionHard: { "memory.available": "50Mi" },
    makeIPTablesUtilChains: false,
  };
}
