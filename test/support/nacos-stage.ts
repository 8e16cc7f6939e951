import type { RegistrationReportEviction, RegistrationReportFinding } from "../../src/api/v1alpha1/index.ts";
import { type ControlPlane, type NacosServer, startControlPlane, startNacos } from "../env/index.ts";
import { ClusterFixture, type FixtureNode, type FixturePod } from "./cluster-fixture.ts";
import { NacosApi, type NacosRegistration } from "./nacos-api.ts";
import { type Operator, startOperator } from "./operator.ts";
import { installOperator } from "./operator-install.ts";
import { applyNacosRegistry, applyPolicy, findReport, type PolicyOptions } from "./operator-objects.ts";
import { eventually } from "./operator-wait.ts";

const REGISTRY = "nacos";
const PORT = 8080;
/** Nacos itself must forget none of those while a test looks on. */
const UNHURRIED = { "preserved.heart.beat.timeout": "3600000", "preserved.ip.delete.timeout": "3600000" };
/** But for this a client that does not beat is forgotten after three minutes, whatever its instances say. */
const SETTINGS = ["nacos.naming.client.expired.time=3600000"];
/** How often everything is to be judged again. */
const AGAIN = 5;

export interface NacosStageOptions {
  readonly zombies?: PolicyOptions["zombies"];
  /** Between two sweeps of the operator, a duration. */
  readonly sweepInterval: string;
  /** Pods that live and are registered, so that what looks dead is a small part of the registry. */
  readonly bystanders?: number;
}

/** A control plane, a real Nacos and an operator with one policy over everything. */
export class NacosStage {
  /** Name of the policy. */
  readonly policy = "all";
  readonly registry = REGISTRY;
  readonly api: NacosApi;
  readonly nacos: NacosServer;
  readonly fixture: ClusterFixture;
  readonly operator: Operator;
  readonly controlPlane: ControlPlane;
  readonly #namespace: string;
  readonly #node: FixtureNode;
  readonly #pacemaker: FixturePod;
  #beats = 0;

  private constructor(parts: {
    readonly controlPlane: ControlPlane;
    readonly nacos: NacosServer;
    readonly fixture: ClusterFixture;
    readonly operator: Operator;
    readonly namespace: string;
    readonly node: FixtureNode;
    readonly pacemaker: FixturePod;
  }) {
    this.nacos = parts.nacos;
    this.api = new NacosApi(parts.nacos.url);
    this.fixture = parts.fixture;
    this.operator = parts.operator;
    this.controlPlane = parts.controlPlane;
    this.#namespace = parts.namespace;
    this.#node = parts.node;
    this.#pacemaker = parts.pacemaker;
  }

  static async start({ zombies, sweepInterval, bystanders = 0 }: NacosStageOptions): Promise<NacosStage> {
    const [controlPlane, nacos] = await Promise.all([startControlPlane(), startNacos({ settings: SETTINGS })]);
    await installOperator(controlPlane);
    const fixture = new ClusterFixture(controlPlane);
    await applyNacosRegistry(fixture.client, REGISTRY, { endpoints: [nacos.url] });
    await applyPolicy(fixture.client, "all", { registries: [REGISTRY], ...(zombies !== undefined && { zombies }) });
    const [node, namespace] = [await fixture.node(), await fixture.namespace()];
    const pacemaker = await fixture.runPod({ namespace, node, name: "pacemaker" });
    const operator = await startOperator({ cluster: controlPlane, flags: { "sweep-interval": sweepInterval } });
    const stage = new NacosStage({ controlPlane, nacos, fixture, operator, namespace, node, pacemaker });
    await operator.untilReady();
    const pods = await fixture.runPods(Array.from({ length: bystanders }, () => ({ namespace, node })));
    await fixture.each(pods, (pod) => stage.api.register(stage.of(pod, "bystander", UNHURRIED)));
    await stage.untilLive(bystanders);
    return stage;
  }

