import { type ConsulServer, type ControlPlane, startConsul, startControlPlane } from "../env/index.ts";
import { ClusterFixture, type FixtureNode, type FixturePod } from "./cluster-fixture.ts";
import { ConsulApi } from "./consul-api.ts";
import { type Operator, startOperator } from "./operator.ts";
import { installOperator } from "./operator-install.ts";
import { applyConsulRegistry, applyPolicy, findReport } from "./operator-objects.ts";
import { eventually } from "./operator-wait.ts";

/** Name of the Registry, and of the policy over it. */
const REGISTRY = "consul";
const POLICY = "all";

export interface ConsulStageOptions {
  /** How many agents there are that are no servers; default none. */
  readonly agents?: number;
  /** What the Registry names beside the server. */
  readonly endpoints?: (consul: ConsulServer) => Promise<readonly string[]>;
}

/** One control plane, one Consul, a policy that enforces there, and the operator. */
export class ConsulStage {
  readonly policy = POLICY;
  readonly controlPlane: ControlPlane;
  readonly consul: ConsulServer;
  readonly api: ConsulApi;
  readonly fixture: ClusterFixture;
  readonly operator: Operator;
  readonly #node: FixtureNode;
  readonly #namespace: string;
  readonly #pacemaker: FixturePod;
  #beats = 0;

  private constructor(
    parts: Pick<ConsulStage, "controlPlane" | "consul" | "fixture" | "operator">,
    pods: { readonly node: FixtureNode; readonly namespace: string; readonly pacemaker: FixturePod },
  ) {
    this.controlPlane = parts.controlPlane;
    this.consul = parts.consul;
    this.api = new ConsulApi(parts.consul.url);
    this.fixture = parts.fixture;
    this.operator = parts.operator;
    this.#node = pods.node;
    this.#namespace = pods.namespace;
    this.#pacemaker = pods.pacemaker;
  }

  static async start({ agents = 0, endpoints }: ConsulStageOptions = {}): Promise<ConsulStage> {
    const [controlPlane, consul] = await Promise.all([startControlPlane(), startConsul({ agents })]);
    await installOperator(controlPlane);
    const fixture = new ClusterFixture(controlPlane);
    await applyConsulRegistry(fixture.client, REGISTRY, {
      endpoints: [consul.url, ...((await endpoints?.(consul)) ?? [])],
    });
    await applyPolicy(fixture.client, POLICY, { registries: [REGISTRY] });
    const [node, namespace] = [await fixture.node(), await fixture.namespace()];
    const pacemaker = await fixture.runPod({ namespace, node, name: "pacemaker" });
    const operator = await startOperator({ cluster: controlPlane, flags: { "sweep-interval": "1s" } });
    await operator.untilReady();
    return new ConsulStage({ controlPlane, consul, fixture, operator }, { node, namespace, pacemaker });
  }

  /**
   * Runs a pod whose process registers itself, and waits until the operator knows it for a living one.
   * @param register how it does, at its address
   */
  async living(register: (address: string) => Promise<unknown>): Promise<FixturePod> {
    const before = await this.#live();
    const pod = await this.fixture.runPod({ namespace: this.#namespace, node: this.#node });
    await register(pod.address);
    await this.until("the instance is Live", async () => (await this.#live()) > before);
    await this.operator.untilCaughtUp(() => this.beat());
    return pod;
  }

  /** Waits until the probe returns something, with the operator's watch kept busy. */
  async until<T>(what: string, probe: () => Promise<T | undefined | false>, within?: number): Promise<T> {
    const looked = async (): Promise<T | undefined | false> => {
      await this.beat();
      return await probe();
    };
    return await eventually(what, looked, within);
  }

  /** What the report says now. */
  async report() {
    return (await findReport(this.fixture.client, POLICY))?.status;
  }

  /** Something for the operator's watch to tell before its next bookmark. */
  async beat(): Promise<void> {
    const { namespace, name } = this.#pacemaker;
    const body = { metadata: { annotations: { beat: String(++this.#beats) } } };
    await this.fixture.client.patch(`/api/v1/namespaces/${namespace}/pods/${name}`, body);
  }

  async stop(): Promise<void> {
    await this.operator.stop();
    await this.fixture.close();
    await Promise.all([this.controlPlane.stop(), this.consul.stop()]);
  }

  async #live(): Promise<number> {
    return (await this.operator.metrics()).sum("hygeia_instances", { verdict: "Live" });
  }
}
