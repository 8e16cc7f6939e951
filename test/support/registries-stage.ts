import type { RegistrationReportEviction, RegistrationReportFinding } from "../../src/api/v1alpha1/index.ts";
import { type ControlPlane, startControlPlane } from "../env/index.ts";
import { KubeProxy } from "../env/proxy/index.ts";
import type { Metadata, RegistryActor, RegistryExtras } from "./actors/actor.ts";
import { startConsulActor } from "./actors/consul.ts";
import { startEtcdActor } from "./actors/etcd.ts";
import { type NacosActorOptions, startNacosActor } from "./actors/nacos.ts";
import { ClusterFixture, type FixtureNode, type FixturePod, type PodOptions } from "./cluster-fixture.ts";
import { mapBounded } from "./concurrency.ts";
import type { EntryDeparture } from "./entry-oracle.ts";
import { type Operator, type OperatorOptions, startOperator } from "./operator.ts";
import { installOperator } from "./operator-install.ts";
import { applyPolicy, findReport, type PolicyOptions } from "./operator-objects.ts";
import { eventually } from "./operator-wait.ts";

/** Name of the policy on every stage. */
export const POLICY = "all";

const PARALLEL = 16;
/** Three registries and a control plane are busy at the same time, milliseconds. */
const WITHIN = 60_000;
/** How often everything is to be judged again. */
const AGAIN = 5;

/** Names of the registries that a stage can have. */
export type RegistryName = "etcd" | "consul" | "nacos";

export interface RegistriesStageOptions {
  /** Those that are started; default all. */
  readonly registries?: readonly RegistryName[];
  readonly zombies?: PolicyOptions["zombies"];
  readonly nacos?: NacosActorOptions;
  /** Said in every Registry object. */
  readonly registry?: RegistryExtras;
  /** Where the operator is to reach a registry instead, by its name. */
  readonly endpoints?: Readonly<Record<string, (real: string) => Promise<string>>>;
}

/** A pod that is registered in every registry. */
export interface EverywhereInstance {
  readonly service: string;
  readonly pod: FixturePod;
  /** By the registry's name. */
  readonly ids: Readonly<Record<string, string>>;
}

/** One control plane, a real etcd, Consul and Nacos or some of them, one policy over all, and an oracle at each. */
export class RegistriesStage {
  readonly controlPlane: ControlPlane;
  readonly fixture: ClusterFixture;
  readonly actors: readonly RegistryActor[];
  /** Stands before the API server for operators that are told so. */
  readonly proxy: KubeProxy;
  readonly namespace: string;
  readonly node: FixtureNode;
  readonly #pacemaker: FixturePod;
  readonly #operators: Operator[] = [];
  #beats = 0;

  private constructor(
    parts: Pick<RegistriesStage, "controlPlane" | "fixture" | "actors" | "proxy" | "namespace" | "node"> & {
      readonly pacemaker: FixturePod;
    },
  ) {
    this.controlPlane = parts.controlPlane;
    this.fixture = parts.fixture;
    this.actors = parts.actors;
    this.proxy = parts.proxy;
    this.namespace = parts.namespace;
    this.node = parts.node;
    this.#pacemaker = parts.pacemaker;
  }

  static async start(options: RegistriesStageOptions = {}): Promise<RegistriesStage> {
    const { registries: names = ["etcd", "consul", "nacos"], zombies, registry, endpoints = {} } = options;
    const controlPlane = await startControlPlane();
    const fixture = new ClusterFixture(controlPlane);
    const starts: Readonly<Record<RegistryName, () => Promise<RegistryActor>>> = {
      etcd: () => startEtcdActor(fixture.truth),
      consul: () => startConsulActor(fixture.truth),
      nacos: () => startNacosActor(fixture.truth, options.nacos),
    };
    const [actors, proxy] = await Promise.all([
      Promise.all(names.map((name) => starts[name]())),
      KubeProxy.start(controlPlane),
      installOperator(controlPlane),
    ]);
    for (const actor of actors) {
      const [real = ""] = actor.endpoints;
      const seen = await endpoints[actor.name]?.(real);
      await actor.apply(fixture.client, seen === undefined ? actor.endpoints : [seen], registry);
    }
    const registries = actors.map(({ name }) => name);
    await applyPolicy(fixture.client, POLICY, { registries, ...(zombies !== undefined && { zombies }) });
    const [node, namespace] = [await fixture.node(), await fixture.namespace()];
    const pacemaker = await fixture.runPod({ namespace, node, name: "pacemaker" });
    return new RegistriesStage({ controlPlane, fixture, actors, proxy, namespace, node, pacemaker });
  }

  /** Starts an operator, which {@link stop} ends. @param proxied whether it reaches the API server through {@link proxy} */
  async operator(options: Omit<OperatorOptions, "cluster" | "proxy"> & { readonly proxied?: boolean } = {}) {
    const { proxied = false, ...others } = options;
    const proxy = proxied ? { proxy: this.proxy } : {};
    const operator = await startOperator({ cluster: this.controlPlane, ...proxy, ...others });
    this.#operators.push(operator);
    return operator;
  }

