import type {
  RegistrationPolicyStatus,
  RegistrationReportEviction,
  RegistrationReportFinding,
  RegistryLayout,
} from "../../src/api/v1alpha1/index.ts";
import { type ControlPlane, type EtcdOptions, type EtcdServer, startControlPlane, startEtcd } from "../env/index.ts";
import { KubeProxy } from "../env/proxy/index.ts";
import { ClusterFixture, type FixtureNode, type FixturePod, type PodOptions } from "./cluster-fixture.ts";
import { mapBounded } from "./concurrency.ts";
import { type Operator, type OperatorOptions, startOperator } from "./operator.ts";
import { installOperator } from "./operator-install.ts";
import { applyPolicy, applyRegistry, findReport, getPolicy, type PolicyOptions } from "./operator-objects.ts";
import { eventually } from "./operator-wait.ts";
import { Oracle, type OracleOptions } from "./oracle.ts";
import {
  dubboApplication,
  dubboInterface,
  etcdNaming,
  EtcdSession,
  goFrame,
  goMicro,
  goZero,
  type InstanceOptions,
  kitex,
  kratos,
  type Layout,
  Registrant,
} from "./registrants/index.ts";

/** A framework as a test names it; `Unleased` is etcd's own naming without a lease. */
export type Framework = RegistryLayout["layout"] | "Unleased";

/** `name` is the last part of the key, for those that let the application choose it. */
type LayoutOptions = InstanceOptions & { readonly name?: string };

/** How each framework registers; those without a prefix of their own get one of ours. */
export const layoutOf: Readonly<Record<Framework, (options: LayoutOptions) => Layout>> = {
  GoMicro: goMicro,
  GoZero: ({ service, ...options }) => goZero({ service: `zero/${service}`, ...options }),
  Kratos: kratos,
  DubboInterface: dubboInterface,
  DubboApplication: dubboApplication,
  EtcdNaming: ({ service, ...options }) => etcdNaming({ service: `naming/${service}`, ...options }),
  Kitex: kitex,
  GoFrame: goFrame,
  Unleased: ({ service, ...options }) => etcdNaming({ service: `naming/${service}`, lease: "Unleased", ...options }),
};

export const frameworks = Object.keys(layoutOf) as Framework[];

/** Every layout under the prefix that {@link layoutOf} writes to. */
export const layouts: readonly RegistryLayout[] = [
  { layout: "GoMicro" },
  { layout: "GoZero", prefix: "zero" },
  { layout: "Kratos" },
  { layout: "DubboInterface" },
  { layout: "DubboApplication" },
  { layout: "EtcdNaming", prefix: "naming" },
  { layout: "Kitex" },
  { layout: "GoFrame" },
];

const PORT = 8080;
const PARALLEL = 32;
/** Names of the objects on every stage. */
export const REGISTRY = "main";
export const POLICY = "all";

export interface StageOptions {
  readonly controllerManager?: boolean;
  /** The registry itself; default one member without TLS and users. */
  readonly etcd?: EtcdOptions;
  /** What stands between the operator and the API server; default nothing. */
  readonly proxied?: boolean;
  /** Endpoints by which the operator reaches the registry, made from the real ones. */
  readonly endpoints?: (real: readonly string[]) => Promise<readonly string[]>;
  readonly registry?: Parameters<typeof applyRegistry>[2]["spec"];
  readonly zombies?: PolicyOptions["zombies"];
  readonly draining?: OracleOptions["draining"];
}

/** A service process in a pod, and what it registered. */
export interface StagedInstance {
  readonly framework: Framework;
  readonly service: string;
  readonly pod: FixturePod;
  readonly registrant: Registrant;
  readonly key: string;
}

export interface InstanceWish extends Partial<PodOptions> {
  readonly framework: Framework;
  readonly service: string;
  /** Lease in seconds instead of the framework's default. */
  readonly ttl?: number;
  /** Last part of the key, instead of what the framework chooses; for EtcdNaming and Unleased. */
  readonly keyName?: string;
}

