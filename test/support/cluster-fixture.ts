import { execFile, type ExecFileException } from "node:child_process";
import { randomInt } from "node:crypto";
import { join } from "node:path";

import { Scope, writeKubeconfig } from "../env/index.ts";
import { AddressBlock, BLOCK_COUNT, type Families } from "./cluster-fixture-addresses.ts";
import {
  containersOf,
  leaseObject,
  microTime,
  nodeObject,
  nodeStatus,
  podObject,
  type PodTemplate,
  type ReadyStatus,
  runningStatus,
  type TerminalPhase,
  terminatedStatus,
} from "./cluster-fixture-objects.ts";
import { mapBounded } from "./concurrency.ts";
import type { SharedEnvironment } from "./global-setup.ts";
import { type KubeAccess, KubeApiError, KubeClient, type KubeObject } from "./kube-client.ts";
import { TruthLog } from "./truth.ts";

/** A cluster, and what its administrator uses. A {@link ControlPlane} is one. */
export interface ClusterAccess extends KubeAccess {
  readonly kubeconfig: string;
  /** Path of the kubectl program. */
  readonly kubectl: string;
}

/** The cluster that integration tests share: `clusterOf(inject("env"))`. */
export function clusterOf(env: SharedEnvironment): ClusterAccess {
  const { kubeUrl, kubeCaFile, kubeToken, kubeconfig, kubectl } = env;
  return { url: kubeUrl, caFile: kubeCaFile, token: kubeToken, kubeconfig, kubectl };
}

/** A node whose kubelet the fixture plays. */
export interface FixtureNode {
  readonly name: string;
  /** Its InternalIP. */
  readonly address: string;
  readonly podCidrs: readonly string[];
}

/** A pod on a node of the fixture. */
export interface FixturePod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly node: FixtureNode;
  /** What its process listens on, whether the API shows it yet or not. */
  readonly addresses: readonly string[];
  /** The first of the addresses. */
  readonly address: string;
  readonly containers: readonly string[];
}

export interface PodOptions extends PodTemplate {
  readonly namespace: string;
  readonly node: FixtureNode;
  /** Default: a name not used before. */
  readonly name?: string;
  /** Default: addresses of the node that were not used before. */
  readonly addresses?: readonly string[];
  /** Whether the pod is Ready once it runs; default true. */
  readonly ready?: boolean;
}

export interface FixtureOptions {
  /** Told of each pod's birth and death. Default: a log of its own. */
  readonly truth?: TruthLog;
  /** How many API calls run at a time; default 32. */
  readonly parallel?: number;
}

/** How often a node's lease is renewed, in milliseconds: kubelet's own default. */
const HEARTBEAT_INTERVAL = 10_000;

/**
 * Plays users and kubelets against a real apiserver: namespaces, nodes that stay Ready, pods that run, end, or get
 * lost, each step as the API shows it in a real cluster.
 */
export class ClusterFixture {
  /** Any other call. */
  readonly client: KubeClient;
  readonly truth: TruthLog;
  readonly #cluster: ClusterAccess;
  readonly #parallel: number;
  readonly #blocks = new Map<string, AddressBlock>();
  readonly #namespaces: string[] = [];
  readonly #beating = new Set<string>();
  readonly #heartbeat: NodeJS.Timeout;
  readonly #scope = new Scope();
  readonly #names = randomInt(36 ** 5)
    .toString(36)
    .padStart(5, "0");
  #count = 0;