  /** Runs pods whose processes register themselves everywhere. */
  async instances(
    services: readonly string[],
    { node = this.node, metadata }: { readonly node?: FixtureNode; readonly metadata?: Metadata } = {},
  ): Promise<EverywhereInstance[]> {
    return mapBounded(services, PARALLEL, async (service) => {
      return this.register(await this.fixture.runPod({ namespace: this.namespace, node }), service, metadata);
    });
  }

  /** A pod that is bound to its node and whose address the API does not show yet. */
  async hiddenPod(options: Pick<PodOptions, "addresses">): Promise<FixturePod> {
    return this.fixture.createPod({ namespace: this.namespace, node: this.node, ...options });
  }

  /** The process of a pod registers itself everywhere. */
  async register(pod: FixturePod, service: string, metadata?: Metadata): Promise<EverywhereInstance> {
    const ids = this.actors.map(async (actor) => [actor.name, await actor.register(pod, service, metadata)] as const);
    return { service, pod, ids: Object.fromEntries(await Promise.all(ids)) };
  }

  /** Their kubelets report every container as ended: deaths as sure as can be. */
  async die(instances: readonly EverywhereInstance[]): Promise<void> {
    await this.fixture.each(instances, ({ pod }) => this.fixture.confirmDeath(pod));
  }

  /** Waits until the operator lists so many instances of each registry under a verdict. */
  async untilVerdict(operator: Operator, verdict: string, count: number, within = WITHIN): Promise<void> {
    await eventually(
      `${String(count)} instances are ${verdict} in each registry`,
      async () => {
        await this.beat();
        const metrics = await operator.metrics();
        const counts = this.actors.map(({ name }) => metrics.sum("hygeia_instances", { verdict, registry: name }));
        if (counts.every((it) => it === count)) return true;
        throw new Error(`there are ${counts.join(", ")}`);
      },
      within,
    );
  }

  async untilLive(operator: Operator, count: number, within?: number): Promise<void> {
    await this.untilVerdict(operator, "Live", count, within);
  }

  /** Waits until the operator's view of the cluster holds everything that was committed before this call. */
  async untilCaughtUp(operator: Operator): Promise<void> {
    await operator.untilCaughtUp(() => this.beat());
  }

  /** Waits until these have left every registry. */
  async untilLeft(instances: readonly EverywhereInstance[], within = WITHIN): Promise<void> {
    for (const { name } of this.actors) await this.untilLeftFrom(name, instances, within);
  }

  /** Waits until these have left one registry. */
  async untilLeftFrom(registry: string, instances: readonly EverywhereInstance[], within = WITHIN): Promise<void> {
    const { oracle } = this.actor(registry);
    for (const { ids } of instances) await oracle.departure(ids[registry] ?? "", within);
  }

  actor(name: string): RegistryActor {
    const found = this.actors.find((actor) => actor.name === name);
    if (found === undefined) throw new Error(`nobody plays ${name}`);
    return found;
  }

  /** Entries that have left so far, by registry. */
  departures(): Readonly<Record<string, readonly EntryDeparture[]>> {
    return Object.fromEntries(this.actors.map(({ name, oracle }) => [name, oracle.departures]));
  }

  /** Waits until everything that is listed had several more chances to be taken for dead. */
  async untilJudgedAgain(operator: Operator, within = WITHIN): Promise<void> {
    const sum = async (name: string): Promise<number> => (await operator.metrics()).sum(name);
    const wanted = (await sum("hygeia_judgements_total")) + AGAIN * (await sum("hygeia_registry_instances"));
    const isReached = async (): Promise<boolean> => (await sum("hygeia_judgements_total")) >= wanted;
    await eventually("all were judged again and again", isReached, within);
  }

  /** What the report says of an eviction, as soon as it does. */
  async reportedEviction(registry: string, { ids }: EverywhereInstance): Promise<RegistrationReportEviction> {
    return eventually(`the report names the eviction of ${ids[registry] ?? ""} from ${registry}`, async () => {
      const report = await findReport(this.fixture.client, POLICY);
      return report?.status?.evictions?.find((it) => it.registry === registry && it.id === ids[registry]);
    });
  }

  /** What the report says of instances that are still listed. */
  async findings(): Promise<readonly RegistrationReportFinding[]> {
    return (await findReport(this.fixture.client, POLICY))?.status?.findings ?? [];
  }

  /** @throws Error when something left a registry whose pod lives */
  async verify(): Promise<void> {
    for (const { oracle } of this.actors) await oracle.verify();
  }

  /** Something for the operator's watch to tell before its next bookmark. */
  async beat(): Promise<void> {
    const { namespace, name } = this.#pacemaker;
    const body = { metadata: { annotations: { beat: String(++this.#beats) } } };
    await this.fixture.client.patch(`/api/v1/namespaces/${namespace}/pods/${name}`, body);
  }

  /** Ends everything, and then throws what the oracles saw or the API server denied. */
  async stop(): Promise<void> {
    const problems = await Promise.allSettled([
      ...this.actors.map(({ oracle }) => oracle.verify()),
      ...this.#operators.map((operator) => operator.stop()),
    ]);
    await this.proxy.stop();
    await this.fixture.close();
    await Promise.all([this.controlPlane.stop(), ...this.actors.map((actor) => actor.close())]);
    const failures = problems.filter((problem) => problem.status === "rejected").map(({ reason }): unknown => reason);
    if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join("\n"));
  }
}
