import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { request } from "undici";

import { mapBounded } from "../support/concurrency.ts";
import { type KubeAccess, KubeClient, type KubeObject } from "../support/kube-client.ts";
import { KUBERNETES_VERSION } from "./components.ts";
import type { Scope } from "./scope.ts";

/** Annotation of a pod with the value `Unconfirmed`: kwok removes it without saying that its containers ended. */
export const DEATH_ANNOTATION = "test.hygeia.dev/death";

/** Each node has 1,022 pod addresses out of 10.64.0.0/10, which has room for this many nodes. */
const MAX_NODES = 4096;

interface KwokOptions {
  /** Path of the kwok program. */
  readonly program: string;
  readonly kubeconfig: string;
  readonly access: KubeAccess;
  /** How many nodes to create. */
  readonly nodes: number;
}

/** Starts kwok, which plays the kubelet of every node, and creates nodes `kwok-0` and on, each with pod CIDR. */
export async function startKwok(scope: Scope, options: KwokOptions): Promise<void> {
  const directory = scope.directory("kwok");
  const [port = 0] = await scope.ports(1);
  const settings = [
    "apiVersion: config.kwok.x-k8s.io/v1alpha1",
    "kind: KwokConfiguration",
    // The defaults of 4 bring 25 pods a second to life.
    "options: { podPlayStageParallelism: 32, nodePlayStageParallelism: 16, podsOnNodeSyncParallelism: 4, nodeLeaseParallelism: 8 }",
    "---",
    readFileSync(fileURLToPath(new URL("kwok-stages.yaml", import.meta.url)), "utf8"),
  ];
  writeFileSync(join(directory, "kwok.yaml"), settings.join("\n"));
  await scope.start({
    name: "kwok",
    command: options.program,
    args: [
      `--kubeconfig=${options.kubeconfig}`,
      `--config=${join(directory, "kwok.yaml")}`,
      "--manage-all-nodes=true",
      "--cidr=10.32.0.0/16",
      "--node-ip=127.0.0.1",
      "--node-lease-duration-seconds=40",
      `--server-address=127.0.0.1:${port}`,
    ],
    // Nothing of the user's own settings, which kwok would read from there.
    env: { HOME: directory },
    logFile: join(directory, "kwok.log"),
    ready: async () => {
      const response = await request(`http://127.0.0.1:${port}/readyz`);
      await response.body.dump();
      return response.statusCode === 200;
    },
  });
  if (options.nodes > 0) await createNodes(options);
}

async function createNodes({ access, nodes }: KwokOptions): Promise<void> {
  if (nodes > MAX_NODES) throw new Error(`kwok has addresses for ${MAX_NODES} nodes, not for ${nodes}`);
  const client = new KubeClient(access);
  try {
    await mapBounded([...Array(nodes).keys()], 16, (index) => client.create("/api/v1/nodes", nodeObject(index)));
    while ((await client.list<NodeObject>("/api/v1/nodes")).some((node) => !isReady(node))) await delay(100);
  } finally {
    await client.close();
  }
}

/** As a kubelet registers itself, except that kwok makes it Ready. */
function nodeObject(index: number): object {
  const name = `kwok-${index}`;
  const [high, low] = [Math.floor(index / 64), index % 64];
  const podCIDR = `10.${64 + high}.${low * 4}.0/22`;
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { "kubernetes.io/os": "linux", "kubernetes.io/hostname": name } },
    spec: { podCIDR, podCIDRs: [podCIDR] },
    status: {
      addresses: [
        { type: "InternalIP", address: `172.20.${high}.${low + 1}` },
        { type: "Hostname", address: name },
      ],
      nodeInfo: NODE_INFO,
    },
  };
}

/** A node of today, as far as anybody asks. */
const NODE_INFO = {
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
};

interface NodeObject extends KubeObject {
  readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

function isReady(node: NodeObject): boolean {
  return node.status.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
}