  constructor(cluster: ClusterAccess, options: FixtureOptions = {}) {
    this.#cluster = cluster;
    this.#parallel = options.parallel ?? 32;
    this.client = new KubeClient(cluster, this.#parallel);
    this.truth = options.truth ?? new TruthLog();
    this.#heartbeat = setInterval(() => void this.#beat(), HEARTBEAT_INTERVAL).unref();
  }

  /** A new namespace in which pods can be created at once. */
  async namespace(labels: Readonly<Record<string, string>> = {}): Promise<string> {
    const name = this.#newName("test");
    await this.client.create("/api/v1/namespaces", { metadata: { name, labels } });
    this.#namespaces.push(name);
    await this.serviceAccount(name, "default");
    return name;
  }

  /** Makes sure that a ServiceAccount is there: without `default`, which a controller makes late, no pod is admitted. */
  async serviceAccount(namespace: string, name: string): Promise<void> {
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts`;
    await this.#ignoring("AlreadyExists", this.client.create(path, { metadata: { name } }));
  }

  /** A new Ready node with pod CIDRs of its own; the fixture renews its lease. */
  async node(families: Families = "IPv4"): Promise<FixtureNode> {
    const start = randomInt(BLOCK_COUNT);
    for (let i = 0; i < BLOCK_COUNT; i++) {
      const index = (start + i) % BLOCK_COUNT;
      const block = new AddressBlock(index, families);
      const node = { name: `node-${index}`, address: block.nodeAddress, podCidrs: block.podCidrs };
      const body = nodeObject(node.name, node.address, node.podCidrs);
      // The name stands for the addresses, so the apiserver keeps tests that run at the same time apart.
      if ((await this.#ignoring("AlreadyExists", this.client.create("/api/v1/nodes", body))) === undefined) continue;
      const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
      await this.#ignoring("AlreadyExists", this.client.create(leases, leaseObject(node.name)));
      this.#blocks.set(node.name, block);
      this.#beating.add(node.name);
      return node;
    }
    throw new Error(`all ${BLOCK_COUNT} address blocks have a node`);
  }

  /** An address inside the node's pod CIDR that no pod has had, nor will get by itself. */
  unusedAddress(node: FixtureNode): string {
    const [address = ""] = this.#newAddresses(node);
    return address;
  }

  /** Patches the node's Ready condition. Not `True`: its lease is renewed no more. */
  async setNodeReady(node: FixtureNode, ready: ReadyStatus): Promise<void> {
    if (ready === "True") this.#beating.add(node.name);
    else this.#beating.delete(node.name);
    await this.client.patch(`/api/v1/nodes/${node.name}/status`, { status: nodeStatus(ready) });
  }

  /** The node is heard of no more, and an administrator says by its taint that it is off. Its pods stay as they are. */
  async takeOutOfService(node: FixtureNode): Promise<void> {
    await this.setNodeReady(node, "Unknown");
    const taint = { key: "node.kubernetes.io/out-of-service", value: "nodeshutdown", effect: "NoExecute" };
    await this.client.patch(`/api/v1/nodes/${node.name}`, { spec: { taints: [taint] } });
  }

  /** Deletes the Node object; its pods' processes live on. */
  async deleteNode(node: FixtureNode): Promise<void> {
    this.#beating.delete(node.name);
    await this.client.delete(`/api/v1/nodes/${node.name}`);
  }

  /**
   * Creates a pod bound to its node. Its process has the addresses from now on; the API shows them after
   * {@link startPod}.
   */
  async createPod(options: PodOptions): Promise<FixturePod> {
    const { namespace, node } = options;
    const name = options.name ?? this.#newName("pod");
    const addresses = options.addresses ?? (options.hostNetwork === true ? [node.address] : this.#newAddresses(node));
    const [address] = addresses;
    if (address === undefined) throw new Error(`pod ${namespace}/${name} needs an address`);
    const body = podObject(name, node.name, options);
    const { metadata } = await this.client.create(`/api/v1/namespaces/${namespace}/pods`, body);
    this.truth.podBorn({ uid: metadata.uid, namespace, name, addresses });
    return { namespace, name, uid: metadata.uid, node, addresses, address, containers: containersOf(options) };
  }

  /** Reports the pod as running, with its addresses. */
  async startPod(pod: FixturePod, ready = true): Promise<void> {
    const { containers, addresses, node } = pod;
    await this.#patchStatus(pod, runningStatus({ containers, addresses, hostAddress: node.address, ready }));
  }

  /** Creates a pod and reports it as running. */
  async runPod(options: PodOptions): Promise<FixturePod> {
    const pod = await this.createPod(options);
    await this.startPod(pod, options.ready);
    return pod;
  }

  /** As {@link runPod}, for many. */
  async runPods(options: readonly PodOptions[]): Promise<FixturePod[]> {
    return mapBounded(options, this.#parallel, (each) => this.runPod(each));
  }

  /** Runs `task` for each of many, as many at a time as the fixture has connections. */
  async each<Item, Result>(items: readonly Item[], task: (item: Item) => Promise<Result>): Promise<Result[]> {
    return mapBounded(items, this.#parallel, task);
  }

  /** A user's delete with the usual grace: the pod shows a deletionTimestamp and serves on. */
  async beginTermination(pod: FixturePod): Promise<void> {
    this.truth.podTerminating(pod.uid);
    await this.#delete(pod, 30);
  }

  /** The pod's process ends, and the kubelet reports every container as terminated. */
  async confirmDeath(pod: FixturePod, phase: TerminalPhase = "Failed"): Promise<void> {
    this.truth.podDead(pod.uid);
    await this.#patchStatus(pod, terminatedStatus(pod.containers, phase));
  }

  /** Removes the object, as a kubelet does last. It says nothing about the process by itself. */
  async removePod(pod: FixturePod): Promise<void> {
    await this.#delete(pod, 0);
  }

  /** A whole regular end: asked to end, reported as ended, removed. The kubelet confirms the death. */
  async terminatePod(pod: FixturePod, phase: TerminalPhase = "Failed"): Promise<void> {
    await this.beginTermination(pod);
    await this.confirmDeath(pod, phase);
    await this.removePod(pod);
  }

  /**
   * The object goes at once and nobody saw the containers end, as with `kubectl delete --force` and with PodGC.
   * @param process whether the process ends too, which Kubernetes does not know
   */
  async forceDeletePod(pod: FixturePod, process: "Dies" | "Lives"): Promise<void> {
    if (process === "Dies") this.truth.podDead(pod.uid);
    await this.#delete(pod, 0);
  }

  /** All containers have ended for a moment, and the kubelet is about to restart them: the pod lives. */
  async showCrashLoop(pod: FixturePod): Promise<void> {
    await this.#patchStatus(pod, terminatedStatus(pod.containers));
  }

  /** Deletes the object and creates another one of the same name, as a StatefulSet does. */
  async recreatePod(pod: FixturePod, options: Omit<PodOptions, "namespace" | "name">): Promise<FixturePod> {
    await this.terminatePod(pod);
    return this.runPod({ ...options, namespace: pod.namespace, name: pod.name });
  }

  /**
   * Runs kubectl as administrator and returns what it prints.
   * @throws Error with what kubectl says
   */
  async kubectl(...args: readonly string[]): Promise<string> {
    return this.kubectlWith("", ...args);
  }

  /** As {@link kubectl}, with `input` as standard input, for `-f -`. */
  async kubectlWith(input: string, ...args: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const finished = (error: ExecFileException | null, stdout: string, stderr: string): void => {
        if (error === null) resolve(stdout);
        else reject(new Error(`kubectl ${args.join(" ")}: ${stderr.trim() || error.message}`));
      };
      const { kubectl, kubeconfig } = this.#cluster;
      const options = { maxBuffer: 1 << 28, timeout: 60_000 };
      const child = execFile(kubectl, [`--kubeconfig=${kubeconfig}`, ...args], options, finished);
      child.stdin?.end(input);
    });
  }

  /** A token of a ServiceAccount, good for an hour. */
  async serviceAccountToken(namespace: string, name: string): Promise<string> {
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
    const request = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { expirationSeconds: 3600 } };
    return (await this.client.create<{ status: { token: string } }>(path, request)).status.token;
  }

  /** Path of a kubeconfig with the rights of a ServiceAccount. */
  async serviceAccountKubeconfig(namespace: string, name: string): Promise<string> {
    const token = await this.serviceAccountToken(namespace, name);
    const { url, caFile } = this.#cluster;
    return writeKubeconfig(join(this.#scope.directory("kubeconfig"), "kubeconfig"), { url, caFile, token });
  }

  /** Removes the pods, namespaces and nodes that it made, and ends its connections. */
  async close(): Promise<void> {
    clearInterval(this.#heartbeat);
    for (const namespace of this.#namespaces) {
      const path = `/api/v1/namespaces/${namespace}`;
      await this.client.delete(`${path}/pods`, { gracePeriodSeconds: 0 });
      await this.client.delete(path);
    }
    await this.each([...this.#blocks.keys()], (name) => this.client.delete(`/api/v1/nodes/${name}`));
    await this.client.close();
    await this.#scope.stop();
  }

  #newName(kind: string): string {
    return `${kind}-${this.#names}-${this.#count++}`;
  }

  #newAddresses(node: FixtureNode): string[] {
    const block = this.#blocks.get(node.name);
    if (block === undefined) throw new Error(`node ${node.name} is not of this fixture: name the pod's addresses`);
    return block.next();
  }

  async #patchStatus(pod: FixturePod, status: object): Promise<void> {
    const body = { metadata: { uid: pod.uid }, status };
    await this.client.patch(`/api/v1/namespaces/${pod.namespace}/pods/${pod.name}/status`, body);
  }

  async #delete(pod: FixturePod, gracePeriodSeconds: number): Promise<void> {
    const options = { gracePeriodSeconds, preconditions: { uid: pod.uid } };
    await this.client.delete(`/api/v1/namespaces/${pod.namespace}/pods/${pod.name}`, options);
  }

  async #beat(): Promise<void> {
    const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    const renewal = { spec: { renewTime: microTime() } };
    // A renewal lost while a test has the apiserver down is made up for by the next.
    await Promise.allSettled([...this.#beating].map((name) => this.client.patch(`${leases}/${name}`, renewal)));
  }

  async #ignoring(reason: string, call: Promise<KubeObject>): Promise<KubeObject | undefined> {
    try {
      return await call;
    } catch (error) {
      if (error instanceof KubeApiError && error.reason === reason) return undefined;
      throw error;
    }
  }
}