/**
 * A control plane and an etcd of a test's own, with a Registry and a policy for everything in them, and the oracle
 * watching. Of a test's own, because what one test does to nodes and pods is evidence for every other in the cluster:
 * a pod without an address, or nodes that are not Ready, hold back evictions everywhere.
 */
export class Stage {
  readonly controlPlane: ControlPlane;
  readonly etcd: EtcdServer;
  readonly fixture: ClusterFixture;
  readonly session: EtcdSession;
  readonly oracle: Oracle;
  readonly namespace: string;
  readonly node: FixtureNode;
  readonly #proxy: KubeProxy | undefined;
  readonly #operators: Operator[] = [];
  #pacemaker: Promise<FixturePod> | undefined;
  #beats = 0;

  private constructor(parts: {
    controlPlane: ControlPlane;
    etcd: EtcdServer;
    fixture: ClusterFixture;
    session: EtcdSession;
    oracle: Oracle;
    namespace: string;
    node: FixtureNode;
    proxy: KubeProxy | undefined;
  }) {
    this.controlPlane = parts.controlPlane;
    this.etcd = parts.etcd;
    this.fixture = parts.fixture;
    this.session = parts.session;
    this.oracle = parts.oracle;
    this.namespace = parts.namespace;
    this.node = parts.node;
    this.#proxy = parts.proxy;
  }

  static async start(options: StageOptions = {}): Promise<Stage> {
    const { controllerManager = false, proxied = false, endpoints, registry, zombies, draining } = options;
    const [controlPlane, etcd] = await Promise.all([startControlPlane({ controllerManager }), startEtcd(options.etcd)]);
    await installOperator(controlPlane);
    const fixture = new ClusterFixture(controlPlane);
    const session = new EtcdSession({ endpoints: etcd.endpoints });
    const oracle = await Oracle.start(session, fixture.truth, { ...(draining !== undefined && { draining }) });
    const seen = (await endpoints?.(etcd.endpoints)) ?? etcd.endpoints;
    await applyRegistry(fixture.client, REGISTRY, { endpoints: seen, layouts, ...(registry && { spec: registry }) });
    await applyPolicy(fixture.client, POLICY, { registries: [REGISTRY], ...(zombies && { zombies }) });
    return new Stage({
      controlPlane,
      etcd,
      fixture,
      session,
      oracle,
      namespace: await fixture.namespace(),
      node: await fixture.node(),
      proxy: proxied ? await KubeProxy.start(controlPlane) : undefined,
    });
  }