  /** Runs a pod. @param addresses those of an earlier one, for an heir */
  async pod(addresses?: readonly string[]): Promise<FixturePod> {
    const place = { namespace: this.#namespace, node: this.#node };
    return this.fixture.runPod(addresses === undefined ? place : { ...place, addresses });
  }

  /** What a pod's process registers. */
  of({ address: ip }: FixturePod, service: string, metadata: Readonly<Record<string, string>> = {}): NacosRegistration {
    return { service, ip, port: PORT, metadata };
  }

  async live(): Promise<number> {
    return (await this.operator.metrics()).sum("hygeia_instances", { verdict: "Live" });
  }

  async untilLive(count: number): Promise<void> {
    await eventually(`${String(count)} instances are Live`, async () => {
      await this.beat();
      return (await this.live()) === count;
    });
  }

  /** Waits until the operator's view of the cluster holds everything that was committed before this call. */
  async untilCaughtUp(): Promise<void> {
    await this.operator.untilCaughtUp(() => this.beat());
  }

  /** Waits until everything that is listed had several more chances to be taken for dead. */
  async untilJudgedAgain(): Promise<void> {
    const sum = async (name: string): Promise<number> => (await this.operator.metrics()).sum(name);
    const wanted = (await sum("hygeia_judgements_total")) + AGAIN * (await sum("hygeia_registry_instances"));
    await eventually("all were judged again and again", async () => {
      await this.beat();
      return (await sum("hygeia_judgements_total")) >= wanted;
    });
  }

  /** Whether the server knows of anybody who keeps this listed: at once, where lists lag. */
  async isRegistered({ service, ip, port }: NacosRegistration): Promise<boolean> {
    return (await this.api.publishers(service)).some((id) => id.startsWith(`${ip}:${String(port)}#`));
  }

  /** Waits until callers are told of so many instances. @returns how long that took, milliseconds */
  async untilCallersSee(service: string, count: number, within?: number): Promise<number> {
    const since = performance.now();
    const isSo = async (): Promise<boolean> => (await this.api.consumerList(service)).length === count;
    await eventually(`callers of ${service} are told of ${String(count)}`, isSo, within);
    return performance.now() - since;
  }

  /** Waits for what the report says of an instance that is listed. @param verdict which verdict that is to be */
  async untilFinding(id: string, verdict: string, within?: number): Promise<RegistrationReportFinding> {
    return eventually(
      `the report calls ${id} ${verdict}`,
      async () => {
        await this.beat();
        const report = await findReport(this.fixture.client, this.policy);
        const found = report?.status?.findings?.find((finding) => finding.id === id);
        if (found?.verdict === verdict) return found;
        throw new Error(`it says ${JSON.stringify(found)}`);
      },
      within,
    );
  }

  /** What the report says of evictions of an instance, the newest first. */
  async evictions(id: string): Promise<readonly RegistrationReportEviction[]> {
    const report = await findReport(this.fixture.client, this.policy);
    return report?.status?.evictions?.filter((eviction) => eviction.id === id) ?? [];
  }

  /** Waits until the report tells of an eviction of an instance. */
  async untilEvicted(id: string, within?: number): Promise<RegistrationReportEviction> {
    const first = async () => {
      await this.beat();
      return (await this.evictions(id))[0];
    };
    return eventually(`the report tells of the eviction of ${id}`, first, within);
  }

  /** Something for the operator's watch to tell before its next bookmark. */
  async beat(): Promise<void> {
    const { namespace, name } = this.#pacemaker;
    const body = { metadata: { annotations: { beat: String(++this.#beats) } } };
    await this.fixture.client.patch(`/api/v1/namespaces/${namespace}/pods/${name}`, body);
  }

  async stop(): Promise<void> {
    try {
      await this.operator.stop();
    } finally {
      await this.fixture.close();
      await Promise.all([this.controlPlane.stop(), this.nacos.stop()]);
    }
  }
}
