import { execFile } from "node:child_process";
import { promisify } from "node:util";

import type {
  RegistrationPolicyStatus,
  RegistrationReportPodFinding,
  RegistrationReportRollout,
} from "../../src/api/v1alpha1/index.ts";
import { type ControlPlane, Scope, startControlPlane } from "../env/index.ts";
import { KubeClient, type KubeObject } from "./kube-client.ts";
import { installOperator } from "./operator-install.ts";
import { findReport, getPolicy } from "./operator-objects.ts";
import { type Operator, type OperatorOptions, startOperator } from "./operator.ts";
import { eventually } from "./operator-wait.ts";

const execute = promisify(execFile);
const POLICIES = "/apis/hygeia.dev/v1alpha1/registrationpolicies";
const WITHIN_MS = 120_000;
/** A pod with this annotation never starts with a dnsConfig (kwok-stages.yaml). */
export const BREAKS_WITH_DNS = { "test.hygeia.dev/starts": "WithoutDNSConfig" };
const ANNOTATION = "hygeia.dev/rollout";

/** There is no scheduler: pods are bound from the start. */
export const POD_SPEC = {
  nodeName: "kwok-0",
  automountServiceAccountToken: false,
  containers: [{ name: "app", image: "registry.invalid/app:1" }],
};

const plurals = { Deployment: "deployments", StatefulSet: "statefulsets" } as const;
export type Kind = keyof typeof plurals;

/** The parts of a Deployment or StatefulSet that tests read. */
export interface Workload extends KubeObject {
  readonly metadata: KubeObject["metadata"] & { readonly generation: number };
  readonly spec: {
    readonly replicas: number;
    readonly template: { readonly metadata: { readonly annotations?: Readonly<Record<string, string>> } };
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly availableReplicas?: number;
  };
}

/** The parts of a Pod that tests read. */
export interface Pod extends KubeObject {
  readonly spec: {
    readonly dnsConfig?: { readonly options?: readonly { readonly name: string; readonly value?: string }[] };
  };
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly reason?: string }[];
  };
}

/** The annotation by which our roll-out made the present template; undefined without one. */
export function annotationOf({ spec }: Workload): string | undefined {
  return spec.template.metadata.annotations?.[ANNOTATION];
}

/** All replicas are of the present template and available. */
export function isSettled({ metadata, spec: { replicas }, status = {} }: Workload): boolean {
  const { observedGeneration = 0, replicas: pods, updatedReplicas, availableReplicas } = status;
  const isSeen = observedGeneration >= metadata.generation;
  return isSeen && pods === replicas && updatedReplicas === replicas && availableReplicas === replicas;
}

/** Takes part in its Service, by all that an EndpointSlice goes by. */
export function isServing({ metadata, status }: Pod): boolean {
  const isReady = status?.conditions?.some(({ type, status: holds }) => type === "Ready" && holds === "True") === true;
  return isReady && metadata.deletionTimestamp === undefined;
}

/** The pod has what every policy here wants. */
export function obeys({ spec }: Pod): boolean {
  return spec.dnsConfig?.options?.some(({ name, value }) => name === "ndots" && value === "2") === true;
}

/** A cluster whose kubelets kwok plays and whose API server changes pods, with the operator that rolls out. */
export class RolloutStage {
  readonly controlPlane: ControlPlane;
  readonly client: KubeClient;
  readonly #scope: Scope;

  private constructor(controlPlane: ControlPlane, scope: Scope) {
    this.controlPlane = controlPlane;
    this.client = new KubeClient(controlPlane);
    this.#scope = scope;
  }

  /** @param parts of config/ that are applied after config/default, whose webhook is left out */
  static async start(parts = ["config/default-policy", "config/rollout"]): Promise<RolloutStage> {
    const scope = new Scope();
    try {
      const controlPlane = await startControlPlane({ controllerManager: true, kwok: true, nodes: 2, scope });
      await installOperator(controlPlane);
      const stage = new RolloutStage(controlPlane, scope);
      for (const part of parts) await stage.apply(part);
      return stage;
    } catch (error) {
      await scope.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.client.close();
    await this.#scope.stop();
  }

  /** @param part of config/ */
  async apply(part: string): Promise<void> {
    const { kubectl, kubeconfig } = this.controlPlane;
    await execute(kubectl, [`--kubeconfig=${kubeconfig}`, "apply", "--server-side", "--force-conflicts", "-k", part]);
  }

  /** The operator with exactly the rights of what was applied. */
  async operator(options: Pick<OperatorOptions, "proxy" | "flags" | "denials"> = {}): Promise<Operator> {
    const operator = await startOperator({
      cluster: this.controlPlane,
      flags: { admission: "policy" },
      ...options,
    });
    await operator.untilReady();
    return operator;
  }

  /** A port of 127.0.0.1, the stage's own until it stops. */
  async freePort(): Promise<number> {
    const [port = 0] = await this.#scope.ports(1);
    return port;
  }

  /** A namespace of that name, with the policy of that name in charge of its pods once {@link Shop.enforce} is called. */
  async shop(name: string): Promise<Shop> {
    await this.client.create("/api/v1/namespaces", { metadata: { name } });
    return new Shop(this.client, name);
  }
}

/** One namespace with its workloads and the policy of the same name. */
export class Shop {
  readonly name: string;
  readonly #client: KubeClient;

  constructor(client: KubeClient, name: string) {
    this.#client = client;
    this.name = name;
  }

