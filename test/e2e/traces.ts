import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { cgroupHierarchies } from "../env/node/cgroups.ts";

/** What is there of a node on the machine around it. */
export interface NodeTraces {
  readonly processes: readonly string[];
  readonly mounts: readonly string[];
  readonly cgroups: readonly string[];
  readonly directory: boolean;
}

export const NO_TRACES: NodeTraces = { processes: [], mounts: [], cgroups: [], directory: false };

/** Every process of a node has its directory among its arguments, save the pods', which their control group shows. */
export function tracesOf({ directory, cgroup }: { readonly directory: string; readonly cgroup: string }): NodeTraces {
  return {
    processes: numbersIn("/proc")
      .map((pid) => [pid, read(`/proc/${pid}/cmdline`).replaceAll("\0", " ")] as const)
      .filter(([pid, arguments_]) => arguments_.includes(directory) || read(`/proc/${pid}/cgroup`).includes(cgroup))
      .map(([pid, arguments_]) => `${pid} ${arguments_}`),
    mounts: read("/proc/self/mountinfo")
      .split("\n")
      .filter((line) => line.includes(directory)),
    cgroups: cgroupHierarchies()
      .map((hierarchy) => join(hierarchy, cgroup))
      .filter((group) => existsSync(group)),
    directory: existsSync(directory),
  };
}

/** Where kubelets, containerd and CNI plugins write on a machine that is theirs. */
const PLACES = [
  "/etc/cni",
  "/etc/cni/net.d",
  "/opt",
  "/opt/containerd",
  "/run/containerd",
  "/run/netns",
  "/usr/libexec/kubernetes",
  "/var/lib/cni",
  "/var/lib/kubelet",
  "/var/log/containers",
  "/var/log/pods",
];

/** Kernel parameters that kubelets and bridges set. */
const SYSCTLS = [
  "kernel/keys/root_maxbytes",
  "kernel/keys/root_maxkeys",
  "kernel/panic",
  "kernel/panic_on_oops",
  "net/ipv4/ip_forward",
  "vm/overcommit_memory",
  "vm/panic_on_oom",
];

/** What a node could change on the machine without its own name on it. */
export function machineState(): object {
  return {
    links: readdirSync("/sys/class/net").filter((name) => /^(cni|veth)/.test(name)),
    places: PLACES.map((path) => [path, existsSync(path) ? readdirSync(path) : "not there"]),
    sysctls: SYSCTLS.map((name) => [name, read(`/proc/sys/${name}`).trim()]),
  };
}

/** Hierarchies that have the control group in which every containerd makes those of its containers. */
export function runtimeCgroups(): string[] {
  return cgroupHierarchies().filter((hierarchy) => existsSync(join(hierarchy, "k8s.io")));
}

function numbersIn(directory: string): string[] {
  return readdirSync(directory).filter((name) => /^\d+$/.test(name));
}

/** Empty for what ended meanwhile. */
function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
