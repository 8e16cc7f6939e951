import type { NodeState } from "../cluster/types.ts";
import type { NodeObstacle } from "./cel/types.ts";
import type { Sysctl } from "./types.ts";
import { labelsOfNodes } from "./unsuitable-nodes.ts";

/** A version as `[major, minor]`. */
type Version = readonly [major: number, minor: number];

/**
 * From which version on a kubelet takes a sysctl for safe, and which kernel it asks for (Kubernetes,
 * pkg/kubelet/sysctl/safe_sysctls.go and pkg/util/kernel/constants.go). One that does not fails the pod, for good.
 */
const needs: Readonly<Record<string, { readonly kubelet: Version; readonly kernel: Version }>> = {
  "net.ipv4.tcp_keepalive_time": { kubelet: [1, 29], kernel: [4, 5] },
  "net.ipv4.tcp_keepalive_intvl": { kubelet: [1, 29], kernel: [4, 5] },
  "net.ipv4.tcp_keepalive_probes": { kubelet: [1, 29], kernel: [4, 5] },
  "net.ipv4.tcp_fin_timeout": { kubelet: [1, 29], kernel: [4, 6] },
};

/** A node as far as it matters here. */
type Node = Pick<NodeState, "name" | "labels" | "system">;

/**
 * Why a pod with these sysctls could come to a node that fails it; undefined when no known node would. Cordoned nodes
 * count: DaemonSets run there, and others may again. Windows nodes get no such pod.
 */
export function sysctlObstacle(nodes: Iterable<Node>, sysctls: readonly Sysctl[]): NodeObstacle | undefined {
  let known = 0;
  const unknown: string[] = [];
  const old: string[] = [];
  const unsuitable: Node[] = [];
  for (const node of nodes) {
    const { name, system } = node;
    if (system.operatingSystem === "windows") continue;
    known++;
    const kubelet = versionOf(system.kubeletVersion);
    const kernel = versionOf(system.kernelVersion);
    if (kubelet === undefined || kernel === undefined) {
      unknown.push(`node ${name} does not say which kubelet and kernel it has`);
      unsuitable.push(node);
      continue;
    }
    const lack = lackOf(kubelet, kernel, system, sysctls);
    if (lack === undefined) continue;
    old.push(`node ${name} has ${lack}`);
    unsuitable.push(node);
  }
  const nodeLabels = labelsOfNodes(unsuitable);
  if (old.length > 0) return { reason: "NodeTooOld", message: withCount(old), nodeLabels };
  if (unknown.length > 0) return { reason: "NodesUnknown", message: withCount(unknown), nodeLabels };
  return known > 0 ? undefined : { reason: "NodesUnknown", message: "no Linux node is known", nodeLabels: undefined };
}

/** What is too old for the first of the sysctls that it is too old for. */
function lackOf(
  kubelet: Version,
  kernel: Version,
  { kubeletVersion, kernelVersion }: Node["system"],
  sysctls: readonly Sysctl[],
): string | undefined {
  for (const { name } of sysctls) {
    const need = needs[name];
    if (need === undefined) continue;
    if (isBefore(kubelet, need.kubelet)) return `kubelet ${kubeletVersion}, ${name} needs v${need.kubelet.join(".")}`;
    if (isBefore(kernel, need.kernel)) return `kernel ${kernelVersion}, ${name} needs ${need.kernel.join(".")}`;
  }
  return undefined;
}

function versionOf(text: string): Version | undefined {
  const [, major, minor] = /^v?(\d{1,5})\.(\d{1,5})(?:\D|$)/.exec(text) ?? [];
  return major === undefined || minor === undefined ? undefined : [Number(major), Number(minor)];
}

function isBefore(a: Version, b: Version): boolean {
  return a[0] !== b[0] ? a[0] < b[0] : a[1] < b[1];
}

function withCount([first = "", ...others]: readonly string[]): string {
  return others.length === 0 ? first : `${first}; and ${others.length} more`;
}