  get podsPath(): string {
    return `/api/v1/namespaces/${this.name}/pods`;
  }

  pathOf(kind: Kind, name?: string): string {
    const all = `/apis/apps/v1/namespaces/${this.name}/${plurals[kind]}`;
    return name === undefined ? all : `${all}/${name}`;
  }

  /** Creates the policy, or changes it; it wants `ndots: 2` of every pod. */
  async enforce(rollout: object | undefined, spec: object = {}): Promise<void> {
    const match = { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": this.name } } };
    await this.#client.patch(
      `${POLICIES}/${this.name}`,
      {
        apiVersion: "hygeia.dev/v1alpha1",
        kind: "RegistrationPolicy",
        metadata: { name: this.name },
        spec: { mode: "Enforce", match, dns: { ndots: 2 }, rollout, ...spec },
      },
      "application/apply-patch+yaml",
      { fieldManager: "test", force: true, fieldValidation: "Strict" },
    );
  }

  /** @param fields of the workload's spec */
  async create(
    kind: Kind,
    name: string,
    replicas: number,
    {
      annotations = {},
      labels = { app: name },
      ...fields
    }: { readonly annotations?: object; readonly labels?: object; readonly [field: string]: unknown } = {},
  ): Promise<void> {
    await this.#client.create(this.pathOf(kind), {
      apiVersion: "apps/v1",
      kind,
      metadata: { name },
      spec: {
        replicas,
        selector: { matchLabels: labels },
        template: { metadata: { labels, annotations }, spec: POD_SPEC },
        ...(kind === "StatefulSet" ? { serviceName: name, podManagementPolicy: "Parallel" } : {}),
        ...fields,
      },
    });
  }

  async workload(kind: Kind, name: string): Promise<Workload> {
    return this.#client.get<Workload>(this.pathOf(kind, name));
  }

  async workloads(kind: Kind): Promise<Workload[]> {
    return this.#client.list<Workload>(this.pathOf(kind));
  }

  /** Pods of the workload of that name, those on their way out too. */
  async pods(app?: string): Promise<Pod[]> {
    return this.#client.list<Pod>(this.podsPath, app === undefined ? {} : { labelSelector: `app=${app}` });
  }

  /** Waits until every workload of the kind has all its replicas. */
  async untilSettled(kind: Kind): Promise<void> {
    await eventually(
      `the ${plurals[kind]} of ${this.name} are available`,
      async () => (await this.workloads(kind)).every(isSettled),
      WITHIN_MS,
    );
  }

  async status(): Promise<RegistrationPolicyStatus> {
    return (await getPolicy(this.#client, this.name)).status ?? {};
  }

  /** Waits until condition RolledOut of the policy's present generation has the reason. @returns the status */
  async untilRolledOut(reason: string, operator: Operator, within = WITHIN_MS): Promise<RegistrationPolicyStatus> {
    let last: unknown;
    return await eventually(
      `condition RolledOut of ${this.name} has reason ${reason}`,
      async () => {
        const { status = {}, metadata } = await getPolicy(this.#client, this.name);
        const condition = status.conditions?.find(({ type }) => type === "RolledOut");
        last = { condition, rollouts: status.rollouts, pods: status.pods };
        return condition?.reason === reason && condition.observedGeneration === metadata.generation && status;
      },
      within,
    ).catch((error: unknown) => {
      throw new Error(`last seen: ${JSON.stringify(last)}\n${operator.tail()}`, { cause: error });
    });
  }

  /** UIDs of all pods, sorted. */
  async podUids(): Promise<string[]> {
    return (await this.pods()).map(({ metadata }) => metadata.uid).toSorted();
  }

  /** What the report remembers of workloads. */
  async remembered(): Promise<readonly RegistrationReportRollout[]> {
    return (await findReport(this.#client, this.name))?.status?.rollouts ?? [];
  }

  /** What the report says of pods. */
  async podFindings(): Promise<readonly RegistrationReportPodFinding[]> {
    return (await findReport(this.#client, this.name))?.status?.podFindings ?? [];
  }

  /** A collection as it is now, from where {@link History} follows it. */
  async history(path: string): Promise<History> {
    return History.begin(this.#client, path);
  }
}

/** Everything that happens in a collection from one moment on; nothing is missed between two looks. */
export class History {
  readonly #client: KubeClient;
  readonly #path: string;
  readonly #resourceVersion: string;
  readonly #before: readonly KubeObject[];

  private constructor(client: KubeClient, path: string, resourceVersion: string, before: readonly KubeObject[]) {
    this.#client = client;
    this.#path = path;
    this.#resourceVersion = resourceVersion;
    this.#before = before;
  }

  static async begin(client: KubeClient, path: string): Promise<History> {
    const { items, metadata } = await client.get<{
      readonly items: readonly KubeObject[];
      readonly metadata: { readonly resourceVersion: string };
    }>(path);
    return new History(client, path, metadata.resourceVersion, items);
  }

  /** The collection after each change so far, by name; the first is how it was at the beginning. */
  async states<T extends KubeObject>(): Promise<ReadonlyMap<string, T>[]> {
    let state = new Map(this.#before.map((object) => [object.metadata.name, object as T]));
    const states = [state];
    for (const { type, object } of await this.#client.watch(this.#path, this.#resourceVersion)) {
      state = new Map(state);
      if (type === "DELETED") state.delete(object.metadata.name);
      else state.set(object.metadata.name, object as T);
      states.push(state);
    }
    return states;
  }
}
