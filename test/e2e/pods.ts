import { setTimeout as delay } from "node:timers/promises";

import { type ControlPlane, PROBE_IMAGE, type RealNode } from "../env/index.ts";
import { KubeClient, type KubeObject, type Query } from "../support/kube-client.ts";

/** The parts of a pod's spec that these tests set. */
export interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly hostNetwork?: boolean;
  readonly hostUsers?: boolean;
  readonly dnsPolicy?: string;
  readonly dnsConfig?: {
    readonly nameservers?: readonly string[];
    readonly searches?: readonly string[];
    readonly options?: readonly { readonly name: string; readonly value?: string }[];
  };
  readonly hostname?: string;
  readonly subdomain?: string;
  readonly setHostnameAsFQDN?: boolean;
  readonly hostnameOverride?: string;
  readonly securityContext?: { readonly sysctls?: readonly { readonly name: string; readonly value: string }[] };
  readonly terminationGracePeriodSeconds?: number;
  readonly restartPolicy?: string;
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly imagePullPolicy: string;
  readonly args: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
  readonly restartPolicy?: string;
}

/** What is sent to create a pod, less its name and namespace. */
export interface PodManifest {
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: PodSpec;
}

interface ContainerStatus {
  readonly name: string;
  readonly containerID?: string;
  readonly state: {
    readonly waiting?: { readonly reason?: string; readonly message?: string };
    readonly running?: object;
    readonly terminated?: { readonly exitCode: number; readonly reason?: string; readonly finishedAt?: string };
  };
}

/** A pod as the API shows it. */
export interface Pod extends KubeObject {
  readonly spec: PodSpec & { readonly nodeName?: string };
  readonly status: {
    readonly phase: string;
    readonly reason?: string;
    readonly message?: string;
    readonly podIP?: string;
    readonly hostIP?: string;
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
  };
}

/** What `probe environment` prints. */
export interface PodEnvironment {
  readonly resolvConf: string;
  readonly hostname: string;
  readonly sysctls: Readonly<Record<string, string>>;
}

/** How long a pod may take to get where a test waits for it, in milliseconds. */
const DEADLINE = 60_000;

/** A pod that runs until it is told to end. */
export function probePod(spec: Partial<PodSpec> = {}, ...args: readonly string[]): PodManifest {
  const containers = [probeContainer("probe", ...(args.length > 0 ? args : ["wait"]))];
  return { labels: {}, spec: { containers, ...spec } };
}

export function probeContainer(name: string, ...args: readonly string[]): Container {
  return { name, image: PROBE_IMAGE, imagePullPolicy: "Never", args };
}

/** Makes pods on a real node and looks into them. */
export class Pods {
  readonly client: KubeClient;
  readonly #node: RealNode;
  #names = 0;

  constructor(controlPlane: ControlPlane, node: RealNode) {
    this.client = new KubeClient(controlPlane);
    this.#node = node;
  }

  /** A new namespace in which pods can be created. */
  async namespace(labels: Readonly<Record<string, string>> = {}): Promise<string> {
    const name = `e2e-${++this.#names}`;
    await this.client.create("/api/v1/namespaces", { metadata: { name, labels } });
    const account = `/api/v1/namespaces/${name}/serviceaccounts/default`;
    await until(`the ServiceAccount of ${name}`, async () => (await this.client.find(account)) !== undefined);
    return name;
  }

  /** @throws KubeApiError when the API server refuses it */
  async create(namespace: string, { labels, spec }: PodManifest, query: Query = {}): Promise<Pod> {
    const metadata = { name: `pod-${++this.#names}`, labels };
    return this.client.create<Pod>(`/api/v1/namespaces/${namespace}/pods`, { metadata, spec }, query);
  }

  async read(pod: Pod): Promise<Pod | undefined> {
    return this.client.find<Pod>(pathOf(pod));
  }

  /** @throws KubeApiError when the API server refuses it */
  async change(pod: Pod, patch: object): Promise<Pod> {
    return this.client.patch<Pod>(pathOf(pod), patch);
  }

  /** The pod once it is as wanted. */
  async become(pod: Pod, what: string, test: (pod: Pod) => boolean): Promise<Pod> {
    let seen: Pod | undefined;
    try {
      await until(`${pod.metadata.name}: ${what}`, async () => {
        seen = await this.read(pod);
        return seen !== undefined && test(seen);
      });
    } catch (error) {
      throw new Error(`${String(error)}; its status is ${JSON.stringify(seen?.status)}`, { cause: error });
    }
    return seen as Pod;
  }

  /** Creates a pod and waits until all of its containers run. */
  async run(namespace: string, manifest: PodManifest): Promise<Pod> {
    const pod = await this.create(namespace, manifest);
    return this.become(pod, "runs", ({ status }) => {
      const { phase, podIP, containerStatuses } = status;
      const ended = containerStatuses?.find(({ state }) => state.terminated !== undefined);
      if (ended !== undefined) throw new Error(`container ${ended.name} ended: ${JSON.stringify(ended.state)}`);
      return (
        phase === "Running" && podIP !== undefined && containerStatuses?.length === manifest.spec.containers.length
      );
    });
  }

  /** Deletes a pod and waits until it is gone. */
  async delete(pod: Pod): Promise<void> {
    await this.client.delete(pathOf(pod));
    await until(`${pod.metadata.name} is gone`, async () => (await this.read(pod)) === undefined);
  }

  /**
   * Runs a command in the pod's first container.
   * @throws Error when it fails
   */
  async exec(pod: Pod, ...command: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.tryExec(pod, ...command);
    if (code !== 0)
      throw new Error(`${command.join(" ")} in ${pod.metadata.name}: exit code ${code}: ${stdout}${stderr}`);
    return stdout;
  }

  tryExec(pod: Pod, ...command: readonly string[]): ReturnType<RealNode["exec"]> {
    return this.#node.exec(pod.status.containerStatuses?.[0]?.containerID ?? "", ...command);
  }

  async environment(pod: Pod): Promise<PodEnvironment> {
    return JSON.parse(await this.exec(pod, "/probe", "environment")) as PodEnvironment;
  }

  /** Reasons and messages of the Events about a pod, oldest first. */
  async events(pod: Pod): Promise<{ reason: string; message: string }[]> {
    const { namespace = "", uid } = pod.metadata;
    const events = await this.client.list<KubeObject & { reason: string; message: string }>(
      `/api/v1/namespaces/${namespace}/events`,
      { fieldSelector: `involvedObject.uid=${uid}` },
    );
    return events.map(({ reason, message }) => ({ reason, message }));
  }

  async close(): Promise<void> {
    await this.client.close();
  }
}

function pathOf({ metadata }: Pod): string {
  return `/api/v1/namespaces/${metadata.namespace ?? ""}/pods/${metadata.name}`;
}

/** @throws Error that says what did not come true */
export async function until(what: string, test: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE;
  while (!(await test())) {
    if (performance.now() > deadline) throw new Error(`not within ${DEADLINE / 1000} s: ${what}`);
    await delay(50);
  }
}