  /** Only with `proxied`. */
  get proxy(): KubeProxy {
    if (this.#proxy === undefined) throw new Error("this stage has no proxy");
    return this.#proxy;
  }

  /** Starts an operator, which {@link stop} ends. */
  async operator(options: Omit<OperatorOptions, "cluster" | "proxy"> = {}): Promise<Operator> {
    const proxy = this.#proxy && { proxy: this.#proxy };
    const operator = await startOperator({ cluster: this.controlPlane, ...proxy, ...options });
    this.#operators.push(operator);
    return operator;
  }

  /** Runs a pod whose process registers itself. */
  async instance(wish: InstanceWish): Promise<StagedInstance> {
    const pod = await this.fixture.runPod(this.#podOptions(wish));
    return this.register(pod, wish);
  }

  /** As {@link instance}, for many. */
  async instances(wishes: readonly InstanceWish[]): Promise<StagedInstance[]> {
    return mapBounded(wishes, PARALLEL, (wish) => this.instance(wish));
  }

  /** Creates a pod that is bound to its node and whose address the API does not show yet. */
  async hiddenPod(wish: Partial<PodOptions>): Promise<FixturePod> {
    return this.fixture.createPod(this.#podOptions(wish));
  }

  /** The process of a pod registers itself. */
  async register(
    pod: FixturePod,
    { framework, service, ttl, keyName }: Pick<InstanceWish, "framework" | "service" | "ttl" | "keyName">,
  ): Promise<StagedInstance> {
    const name = keyName === undefined ? {} : { name: keyName };
    const layout = layoutOf[framework]({ service, host: pod.address, port: PORT, ...name });
    const options = { pod, truth: this.fixture.truth, ...(ttl !== undefined && { ttl }) };
    const registrant = await Registrant.register(this.session, layout, options);
    return { framework, service, pod, registrant, key: registrant.key };
  }

  /** The process crashes, and its kubelet reports every container as ended: a death as sure as can be. */
  async crash({ registrant, pod }: StagedInstance): Promise<void> {
    registrant.crash();
    await this.fixture.confirmDeath(pod);
  }

  /** Waits until the operator lists so many instances as Live. */
  async untilLive(operator: Operator, count: number, within?: number): Promise<void> {
    await eventually(
      `${count} instances are Live`,
      async () => {
        await this.#beat();
        return (await operator.metrics()).sum("hygeia_instances", { verdict: "Live" }) === count;
      },
      within,
    );
  }

  /** Waits until the operator's view of the cluster holds everything that was committed before this call. */
  async untilCaughtUp(operator: Operator): Promise<void> {
    await operator.untilCaughtUp(() => this.#beat());
  }

  /** Of the policy for everything. */
  async condition(
    type: string,
  ): Promise<{ readonly status: string; readonly reason: string; readonly message: string }> {
    const { status } = await getPolicy(this.fixture.client, POLICY);
    const found = status?.conditions?.find((condition) => condition.type === type);
    if (found === undefined) throw new Error(`the policy has no condition ${type}`);
    return found;
  }

  async counts(): Promise<NonNullable<RegistrationPolicyStatus["instances"]>> {
    const { status } = await getPolicy(this.fixture.client, POLICY);
    return status?.instances ?? {};
  }

  /** What the report says of an eviction of this key, as soon as it does. */
  async reportedEviction(key: string, policy = POLICY): Promise<RegistrationReportEviction> {
    return eventually(`the report names the eviction of ${key}`, async () => {
      const report = await findReport(this.fixture.client, policy);
      return report?.status?.evictions?.find(({ id }) => id === key);
    });
  }

  /** What the report says of an instance that is still listed. */
  async finding(key: string, policy = POLICY): Promise<RegistrationReportFinding | undefined> {
    const report = await findReport(this.fixture.client, policy);
    return report?.status?.findings?.find(({ id }) => id === key);
  }

  /** Ends everything, and then throws what the oracle saw or the API server denied. */
  async stop(): Promise<void> {
    const problems = await Promise.allSettled([
      this.oracle.verify(),
      ...this.#operators.map((operator) => operator.stop()),
    ]);
    this.oracle.close();
    await this.session.close();
    await this.#proxy?.stop();
    await this.fixture.close();
    await Promise.all([this.controlPlane.stop(), this.etcd.stop()]);
    const failures = problems.filter((problem) => problem.status === "rejected").map(({ reason }): unknown => reason);
    if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join("\n"));
  }

  #podOptions(wish: Partial<InstanceWish>): PodOptions {
    const { framework: _framework, service: _service, ttl: _ttl, keyName: _keyName, ...pod } = wish;
    return { namespace: this.namespace, node: this.node, ...pod };
  }

  /** Changes some pod, so that the operator's watch has something to tell before its next bookmark. */
  async #beat(): Promise<void> {
    this.#pacemaker ??= this.fixture.runPod({ namespace: this.namespace, node: this.node, name: "pacemaker" });
    const { namespace, name } = await this.#pacemaker;
    const body = { metadata: { annotations: { beat: String(++this.#beats) } } };
    await this.fixture.client.patch(`/api/v1/namespaces/${namespace}/pods/${name}`, body);
  }
}
